"""Comparing: sides, comparison, verdict, gate; A/B by pairs and turns; the machine's noise."""
