"""A simulated NVML: a `pynvml` that says of one GPU what a test lets it say."""

import os
from types import ModuleType, SimpleNamespace
from typing import Any


class NVMLError(Exception):
    pass


class NVMLLibraryError(NVMLError):
    pass


class NVMLDriverError(NVMLError):
    pass


def raises(error: Exception) -> Any:
    def call(*_: Any) -> None:
        raise type(error)(*error.args)  # a new one: its traceback holds what the callers hold

    return call


def process(pid: int, used_bytes: int | None = None) -> SimpleNamespace:
    return SimpleNamespace(pid=pid, usedGpuMemory=used_bytes)


def simulated() -> Any:
    """One H100 that this process alone uses; `opened` counts what has not been shut down."""
    fake: Any = ModuleType("pynvml")
    fake.NVMLError = NVMLError
    fake.NVMLError_LibraryNotFound = NVMLLibraryError
    fake.NVMLError_DriverNotLoaded = NVMLDriverError
    fake.NVML_CLOCK_SM, fake.NVML_TEMPERATURE_GPU = 1, 0
    fake.opened = 0

    def opened(by: int) -> None:
        fake.opened += by

    fake.nvmlInit, fake.nvmlShutdown = lambda: opened(1), lambda: opened(-1)
    fake.nvmlSystemGetDriverVersion = lambda: "580.65.06"
    fake.nvmlDeviceGetCount = lambda: 1
    fake.nvmlDeviceGetHandleByIndex = lambda index: index
    fake.nvmlDeviceGetHandleByUUID = raises(NVMLError("Not Found"))
    fake.nvmlDeviceGetName = lambda gpu: "NVIDIA H100 80GB HBM3"
    fake.nvmlDeviceGetMemoryInfo = lambda gpu: SimpleNamespace(total=85520809984, free=80000000000)
    fake.nvmlDeviceGetPowerManagementLimit = lambda gpu: 700000
    fake.nvmlDeviceGetPowerUsage = lambda gpu: 123456
    fake.nvmlDeviceGetTotalEnergyConsumption = lambda gpu: 5_000_000
    fake.nvmlDeviceGetClockInfo = lambda gpu, kind: {1: 1980}[kind]
    fake.nvmlDeviceGetDefaultApplicationsClock = lambda gpu, kind: {1: 1980}[kind]
    fake.nvmlDeviceGetMaxClockInfo = lambda gpu, kind: {1: 1980}[kind]
    fake.nvmlDeviceGetPersistenceMode = lambda gpu: 1
    fake.nvmlDeviceGetTemperature = lambda gpu, sensor: {0: 41}[sensor]
    fake.nvmlDeviceGetUtilizationRates = lambda gpu: SimpleNamespace(gpu=7, memory=3)
    fake.nvmlDeviceGetCurrentClocksEventReasons = lambda gpu: 0x44
    fake.nvmlDeviceGetComputeRunningProcesses = lambda gpu: [process(os.getpid(), 2**30)]
    return fake
