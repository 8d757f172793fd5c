"""The rates of a run's reference workload, at its start and at its end."""

from collections.abc import Mapping
from typing import Any

from bench.results.reading import Number, read

__all__ = ["DRIFT", "drifts", "matrix_rate", "start_and_end"]

DRIFT = 0.05
"""Relative difference of end and start from which the run says that the machine changed."""


def start_and_end(records: Mapping[str, Any]) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return both sets of rates from a run's records, {} where there are none.

    Raises ValueError for anything else than numbers.
    """
    rates = read(Mapping[str, Mapping[str, Number]], records.get("workload", {}), "workload")
    return rates.get("start", {}), rates.get("end", {})


def matrix_rate(records: Mapping[str, Any], device: str, dtype: str) -> float | None:
    """Return FLOP/s of the matrix product at the run's start, the most that a call can reach."""
    start, _ = start_and_end(records)
    return start.get(f"matrix_{device}_{dtype}_flop_per_s")


def drifts(start: Mapping[str, float], end: Mapping[str, float]) -> dict[str, float]:
    """Return how much each rate changed from start to end, relative, where more than `DRIFT`."""
    changes = {name: end[name] / rate - 1 for name, rate in start.items() if rate and name in end}
    return {name: change for name, change in changes.items() if abs(change) > DRIFT}
