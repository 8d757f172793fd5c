"""Memory: the most that a call takes, and errors of running out, recognised without torch."""

import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from bench.machine import nvml, sensors
from bench.machine.sensors import GPU
from bench.results import units

__all__ = ["REMEDY", "give_back", "peaks", "ran_out", "reason"]

REMEDY = "a smaller size or batch, float16, or a device with more memory"

_SIGNS = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def ran_out(error: BaseException) -> bool:
    """Return whether an exception, or one that caused it, says that memory ran out.

    A compiler wraps exceptions, and the end of a CUDA graph's capture hides why it failed. On the
    CPU, and where a library of CUDA allocates by itself, torch has no class of exception for it.
    """
    return _origin(error) is not None


def reason(error: BaseException, estimated: float | None = None) -> str:
    """Return how much memory torch asked for and how much was free, without names of processes.

    `estimated` are the bytes that the whole call was estimated to need.
    """
    line = " ".join(str(_origin(error)).split())
    line = line[max(0, line.find("DefaultCPUAllocator")) :][:200]
    line, free, _ = line.partition(" is free.")
    line = (line + free).split(" See documentation")[0] or "Python ran out of memory."
    if estimated is None:
        return line
    return f"{line.removesuffix('.')}. Estimated before: {units.memory(estimated)}."


def give_back() -> None:
    """Return what nothing refers to any more to the device.

    After a fatal error of CUDA there is nothing to return: the next call on the device fails, and
    says why.
    """
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        with suppress(RuntimeError):
            torch.cuda.empty_cache()


def peaks(
    call: Callable[[], Any], device: str, on_torch: bool, replayed: bool = False
) -> dict[str, float]:
    """Make one call apart from the timed ones; return its memory, by names that end in the unit.

    On CUDA `peak_allocated_bytes` (tensors) and `peak_reserved_bytes` (torch's cache) where torch
    runs the call, and `gpu_process_bytes`, all that this process holds there afterwards, by NVML.
    A graph that is `replayed` allocates nothing that torch counts: its tensors are left out.
    On the CPU `added_rss_bytes`: how far the call raised the process's resident memory above what
    libraries, models and freed memory held before; left out where it did not. Readings that fail
    are left out too: `Row.guards` and the run's record say why.
    """
    if device != GPU:
        return _peak_rss(call)
    extra: dict[str, float] = {}
    if on_torch:
        import torch

        give_back()
        torch.cuda.reset_peak_memory_stats()
        call()
        if not replayed:
            extra["peak_allocated_bytes"] = float(torch.cuda.max_memory_allocated())
        extra["peak_reserved_bytes"] = float(torch.cuda.max_memory_reserved())
    with suppress(ValueError, AttributeError):
        extra["gpu_process_bytes"] = float(nvml.ask_measured(nvml.own_bytes))
    return extra


def _origin(error: BaseException | None) -> BaseException | None:
    """Return the exception of the chain that says that memory ran out, or None."""
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
        before = sensors.peak_rss_bytes()
        call()
        added = sensors.peak_rss_bytes() - before
    except (OSError, ValueError):
        return {}
    return {"added_rss_bytes": float(added)} if added > 0 else {}
