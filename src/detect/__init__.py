"""Detectors turn the text of a response into an outcome."""
