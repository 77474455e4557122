"""Engines ask a language model; one file per engine behind one interface."""
