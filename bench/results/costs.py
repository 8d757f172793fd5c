"""What a row's time is set against: operations, the machine's rates, eager, the device."""

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from bench.results import rates
from bench.results.cell import CALL_FLOP, ESTIMATED, OFF_EAGER, Row

__all__ = [
    "CALL_FLOP",
    "ESTIMATED",
    "OFF_EAGER",
    "flop_per_second",
    "host_gap",
    "matrix_rate",
    "times_eager",
    "unattributed",
]

UNATTRIBUTED = 0.05
"""Share of a profiled call that may belong to no stage before the table says so."""


def flop_per_second(row: Row) -> float | None:
    """Return the operations a second of a call; None where they were not counted."""
    flop, seconds = row.extra.get(CALL_FLOP), median(row.samples)
    return flop / seconds if flop and seconds else None


def matrix_rate(row: Row, records: Mapping[str, Any]) -> float | None:
    """Return FLOP/s of a matrix product on the row's device, in its dtype, at the run's start."""
    return rates.matrix_rate(records, row.cell.device, str(row.cell.axes.get("dtype", "")))


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
