"""Ratios: how a row compares with its peers and with fewer threads, in the same run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.results.cell import MEASURED, Axis, Row
from bench.statistics import stats

__all__ = ["Ratio", "of_rows"]


@dataclass(frozen=True)
class Ratio:
    """How many times as fast a row is as another, by the medians of their times."""

    row: Row
    other: str
    """What the other is: `classic`, `1 thread`."""
    value: float
    margin: float | None
    """Half its interval, relative: the sum of both rows'; None where one has none."""


def of_rows(rows: Sequence[Row]) -> list[Ratio]:
    """Compare each measured row with those that differ from it in being a peer's, or in threads.

    Times are for an image; rows whose work differs otherwise are not compared.
    """
    measured = [row for row in rows if row.status == MEASURED]
    found = []
    for row in measured:
        if "peer" in row.cell.axes:
            continue
        for other in measured:
            axes = _without(other.cell.axes, "peer")
            if "peer" in other.cell.axes and axes == row.cell.axes:
                found.append(_ratio(row, other, str(other.cell.axes["peer"])))
        threads = row.cell.axes.get("threads", 1)
        for other in measured:
            fewer = other.cell.axes.get("threads") == 1 != threads
            if fewer and _without(other.cell.axes, "threads") == _without(row.cell.axes, "threads"):
                found.append(_ratio(row, other, "1 thread"))
    return found


def _ratio(row: Row, other: Row, name: str) -> Ratio:
    first, second = (median(each.samples) / each.cell.images for each in (row, other))
    margins = [stats.margin(each.samples) for each in (row, other)]
    known = [margin for margin in margins if margin is not None]
    return Ratio(row, name, second / first, sum(known) if len(known) == 2 else None)


def _without(axes: Mapping[str, Axis], name: str) -> dict[str, Axis]:
    return {axis: value for axis, value in axes.items() if axis != name}
