"""What no library does for the measurements: clocks, records, statistics, verdicts, tables."""
