"""The machine: hardware, software and state records, sensors, NVML, watching, the allocator."""
