"""Speedups: a row beside its peers, and beside the same work on one thread, in the same run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from bench.reporting.texts import plain, with_margin
from bench.results.cell import MEASURED, Axis, Row
from bench.results.units import percent
from bench.statistics import stats

__all__ = ["Speedup", "lines", "of_rows"]


@dataclass(frozen=True)
class Speedup:
    """How many times as fast a row is as another, by the medians of their times."""

    row: Row
    other: str
    """What the other is: `classic`, `1 thread`."""
    value: float
    margin: float | None
    """Half its interval, relative: the sum of both rows'; None where one has none."""


def of_rows(rows: Sequence[Row]) -> list[Speedup]:
    """Compare each measured row with its peers, and with one thread.

    Times are for an image; rows whose work differs otherwise are not compared.
    """
    measured = [row for row in rows if row.status == MEASURED and median(row.samples) > 0]
    peers: dict[Axes, list[Row]] = {}
    single: dict[Axes, Row] = {}
    for row in measured:
        if "peer" in row.cell.axes:
            peers.setdefault(_axes(row, "peer"), []).append(row)
        elif row.cell.axes.get("threads") == 1:
            single[_axes(row, "threads")] = row
    speedups = []
    for row in measured:
        if "peer" in row.cell.axes:
            continue
        for peer in peers.get(_axes(row), ()):
            speedups.append(_speedup(row, peer, str(peer.cell.axes["peer"])))
        one = single.get(_axes(row, "threads"))
        if one is not None and row.cell.axes.get("threads", 1) != 1:
            speedups.append(_speedup(row, one, "1 thread"))
    return speedups


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a line for each row that others of the run do the same work as."""
    texts: dict[str, list[str]] = {}
    for speedup in of_rows(rows):
        margin = "" if speedup.margin is None else f"\u00a0(±\u00a0{percent(speedup.margin)})"
        times = f"{with_margin(speedup.value, speedup.margin)}\u00a0×"
        text = f"{times} the speed of {plain(speedup.other)}{margin}"
        texts.setdefault(plain(speedup.row.cell.id), []).append(text)
    for name, comparisons in texts.items():
        yield f"{name}: {', '.join(comparisons)}"


Axes = frozenset[tuple[str, Axis]]


def _axes(row: Row, without: str = "") -> Axes:
    return frozenset((axis, value) for axis, value in row.cell.axes.items() if axis != without)


def _speedup(row: Row, other: Row, name: str) -> Speedup:
    seconds, others = (median(each.samples) / each.cell.images for each in (row, other))
    margins = [stats.margin(row.samples), stats.margin(other.samples)]
    known = [margin for margin in margins if margin is not None]
    return Speedup(row, name, others / seconds, sum(known) if len(known) == 2 else None)
