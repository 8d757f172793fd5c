"""Lines through latencies: over the steps, and over the images of a call, of cells alike else."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from bench.reporting.texts import about, duration, plain, plus_minus, with_margin
from bench.results.cell import MEASURED, OUT_OF_MEMORY, Row
from bench.results.units import percent
from bench.statistics import stats
from bench.statistics.fit import BETWEEN, Fit, fit_line

__all__ = [
    "OFF_THE_LINE",
    "Latency",
    "LineFit",
    "batch_lines",
    "in_words",
    "of_batches",
    "of_steps",
    "step_lines",
]

OFF_THE_LINE = 0.05
"""Distance from the line, relative to the latency, above which a point is off it, unless the
median's own interval is wider than that."""

FURTHEST_APART = 1e9

FEWEST = 3
"""Points for a fit: through two, every line fits."""

SAME_COST = 0.05
"""Distance, relative, within which two times of an image are the same."""


@dataclass(frozen=True)
class Latency:
    """The measured time of a call with so many steps, or images."""

    count: int
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
class LineFit:
    """The line through the latencies of one kind of call."""

    name: str
    """What the cells share: their id without the axis of the line."""
    latencies: tuple[Latency, ...]
    """In the order of their counts."""
    fit: Fit
    """In seconds a call."""

    @property
    def outlier(self) -> Latency | None:
        """The latency furthest from the line, where it is off by more than 5 % and its noise.

        None where no point has the rounds that show the noise.
        """
        if not self.fit.freedom:
            return None
        worst = max(self.latencies, key=self.residual)
        return worst if self.residual(worst) > max(OFF_THE_LINE, worst.margin) else None

    @property
    def prediction(self) -> tuple[float, float, float] | None:
        """The last latency by the line through the others: seconds, low and high end.

        None where the others are fewer than three, or have too few rounds for an interval.
        """
        *others, last = self.latencies
        if len(others) < FEWEST or all(len(latency.samples) < 2 for latency in others):
            return None
        return _fit(others, self.fit.between).predict(last.count)

    def residual(self, latency: Latency) -> float:
        """Return how far a latency lies from the line, relative to it."""
        line = self.fit.fixed + self.fit.per_step * latency.count
        return abs(line - latency.seconds) / latency.seconds


def of_steps(rows: Iterable[Row], between: float = BETWEEN) -> list[LineFit]:
    """Return a fit for each kind of call that was measured at three numbers of steps or more.

    `between` is the relative spread between cells that differ in nothing.
    """
    return _fits(rows, "steps", _steps, between)


def of_batches(rows: Iterable[Row], between: float = BETWEEN) -> list[LineFit]:
    """Return a fit for each kind of call that was measured at three batches or more."""
    return _fits(rows, "batch", lambda row: row.cell.images, between)


def step_lines(rows: Iterable[Row], between: float = BETWEEN) -> list[str]:
    """Return the text of each fit over steps, below its heading; why where two steps give none."""
    rows = list(rows)
    texts = [line for fit in of_steps(rows, between) for line in _step_lines(fit)]
    heading = "steps fit: time of a call = fixed + per step × steps (± 95 %)"
    if not texts and max(map(len, _groups(rows, "steps", _steps).values()), default=0) == 2:
        return ["steps fit: none, as a line needs three numbers of steps, and there are two"]
    return [heading, *texts] if texts else []


def batch_lines(rows: Sequence[Row], between: float = BETWEEN) -> list[str]:
    """Return the text of each fit over batches, as `step_lines`, with the batch to choose."""
    too_large: dict[str, int] = {}
    for row in rows:
        if row.status == OUT_OF_MEMORY:
            name, images = _without(row, "batch"), row.cell.images
            too_large[name] = min(images, too_large.get(name, images))
    fits = of_batches(rows, between)
    texts = [line for fit in fits for line in _batch_lines(fit, too_large.get(fit.name))]
    heading = "batch fit: time of a call = fixed + per image × batch (± 95 %)"
    return [heading, *texts] if texts else []


def in_words(line: LineFit) -> str:
    """Return what a fit over steps says, for a title."""
    if (outlier := line.outlier) is not None:
        off = percent(line.residual(outlier))
        return f"is not a straight line: {off} off at {outlier.count} steps"
    fit = line.fit
    if not fit.freedom:
        step, fixed = duration(fit.per_step), duration(fit.fixed)
        return f"{step} a step after {fixed}, from single rounds"
    if fit.per_step_interval[0] <= 0:
        return "shows no growth with steps beyond its uncertainty"
    step = about(fit.per_step, fit.per_step_interval)
    if fit.fixed_interval[0] <= 0:
        return f"{step} a step"
    return f"{step} a step after {about(fit.fixed, fit.fixed_interval)}"


def _fits(
    rows: Iterable[Row], axis: str, count: Callable[[Row], int], between: float
) -> list[LineFit]:
    groups = _groups(rows, axis, count)
    ordered = {
        name: sorted(latencies, key=lambda latency: latency.count)
        for name, group in groups.items()
        if len(group) >= FEWEST  # most of a large run's are not, and a median takes its time
        and (latencies := [latency for latency in group if median(latency.samples) > 0])
    }
    return [
        LineFit(name, tuple(latencies), _fit(latencies, between))
        for name, latencies in ordered.items()
        if len({latency.count for latency in latencies}) >= FEWEST
        and _are_of_one_order([latency.seconds for latency in latencies])
    ]


def _groups(
    rows: Iterable[Row], axis: str, count: Callable[[Row], int]
) -> dict[str, list[Latency]]:
    """Return the latencies of each kind of call, by what its cells share."""
    groups: dict[str, list[Latency]] = {}
    for row in rows:
        if row.status == MEASURED and count(row):
            latency = Latency(count(row), row.samples)
            groups.setdefault(_without(row, axis), []).append(latency)
    return groups


def _steps(row: Row) -> int:
    return row.cell.steps


def _step_lines(line: LineFit) -> Iterator[str]:
    yield _line(line, "a step", "{} steps")
    if line.prediction is not None:
        seconds, *interval = line.prediction
        last = line.latencies[-1]
        yield (
            f"  check: the smaller step counts predict {plus_minus(seconds, interval)} "
            f"at {last.count} steps; measured {duration(last.seconds)}"
        )


def _batch_lines(line: LineFit, too_large: int | None) -> Iterator[str]:
    yield _line(line, "an image", "batch {}")
    image = {latency.count: latency.seconds / latency.count for latency in line.latencies}
    best = min(image, key=image.__getitem__)
    dearer = [count for count in image if image[count] > image[best] * (1 + SAME_COST)]
    below = max((count for count in dearer if count < best), default=0)
    above = min((count for count in dearer if count > best), default=max(image) + 1)
    alike = [count for count in image if below < count < above]
    where = f"from batch {alike[0]} on"
    if alike == [max(image)]:
        where = "at no smaller one: it still falls at the largest"
    if above <= max(image):
        where = f"from batch {alike[0]} to {alike[-1]}" if len(alike) > 1 else "at no other batch"
    limit = f"batch {too_large} ran out of memory"
    if too_large is None:
        limit = f"the largest batch tried, {max(image)}, fits"
    margin = next(latency.margin for latency in line.latencies if latency.count == best)
    yield (
        f"  most images/s at batch {best}: {with_margin(1 / image[best], margin)}; the time of an "
        f"image is within {percent(SAME_COST)} of the least {where}; {limit}"
    )


def _line(line: LineFit, unit: str, place: str) -> str:
    if not line.fit.freedom:
        fixed, slope = duration(line.fit.fixed), duration(line.fit.per_step)
        why = "too few rounds for an interval: one a point"
        return f"{plain(line.name)}: fixed {fixed}, {slope} {unit}; {why}"
    fixed = plus_minus(line.fit.fixed, line.fit.fixed_interval)
    slope = plus_minus(line.fit.per_step, line.fit.per_step_interval)
    return f"{plain(line.name)}: fixed {fixed}, {slope} {unit}; {_quality(line, place)}"


def _quality(line: LineFit, place: str) -> str:
    """Say whether the points lie on a line."""
    if (outlier := line.outlier) is not None:
        off = percent(line.residual(outlier))
        return f"not a straight line: {off} off at {place.format(outlier.count)}"
    furthest = max(map(line.residual, line.latencies))
    noise = "" if furthest <= OFF_THE_LINE else ", which the medians' own intervals explain"
    if line.fit.misfit:
        between = percent(line.fit.between)
        noise = f", more than their noise and {between} between cells explain: use it with care"
    return f"every point within {percent(furthest)} of the line{noise}"


def _are_of_one_order(times: Sequence[float]) -> bool:
    """Whether the squares of the shortest and the longest time fit into one sum."""
    return max(times) / FURTHEST_APART < min(times)


def _without(row: Row, axis: str) -> str:
    return row.cell.id_without(axis)


def _fit(latencies: Sequence[Latency], between: float) -> Fit:
    counts = [latency.count for latency in latencies]
    return fit_line(counts, [latency.samples for latency in latencies], between)
