"""What a row's time is set against: operations, the machine's own rates, eager, the device's work."""

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from bench.results.cell import Row
from bench.results.reading import Number, read

__all__ = [
    "CALL_FLOP",
    "DRIFT",
    "ESTIMATED",
    "OFF_EAGER",
    "drifts",
    "flop_per_second",
    "host_gap",
    "matrix_rate",
    "start_and_end",
    "times_eager",
    "unattributed",
]

CALL_FLOP = "call_flop"
"""In a row's `extra`, the floating-point operations of one call."""

ESTIMATED = "estimated_bytes"
"""In a row's `extra`, the memory that a call should need, estimated before it was made."""

OFF_EAGER = "levels_off_eager"
"""In a row's `extra`, the largest difference of a pixel from eager's picture, in levels of 255."""

UNATTRIBUTED = 0.05
"""Share of a profiled call that may belong to no stage before the table says so."""

DRIFT = 0.05
"""Relative difference of end and start from which the run says that the machine changed."""


def flop_per_second(row: Row) -> float | None:
    """Return the operations a second of a call; None where they were not counted."""
    flop, seconds = row.extra.get(CALL_FLOP), median(row.samples)
    return flop / seconds if flop and seconds else None


def matrix_rate(row: Row, records: Mapping[str, Any]) -> float | None:
    """Return FLOP/s of a matrix product on the row's device, in its dtype, at the run's start."""
    start, _ = start_and_end(records)
    return start.get(f"matrix_{row.cell.device}_{row.cell.axes.get('dtype', '')}_flop_per_s")


def start_and_end(records: Mapping[str, Any]) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return the rates of the reference workload at a run's start and end, {} where there are none.

    Raises ValueError for anything else than numbers.
    """
    rates = read(Mapping[str, Mapping[str, Number]], records.get("workload", {}), "workload")
    return rates.get("start", {}), rates.get("end", {})


def drifts(start: Mapping[str, float], end: Mapping[str, float]) -> dict[str, float]:
    """Return how much each rate changed from start to end, relative, where more than `DRIFT`."""
    changes = {name: end[name] / rate - 1 for name, rate in start.items() if rate and name in end}
    return {name: change for name, change in changes.items() if abs(change) > DRIFT}


def host_gap(row: Row) -> float | None:
    """Return the seconds of a call in which the device waited for its host; never below 0."""
    return None if row.busy is None else max(0.0, median(row.samples) - row.busy)


def times_eager(row: Row, rows: Iterable[Row]) -> float | None:
    """Return how many times as fast as eager `row` is; None where its eager row is not there."""
    axes = {axis: value for axis, value in row.cell.axes.items() if axis != "mode"}
    same = (other for other in rows if other.cell.axes == axes and other.weights == row.weights)
    eager = next(same, None)
    if eager is None or not median(row.samples):
        return None
    return median(eager.samples) / median(row.samples)


def unattributed(row: Row) -> float | None:
    """Return the seconds of the profiled call that belong to no stage and are no host gap.

    None where that is at most a twentieth of the call, or where no stages were profiled. On the CPU
    it is what runs between the stages: tokens, guidance, pixels.
    """
    if row.profiled is None or not row.stages:
        return None
    gap = 0.0 if row.busy is None else row.profiled - row.busy
    rest = row.profiled - gap - sum(row.stages.values())
    return rest if rest > UNATTRIBUTED * row.profiled else None
