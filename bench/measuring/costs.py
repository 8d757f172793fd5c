"""What a time is set against: operations, the machine's rate, eager, what the device did."""

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from bench.measuring import workload
from bench.results.cell import Row

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

CALL_FLOP = "call_flop"
"""In a row's `extra`, the floating-point operations of one call."""

ESTIMATED = "estimated_bytes"
"""In a row's `extra`, the memory that a call should need, as it was known before."""


OFF_EAGER = "levels_off_eager"
"""In a row's `extra`, how far a pixel of its picture lies from eager's, in levels of 255."""

UNATTRIBUTED = 0.05
"""Share of a watched call that may belong to no stage before the table says so."""


def flop_per_second(row: Row) -> float | None:
    """Return how many operations a second the call was worth; None where nobody counted them."""
    flop, seconds = row.extra.get(CALL_FLOP), median(row.samples)
    return flop / seconds if flop and seconds else None


def matrix_rate(row: Row, records: Mapping[str, Any]) -> float | None:
    """Return FLOP/s of a matrix product on the row's device, in its dtype, at the run's start."""
    return workload.matrix_rate(records, row.cell.device, str(row.cell.axes.get("dtype", "")))


def host_gap(row: Row) -> float | None:
    """Return the seconds of a call in which the device waited for its host; never below 0."""
    return None if row.busy is None else max(0.0, median(row.samples) - row.busy)


def times_eager(row: Row, rows: Iterable[Row]) -> float | None:
    """Return how many times as fast as eager `row` is; None where its eager row is not there."""
    axes = {axis: value for axis, value in row.cell.axes.items() if axis != "mode"}
    same = (each for each in rows if dict(each.cell.axes) == axes and each.weights == row.weights)
    eager = next(same, None)
    if eager is None or not median(row.samples):
        return None
    return median(eager.samples) / median(row.samples)


def unattributed(row: Row) -> float | None:
    """Return the seconds of the watched call that belong to no stage and are no host gap.

    None where that is at most a twentieth of the call, or where no call was watched by stages. On
    the CPU it is what runs between them: tokens, guidance, pixels.
    """
    if row.profiled is None or not row.stages:
        return None
    gap = 0.0 if row.busy is None else row.profiled - row.busy
    rest = row.profiled - gap - sum(row.stages.values())
    return rest if rest > UNATTRIBUTED * row.profiled else None
