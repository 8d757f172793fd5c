"""The machine: hardware, software and state records, sensors, NVML, watching, the allocator.

May import `bench.statistics` and `pipeline`; no library is imported before it is asked.
"""
