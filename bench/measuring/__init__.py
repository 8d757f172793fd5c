"""Measuring: the fixture, the session, clock, profile, memory, energy, reference workload.

May import `bench.results`, `bench.machine`, `bench.statistics` and `pipeline`. `bench.plugin` gives
the session what prints tables.
"""
