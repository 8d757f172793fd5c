"""Measuring: the fixture, the session, clock, profile, memory, energy, reference workload.

May import `bench.results`, `bench.machine`, `bench.statistics` and `pipeline`. What prints tables is
given to the session by the root `conftest.py`.
"""
