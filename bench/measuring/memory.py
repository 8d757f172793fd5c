"""Memory: the most that a call takes, and running out of it, recognised without importing torch."""

import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from bench.machine import nvml, sensors
from bench.machine.sensors import GPU

__all__ = ["REMEDY", "gist", "give_back", "peaks", "ran_out"]

REMEDY = "a smaller size or batch, float16, or a device with more memory"

_SIGNS = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def ran_out(error: BaseException) -> bool:
    """Say whether memory ran out, in an exception or in one that it came of.

    A compiler wraps what it meets, and the end of a CUDA graph's capture hides why it failed. On
    the CPU, and where a library of CUDA allocates by itself, torch raises no class of its own.
    """
    return _origin(error) is not None


def gist(error: BaseException, estimated: float | None = None) -> str:
    """Return what torch says before it names processes: how much was asked for and is free.

    `estimated` are the bytes that the call should have needed in all, as was said before it.
    """
    line = " ".join(str(_origin(error)).split())
    told = line[max(0, line.find("DefaultCPUAllocator")) :][:200]
    told, free, _ = told.partition(" is free.")
    told = (told + free).split(" See documentation")[0] or "Python ran out of memory."
    if estimated is None:
        return told
    return f"{told.removesuffix('.')}. Estimated before: {estimated / 1e9:.3g} GB."


def give_back() -> None:
    """Return what nothing refers to any more to the device."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def peaks(call: Callable[[], Any], device: str, on_torch: bool) -> dict[str, float]:
    """Make one call apart from the timed ones; return what it took, by names with their unit.

    On CUDA `peak_allocated_bytes` (tensors) and `peak_reserved_bytes` (torch's cache) where torch
    runs the call, and `gpu_process_bytes`, all that this process holds there afterwards, by NVML.
    On the CPU `peak_rss_bytes`, of the whole process with every library and model that it has
    loaded. What cannot be read is left out: `Row.guards` and the run's record say why.
    """
    if device != GPU:
        return _peak_rss(call)
    found: dict[str, float] = {}
    if on_torch:
        import torch

        give_back()
        torch.cuda.reset_peak_memory_stats()
        call()
        found["peak_allocated_bytes"] = float(torch.cuda.max_memory_allocated())
        found["peak_reserved_bytes"] = float(torch.cuda.max_memory_reserved())
    with suppress(ValueError, AttributeError):
        found["gpu_process_bytes"] = float(nvml.ask_measured(nvml.own_bytes))
    return found


def _origin(error: BaseException | None) -> BaseException | None:
    """Return the exception that says that memory ran out; None where none of the chain does."""
    torch = sys.modules.get("torch")
    while error is not None:
        if isinstance(error, MemoryError) or (
            torch is not None
            and isinstance(error, RuntimeError)
            and (
                isinstance(error, torch.OutOfMemoryError)
                or any(sign in str(error) for sign in _SIGNS)
            )
        ):
            return error
        error = error.__cause__ or error.__context__
    return None


def _peak_rss(call: Callable[[], Any]) -> dict[str, float]:
    try:
        sensors.reset_peak_rss()
        call()
        return {"peak_rss_bytes": float(sensors.peak_rss_bytes())}
    except (OSError, ValueError):
        return {}
