"""Joules an image: the difference of two readings of the GPU's own counter."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

from bench.machine import nvml
from bench.machine.sensors import GPU

__all__ = ["SHORTEST_S", "Meter", "measured"]

SHORTEST_S = 1.0
"""Least time between two readings: the counter moves in steps of tens of milliseconds."""


class Meter:
    """The energy that the GPU has used since this was made."""

    def __init__(self, device: str) -> None:
        """Read the counter where `device` is a GPU that has one."""
        self._joules = _joules() if device == GPU else None
        self._begun = perf_counter()

    @property
    def seconds(self) -> float:
        """Since the first reading."""
        return perf_counter() - self._begun

    @property
    def works(self) -> bool:
        """Whether there is a counter."""
        return self._joules is not None

    def per_image(self, images: int) -> dict[str, float]:
        """Return `energy_j_per_image`, idle moments included; {} in under a second."""
        now = _joules() if self._joules is not None and self.seconds >= SHORTEST_S else None
        if now is None or self._joules is None or now < self._joules:
            return {}
        return {"energy_j_per_image": (now - self._joules) / images}


def measured(call: Callable[[], Any], device: str, images: int) -> dict[str, float]:
    """Repeat `call`, of `images`, for the second that the counter needs; {} without a counter."""
    meter = Meter(device)
    calls = 0
    while meter.works and meter.seconds < SHORTEST_S:
        call()
        calls += 1
    return meter.per_image(calls * images)


def _joules() -> float | None:
    try:
        return float(nvml.ask_measured(nvml.joules))
    except (ValueError, AttributeError):
        return None
