"""The same cells on every node of a Ray cluster: chosen, sent, watched, and kept as they end.

Imports `bench.comparing`, `bench.measuring`, `bench.results`, `bench.machine` and `pipeline`; only
the command imports it.
"""
