"""Putting the simulation into a process: a driver, NVML, and torch once it has been imported."""

import ctypes
import importlib.abc
import importlib.machinery
import sys
import time
from types import ModuleType, SimpleNamespace
from typing import Any

from simulated_cuda import NAME

OLD, NEW = 11040, 99000
"""Versions of CUDA, as `cuDriverGetVersion` writes them."""


def prepare(only_driver: bool) -> None:
    """Let the driver report one device; torch can use it, unless it is `only_driver`."""
    _simulate_driver(version=OLD if only_driver else NEW)
    if not only_driver:
        _simulate_nvml()
        sys.meta_path.insert(0, _AfterTorch())


class _AfterTorch(importlib.abc.MetaPathFinder):
    """Find torch where it is, and install the simulation when its module has run."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec is not None
        loader: Any = spec.loader
        run = loader.exec_module

        def run_and_install(module: ModuleType) -> None:
            run(module)
            from simulated_cuda import runtime

            runtime.install()

        loader.exec_module = run_and_install
        return spec


def _simulate_driver(version: int) -> None:
    """Answer `availability`, which asks libcuda for a count of devices and the version of CUDA."""

    def count_devices(count: Any) -> int:
        count._obj.value = 1
        return 0

    def tell_version(pointer: Any) -> int:
        pointer._obj.value = version
        return 0

    driver = SimpleNamespace(
        cuInit=lambda flags: 0, cuDeviceGetCount=count_devices, cuDriverGetVersion=tell_version
    )
    real = ctypes.CDLL

    def library(name: Any, *arguments: Any, **named: Any) -> Any:
        return driver if name == "libcuda.so.1" else real(name, *arguments, **named)

    ctypes.CDLL = library  # type: ignore[assignment, misc]


def _simulate_nvml() -> None:
    from support import simulated_nvml

    library = simulated_nvml.simulated()
    library.nvmlDeviceGetName = lambda gpu: NAME
    library.nvmlDeviceGetCurrentClocksEventReasons = lambda gpu: 0
    library.nvmlDeviceGetTotalEnergyConsumption = lambda gpu: int(time.monotonic() * 1e5)
    sys.modules["pynvml"] = library
