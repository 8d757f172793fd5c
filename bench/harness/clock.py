"""The wall clock, the device synchronised at both ends of every sample."""

from collections.abc import Callable
from time import perf_counter
from typing import TypeVar

__all__ = ["GROUPED_BELOW_S", "Clock", "grouping", "synchronised", "timed"]

T = TypeVar("T")

GROUPED_BELOW_S = 100e-6
"""CPU calls shorter than this are grouped: the clock and its loop would show in each of them."""


class Clock:
    """The timer that pytest-benchmark reads: wall time, or one sample that was taken before.

    A call too slow to repeat has been made once, for its contract, and timed: `replay` lets the
    plugin publish that sample instead of making the call again.
    """

    def __init__(self) -> None:
        """Start as the wall clock."""
        self._script: list[float] = []

    def __call__(self) -> float:
        """Return seconds from an arbitrary start."""
        return self._script.pop(0) if self._script else perf_counter()

    def __repr__(self) -> str:
        """Return the name that result files carry."""
        return "wall clock, device synchronised"

    def replay(self, seconds: float) -> None:
        """Answer the next two readings so that they are `seconds` apart."""
        self._script = [0.0, seconds]


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Return the seconds that one call took, and what it returned."""
    start = perf_counter()
    result = call()
    return perf_counter() - start, result


def synchronised(call: Callable[[], T], device: str) -> Callable[[], T]:
    """Return `call`, followed on `cuda` by a wait until the device has finished.

    The device is idle before each call too, since the call before it ended this way. Work of
    CUDA.jl runs on streams that torch does not see: it synchronises inside Julia.
    """
    if device != "cuda":
        return call
    import torch

    def waited() -> T:
        result = call()
        torch.cuda.synchronize()
        return result

    return waited


def grouping(seconds: float, device: str) -> int:
    """Return how many calls make one sample: enough for 100 µs on the CPU, one on a device.

    Grouped calls on a device would overlap: that measures throughput, not latency.
    """
    if device != "cpu" or seconds >= GROUPED_BELOW_S:
        return 1
    return max(1, round(GROUPED_BELOW_S / max(seconds, 1e-9)))
