"""The steps fit: latency = fixed + per step × steps, for cells that differ in nothing else."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from bench.results.cell import MEASURED, Row
from bench.statistics import stats

__all__ = ["OFF_THE_LINE", "Point", "StepsFit", "fits"]

OFF_THE_LINE = 0.05
"""Distance from the line over the latency that is no line, where it is no noise of the median."""

FEWEST = 3
"""Numbers of steps for a fit: through two, every line fits."""


@dataclass(frozen=True)
class Point:
    """A measured latency."""

    steps: int
    seconds: float
    """The median of a call."""
    margin: float
    """Half its interval over it; 0 where there is no interval."""


@dataclass(frozen=True)
class StepsFit:
    """The line through all the latencies of one kind of call, and how one of them was foreseen."""

    of: str
    """What the cells share: their id without the steps."""
    points: tuple[Point, ...]
    """In the order of their steps."""
    fit: stats.Fit
    """In seconds a call."""

    @property
    def off(self) -> Point | None:
        """The point furthest from the line, if it is off by more than 5 % and than its noise."""
        worst = max(self.points, key=self.residual)
        return worst if self.residual(worst) > max(OFF_THE_LINE, worst.margin) else None

    @property
    def foreseen(self) -> tuple[float, float, float] | None:
        """The last point by the line through the others: seconds, low and high end.

        None where the others are fewer than three.
        """
        *others, last = self.points
        return _fit(others).predict(last.steps) if len(others) >= FEWEST else None

    def residual(self, point: Point) -> float:
        """Return how far a point lies from the line, over its latency."""
        return abs(self.fit.fixed + self.fit.per_step * point.steps - point.seconds) / point.seconds


def fits(rows: Iterable[Row]) -> list[StepsFit]:
    """Return a fit for each kind of call that was measured at three numbers of steps or more."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.status == MEASURED and row.cell.steps and median(row.samples) > 0:
            groups.setdefault(_but_steps(row), []).append(row)
    found = []
    for of, members in groups.items():
        points = sorted(map(_point, members), key=lambda point: point.steps)
        if len({point.steps for point in points}) >= FEWEST:
            found.append(StepsFit(of, tuple(points), _fit(points)))
    return found


def _but_steps(row: Row) -> str:
    axes = {axis: value for axis, value in row.cell.axes.items() if axis != "steps"}
    return replace(row.cell, axes=axes).id


def _point(row: Row) -> Point:
    return Point(row.cell.steps, median(row.samples), stats.margin(row.samples) or 0.0)


def _fit(points: Sequence[Point]) -> stats.Fit:
    return stats.linear_fit([point.steps for point in points], [point.seconds for point in points])
