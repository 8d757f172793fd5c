"""The only importer of NVML (`pynvml`, in nvidia-ml-py): readings of NVIDIA GPUs."""

import ctypes
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = [
    "NO_DRIVER",
    "ask",
    "ask_measured",
    "foreign_processes",
    "held",
    "joules",
    "own_bytes",
    "throttle_reasons",
    "visible",
]

NO_DRIVER = "no NVIDIA driver"

_PID_NAMESPACE = Path("/proc/self/ns/pid")
_THROTTLE_REASONS = (  # nvml.h: the bits of nvmlClocksEventReasons, from the lowest
    "GPU idle, application clocks, software power cap, hardware slowdown, sync boost, "
    "software thermal slowdown, hardware thermal slowdown, hardware power brake, display clocks"
)


def ask(read: Callable[..., Any], *gpu: Any) -> Any:
    """Return `read(pynvml, *gpu)`; an error of NVML becomes a ValueError of one line."""
    nvml = _library()
    try:
        nvml.nvmlInit()
        try:
            return read(nvml, *gpu)
        finally:
            nvml.nvmlShutdown()
    except (nvml.NVMLError_LibraryNotFound, nvml.NVMLError_DriverNotLoaded):
        raise ValueError(NO_DRIVER) from None
    except nvml.NVMLError as error:
        raise ValueError(f"NVML: {error}") from None


def ask_measured(read: Callable[[Any, Any], Any]) -> Any:
    """Return `read(pynvml, gpu)` for the GPU that cells run on; raises as `ask`."""
    return ask(lambda nvml: read(nvml, _measured(nvml)))


@contextmanager
def held() -> Iterator[None]:
    """Keep NVML open, where there is one: opening it for each reading takes milliseconds."""
    kept = False
    with suppress(ValueError):
        ask(lambda nvml: nvml.nvmlInit())
        kept = True
    try:
        yield
    finally:
        if kept:
            _library().nvmlShutdown()


def visible(nvml: Any) -> list[Any]:
    """Return the GPUs that CUDA may use: NVML lists all, CUDA_VISIBLE_DEVICES chooses."""
    every = ",".join(map(str, range(nvml.nvmlDeviceGetCount())))
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES", every)
    by_index, by_uuid = nvml.nvmlDeviceGetHandleByIndex, nvml.nvmlDeviceGetHandleByUUID
    names = [name.strip() for name in chosen.split(",")] if chosen not in ("", "-1") else []
    return [by_index(int(name)) if name.isdecimal() else by_uuid(name) for name in names]


def foreign_processes(nvml: Any, gpu: Any) -> int:
    """Return how many other processes compute there; ValueError where a container hides it.

    Children of this process are its own.
    """
    processes = [process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(gpu)]
    own = [pid for pid in processes if _is_own(pid)]
    if _contained() and not own:
        raise ValueError("a container hides which processes are foreign")
    return len(set(processes) - set(own))


def own_bytes(nvml: Any, gpu: Any) -> int:
    """Return the memory that this process holds there, with CUDA's context and libraries.

    What its children hold is its own.
    """
    running = nvml.nvmlDeviceGetComputeRunningProcesses(gpu)
    used = [process.usedGpuMemory for process in running if _is_own(process.pid)]
    if not used or None in used:
        raise ValueError("the driver does not tell what this process holds")
    return int(sum(used))


def throttle_reasons(nvml: Any, gpu: Any) -> list[str]:
    """Return what holds the clocks down at this moment, in NVML's words."""
    bits = nvml.nvmlDeviceGetCurrentClocksEventReasons(gpu)
    return [name for bit, name in enumerate(_THROTTLE_REASONS.split(", ")) if bits >> bit & 1]


def joules(nvml: Any, gpu: Any) -> float:
    """Return the energy that it has used since the driver was loaded."""
    return float(nvml.nvmlDeviceGetTotalEnergyConsumption(gpu)) / 1000


def _library() -> Any:
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        with suppress(OSError):
            ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
            raise ValueError("no pynvml here: pip install nvidia-ml-py") from None
        raise ValueError(NO_DRIVER) from None


def _measured(nvml: Any) -> Any:
    """Return the GPU that torch calls cuda:0; before torch uses it, the first visible one."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        # A part of a GPU (MIG) has another name; after an error of CUDA torch may not answer.
        with suppress(nvml.NVMLError, AttributeError, RuntimeError):
            uuid = torch.cuda.get_device_properties(0).uuid
            return nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    gpus = visible(nvml)
    if not gpus:
        raise ValueError("CUDA_VISIBLE_DEVICES leaves no GPU")
    return gpus[0]


def _is_own(pid: int) -> bool:
    """Return whether a process is this one or a child of it: Flux runs in one."""
    import psutil

    with suppress(psutil.Error, ValueError):
        return pid == os.getpid() or psutil.Process(pid).ppid() == os.getpid()
    return False


def _contained() -> bool:
    """Return whether this is a container, which sees no processes, or by the host's numbers.

    4026531836 is the first namespace of process ids.
    """
    return _PID_NAMESPACE.is_symlink() and "4026531836" not in os.readlink(_PID_NAMESPACE)
