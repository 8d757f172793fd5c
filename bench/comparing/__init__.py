"""Comparing: sides, comparison, verdict, gate; A/B by pairs and turns; the machine's noise.

It prints no table: `bench.reporting` does, and may import this room; this room imports results,
machine and statistics.
"""
