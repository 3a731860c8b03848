"""Measurements of cost: commands that print ratios measured side by side."""
