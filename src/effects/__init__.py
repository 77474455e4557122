"""From posterior draws to effect sizes, shares of variance and contrasts; NumPy and xarray only."""
