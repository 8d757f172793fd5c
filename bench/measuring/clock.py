"""The wall clock, the device synchronised at both ends of every sample."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TypeVar

__all__ = ["GROUPED_BELOW_S", "Clock", "grouping", "synchronised", "untraced"]

T = TypeVar("T")

GROUPED_BELOW_S = 200e-6
"""CPU calls shorter than this are grouped: alone, each would include the clock's own cost, and a
thousand of them would span less than 0.2 s of the machine's life."""


class Clock:
    """The timer that pytest-benchmark reads: wall time, or one sample that was taken before.

    A call too slow to repeat was made and timed once, for its contract: `replay` lets the plugin
    publish that sample without another call.
    """

    def __init__(self) -> None:
        """Start as the wall clock."""
        self._script: list[float] = []
        self._counted: float | None = None

    def __call__(self) -> float:
        """Return seconds from an arbitrary start."""
        if self._script:
            return self._script.pop(0)
        return perf_counter() if self._counted is None else self._counted

    def __repr__(self) -> str:
        """Return the name that result files carry."""
        return "wall clock, device synchronised" if self._counted is None else "Julia's own clock"

    def replay(self, seconds: float) -> None:
        """Answer the next two readings so that they are `seconds` apart."""
        self._script = [0.0, seconds]

    def count(self, seconds: float) -> None:
        """From now on read another clock, which has advanced by `seconds`."""
        self._counted = (self._counted or 0.0) + seconds

    def timed(self, call: Callable[[], T]) -> tuple[float, T]:
        """Return the seconds that one call took, and what it returned."""
        start = self()
        result = call()
        return self() - start, result


def synchronised(call: Callable[[], T], device: str) -> Callable[[], T]:
    """Return `call`, followed on `cuda` by a wait until the device has finished.

    So the device is idle before the next call too. Work of CUDA.jl runs on streams that torch does
    not see: it synchronises inside Julia.
    """
    if device != "cuda":
        return call
    import torch

    torch.cuda.synchronize()  # what was launched before is not the first call's

    def waited() -> T:
        result = call()
        torch.cuda.synchronize()
        return result

    return waited


def grouping(seconds: float, device: str) -> int:
    """Return how many calls make one sample: enough for 200 µs on the CPU, one on a device.

    Grouped calls on a device would overlap: that measures throughput, not latency.
    """
    if device != "cpu" or seconds >= GROUPED_BELOW_S:
        return 1
    return max(1, round(GROUPED_BELOW_S / max(seconds, 1e-9)))


@contextmanager
def untraced() -> Iterator[None]:
    """Suspend a tracer such as coverage's (`--cov`): it slows Python several times over.

    pytest-benchmark suspends it in its rounds alone.
    """
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)
