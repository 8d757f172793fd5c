"""Validation: the walk on the meta device, its tally, the answers and their table."""
