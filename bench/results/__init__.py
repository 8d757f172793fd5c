"""Results as plain data: cell, row, record and journal, rates, units, fingerprint, thumbnail.

May import `bench.machine` and `pipeline`; nothing here measures or prints.
"""
