"""Factors, items, designs and prompts of a study; knows no model."""
