"""The steps fit: latency = fixed + per step × steps, for cells that differ in nothing else."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from bench.reporting.texts import duration, plain, plus_minus
from bench.results.cell import MEASURED, Row
from bench.results.units import percent
from bench.statistics import stats
from bench.statistics.fit import BETWEEN, Fit, fit_line

__all__ = ["OFF_THE_LINE", "Latency", "StepsFit", "fits", "lines"]

OFF_THE_LINE = 0.05
"""Distance from the line, relative to the latency, above which a point is off it, unless the
median's own interval is wider than that."""

FURTHEST_APART = 1e9

FEWEST = 3
"""Numbers of steps for a fit: through two, every line fits."""


@dataclass(frozen=True)
class Latency:
    """The measured time of a call with so many steps."""

    steps: int
    samples: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """The median of a call."""
        return median(self.samples)

    @property
    def margin(self) -> float:
        """Half its interval, relative; half the range where there is none."""
        margin = stats.margin(self.samples)
        half = (max(self.samples) - min(self.samples)) / 2
        return half / self.seconds if margin is None else margin


@dataclass(frozen=True)
class StepsFit:
    """The line through the latencies of one kind of call."""

    name: str
    """What the cells share: their id without the steps."""
    latencies: tuple[Latency, ...]
    """In the order of their steps."""
    fit: Fit
    """In seconds a call."""

    @property
    def outlier(self) -> Latency | None:
        """The latency furthest from the line, where it is off by more than 5 % and its noise."""
        worst = max(self.latencies, key=self.residual)
        return worst if self.residual(worst) > max(OFF_THE_LINE, worst.margin) else None

    @property
    def prediction(self) -> tuple[float, float, float] | None:
        """The last latency by the line through the others: seconds, low and high end.

        None where the others are fewer than three.
        """
        *others, last = self.latencies
        if len(others) < FEWEST:
            return None
        return _fit(others, self.fit.between).predict(last.steps)

    def residual(self, latency: Latency) -> float:
        """Return how far a latency lies from the line, relative to it."""
        line = self.fit.fixed + self.fit.per_step * latency.steps
        return abs(line - latency.seconds) / latency.seconds


def fits(rows: Iterable[Row], between: float = BETWEEN) -> list[StepsFit]:
    """Return a fit for each kind of call that was measured at three numbers of steps or more.

    `between` is the relative spread between cells that differ in nothing.
    """
    groups: dict[str, list[Latency]] = {}
    for row in rows:
        if row.status == MEASURED and row.cell.steps and median(row.samples) > 0:
            latency = Latency(row.cell.steps, row.samples)
            groups.setdefault(_without_steps(row), []).append(latency)
    ordered = {
        name: sorted(latencies, key=lambda latency: latency.steps)
        for name, latencies in groups.items()
    }
    return [
        StepsFit(name, tuple(latencies), _fit(latencies, between))
        for name, latencies in ordered.items()
        if len({latency.steps for latency in latencies}) >= FEWEST
        and _are_of_one_order([latency.seconds for latency in latencies])
    ]


def lines(rows: Iterable[Row], between: float = BETWEEN) -> list[str]:
    """Return the text of each steps fit, preceded by a heading; nothing where there is no fit."""
    texts = [line for fit in fits(rows, between) for line in _lines(fit)]
    heading = "steps fit: time of a call = fixed + per step × steps (± 95 %)"
    return [heading, *texts] if texts else []


def _lines(steps_fit: StepsFit) -> Iterator[str]:
    fit = steps_fit.fit
    fixed = plus_minus(fit.fixed, fit.fixed_interval)
    per_step = plus_minus(fit.per_step, fit.per_step_interval)
    yield f"{plain(steps_fit.name)}: fixed {fixed}, {per_step} a step; {_quality(steps_fit)}"
    if steps_fit.prediction is not None:
        seconds, *interval = steps_fit.prediction
        last = steps_fit.latencies[-1]
        yield (
            f"  check: the smaller step counts predict {plus_minus(seconds, interval)} "
            f"at {last.steps} steps; measured {duration(last.seconds)}"
        )


def _quality(steps_fit: StepsFit) -> str:
    """Say whether the points lie on a line."""
    if (outlier := steps_fit.outlier) is not None:
        off = percent(steps_fit.residual(outlier))
        return f"not a straight line: {off} off at {outlier.steps} steps"
    furthest = max(map(steps_fit.residual, steps_fit.latencies))
    noise = "" if furthest <= OFF_THE_LINE else ", which the medians' own intervals explain"
    if steps_fit.fit.misfit:
        between = percent(steps_fit.fit.between)
        noise = f", more than their rounds and {between} between cells explain: intervals widened"
    return f"every point within {percent(furthest)} of the line{noise}"


def _are_of_one_order(times: Sequence[float]) -> bool:
    """Whether the squares of the shortest and the longest time fit into one sum."""
    return max(times) / FURTHEST_APART < min(times)


def _without_steps(row: Row) -> str:
    axes = {axis: value for axis, value in row.cell.axes.items() if axis != "steps"}
    return replace(row.cell, axes=axes).id


def _fit(latencies: Sequence[Latency], between: float) -> Fit:
    steps = [latency.steps for latency in latencies]
    return fit_line(steps, [latency.samples for latency in latencies], between)
