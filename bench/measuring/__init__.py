"""Measuring: the fixture, the session, clock, profile, memory, energy, reference workload."""
