"""The stores: raw responses, labels, and the observations that a fit reads."""
