"""The charts of a report as data: what is drawn, a title that says what one sees, the figures."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, inf
from statistics import median
from typing import Literal, TypeVar

from bench.reporting import steps
from bench.reporting.stages import STAGES
from bench.reporting.texts import NOTHING, duration, plain, unit_of, with_margin
from bench.results.cell import MEASURED, WALL, Row
from bench.statistics import stats

__all__ = ["MOST_ROWS", "Chart", "Figures", "Point", "Series", "chunks", "of_family"]

T = TypeVar("T")

MOST_SERIES = 6
"""Series in one chart: as many as there are markers and colours that can be told apart."""

MOST_ROWS = 16
"""Rows in one chart of dots or bars."""

MOST_POINTS = 32
"""Points of one series: of more, every second is drawn, or every third, …; the tables have all."""

MOST_CHARTS = 12
"""Charts of one family: bounds the page; every figure is in the tables."""

LOG_FROM = 10.0
"""The largest value over the smallest from which a scale is logarithmic."""

SHORTEST = 1e-12
"""Seconds below which nothing is a time: a rate would grow beyond any scale."""

UNSURE = 0.1
"""Half an interval over its value from which a title says it."""

GAP, REST = "host gap", "rest"
"""What of a watched call is no stage's: the device waits for its host, and what is left."""

LONGEST = 80
"""Characters of a name in a title."""

TITLE_PARTS = 2
"""Series that a title tells of."""

NAMES = {"flux": "Flux", "reference": "PyTorch", "compiled": "PyTorch compiled"}
"""What a title calls an engine; another keeps its name."""

DEVICES = {"cpu": "the CPU", "cuda": "CUDA"}


@dataclass(frozen=True)
class Point:
    """A median and its 95 % interval, in the chart's unit."""

    at: float
    value: float
    interval: tuple[float, float] | None
    """None with fewer than six samples."""
    margin: float | None = None
    """What its digits are cut to, relative, here as in the tables; None where nothing is known."""


@dataclass(frozen=True)
class Series:
    """Points that belong together."""

    name: str
    points: Sequence[Point]
    line: tuple[float, float] | None = None
    """The fitted line: its value at 0, and what one more adds."""
    band: tuple[float, float] | None = None
    """What its value is held against: the noise floor of a ratio."""
    word: str = ""
    """What is said of its value: a verdict."""


@dataclass(frozen=True)
class Figures:
    """What a chart shows, as a table."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 0
    """How many columns at the end are words, not numbers."""


@dataclass(frozen=True)
class Chart:
    """One drawing and everything that is said of it."""

    kind: Literal["lines", "dots", "ratios", "stacked"]
    """Series over a number; a value, or a ratio, a name; parts of a whole for each of `names`."""
    title: str
    description: str
    """For who does not see it."""
    unit: str
    """Of the values."""
    along: str
    """What a point's `at` counts; empty for dots."""
    series: Sequence[Series]
    """For dots, one of a single point for each name."""
    figures: Sequence[Figures]
    names: Sequence[str] = ()
    """For stacked, what each point of a series is a part of."""

    @property
    def log(self) -> bool:
        """Whether the values' scale is logarithmic."""
        values = [point.value for each in self.series for point in each.points]
        may = self.kind == "dots" or self.log_along
        return may and max(values) / min(values) >= LOG_FROM

    @property
    def log_along(self) -> bool:
        """Whether `at` counts what doubles rather than what adds up."""
        return self.along == "batch"


def of_family(family: str, rows: Iterable[Row]) -> list[Chart]:
    """Return the charts of one family's rows, at most `MOST_CHARTS`; none where none would help."""
    drawn = [row for row in rows if row.status == MEASURED and min(row.samples) >= SHORTEST]
    makers = {"generate": _steps, "preprocess": _regimes, "forward": _batches}
    found = makers[family](drawn) if family in makers else []
    return [*found, *_stages(drawn)][:MOST_CHARTS]


def chunks(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Cut a list into the fewest pieces of at most `size`, none more than one longer than others.

    A last piece of one row would be a chart that compares nothing.
    """
    pieces = ceil(len(items) / size)
    ends = [len(items) * number // pieces for number in range(pieces + 1)] if pieces else []
    return [items[start:end] for start, end in pairwise(ends)]


def _steps(rows: Sequence[Row]) -> list[Chart]:
    """Latency over steps, a series a size, with the fitted line."""
    charts = []
    for group, members in _grouped(rows, without=("size", "steps")).items():
        sizes = [
            (size, _thinned(sorted(of_size, key=lambda row: row.cell.steps)))
            for size, of_size in _by(members, lambda row: str(row.cell.axes.get("size"))).items()
        ]
        sizes = [(size, of_size) for size, of_size in sizes if len(of_size) > 1]
        for some in chunks(sizes, MOST_SERIES):
            charts.append(_steps_chart(group, list(some)))
    return charts


def _steps_chart(group: str, sizes: list[tuple[str, list[Row]]]) -> Chart:
    everything = [row for _, members in sizes for row in members]
    unit, scale = unit_of(max(median(row.samples) for row in everything))
    per = f"{unit}/{'image' if everything[0].cell.images == 1 else 'call'}"

    def time(row: Row) -> Point:
        return _point(row, row.cell.steps, lambda seconds: seconds * scale, 1)

    series, said, lines = [], [], []
    for size, members in sizes:
        name = _times(size)
        found = steps.fits(members)
        line = None
        if found and found[0].off is None:
            line = found[0].fit.fixed * scale, found[0].fit.per_step * scale
        series.append(Series(name, [time(row) for row in members], line))
        said.append(f"{name} {_fit_words(found[0]) if found else _growth_words(members)}")
        lines += [(name, *_fit_figures(each.fit)) for each in found]
    more = len(said) - TITLE_PARTS
    title = "; ".join(said[:TITLE_PARTS]) + (f"; {more} more" if more > 0 else "")
    points = [
        (_times(size), str(row.cell.steps), *_figures(row, time(row)))
        for size, members in sizes
        for row in members
    ]
    headings = ("size", "steps", per, "95 % interval", "rounds")
    figures = [Figures(f"{group}: {per}, median and 95 % interval", headings, points)]
    if lines:
        of_fit = ("size", "a step", "95 % interval", "fixed", "95 % interval", "furthest point")
        figures.append(Figures("the fitted lines: fixed + a step × steps", of_fit, lines))
    return Chart(
        kind="lines",
        title=f"{group}: {title}",
        description=_description("Time by denoising steps", per, series, "{:g} steps"),
        unit=per,
        along="steps",
        series=series,
        figures=figures,
    )


def _batches(rows: Sequence[Row]) -> list[Chart]:
    """Images a second over the batch, a series an engine and device, as Python sees them."""
    charts = []
    called = [row for row in rows if row.clock == WALL and row.cell.regime.get("model") != "none"]
    for group, members in _grouped(called, without=("engine", "device", "batch")).items():
        engines = _by(members, lambda row: _engine(row, " ")).values()
        several = [sorted(each, key=lambda row: row.cell.images) for each in engines]
        several = [_thinned(each) for each in several if len(each) > 1]
        for some in chunks(several, MOST_SERIES):
            charts.append(_batches_chart(group, list(some)))
    return charts


def _batches_chart(group: str, engines: list[list[Row]]) -> Chart:
    series = [
        Series(_engine(members[0], " "), [_rate(row, row.cell.images) for row in members])
        for members in engines
    ]
    rows = [
        (_engine(row, " "), str(row.cell.images), *_figures(row, _rate(row)))
        for members in engines
        for row in members
    ]
    headings = ("engine", "batch", "images/s", "95 % interval", "rounds")
    title = _batches_title([row for members in engines for row in members])
    return Chart(
        kind="lines",
        title=f"{group}: {title}" if group else title,
        description=_description("Images a second by batch", "images/s", series, "batch {:g}"),
        unit="images/s",
        along="batch",
        series=series,
        figures=[Figures("images/s, median and 95 % interval", headings, rows)],
    )


def _batches_title(rows: Sequence[Row]) -> str:
    """Say how the fastest Flux compares with the fastest other, where the batch is smallest."""
    batch = min(row.cell.images for row in rows)
    fastest = sorted((row for row in rows if row.cell.images == batch), key=_seconds)
    flux = next((row for row in fastest if row.cell.axes.get("engine") == "flux"), None)
    others = [row for row in fastest if row.cell.axes.get("engine") != "flux"]
    if flux is None or not others:
        first = fastest[0]
        rate = with_margin(1 / _seconds(first), stats.margin(first.samples))
        return f"At batch {batch} {_engine(first)} scores {rate} images/s"
    return f"At batch {batch} {_ratio(others[0], flux, _engine)}"


def _regimes(rows: Sequence[Row]) -> list[Chart]:
    """Images a second within each regime; those of a single row beside each other."""
    groups = _by(rows, lambda row: str(row.cell.axes.get("regime")))
    alone = [row for members in groups.values() if len(members) == 1 for row in members]
    charts = []
    for some in [
        piece
        for members in (*groups.values(), alone)
        if len(members) > 1
        for piece in chunks(members, MOST_ROWS)
    ]:
        ordered = sorted(some, key=_seconds)
        series = [Series(_cut(row.cell.id), [_rate(row)]) for row in some]
        figures = Figures(
            "images/s, median and 95 % interval",
            ("cell", "images/s", "95 % interval", "rounds"),
            [(_cut(row.cell.id), *_figures(row, _rate(row))) for row in some],
        )
        charts.append(
            Chart(
                kind="dots",
                title=_ratio(ordered[0], ordered[-1], lambda row: _cut(row.cell.id)),
                description=_description("Images a second by regime", "images/s", series, ""),
                unit="images/s",
                along="",
                series=series,
                figures=[figures],
            )
        )
    return charts


def _stages(rows: Sequence[Row]) -> list[Chart]:
    """Where one watched call of each row went, by stage."""
    watched = [row for row in rows if row.stages and row.profiled]
    groups = _grouped(watched, without=("size", "steps"))
    return [
        _stages_chart(some) for members in groups.values() for some in chunks(members, MOST_ROWS)
    ]


def _stages_chart(rows: Sequence[Row]) -> Chart:
    unit, scale = unit_of(max(row.profiled or 0.0 for row in rows))
    found = dict.fromkeys([*STAGES, *(stage for row in rows for stage in row.stages)])
    stages = [name for name in found if any(name in row.stages for row in rows)][: MOST_SERIES - 2]
    names = [*stages, *([GAP] if any(row.busy is not None for row in rows) else []), REST]
    parts = [_parts(row, stages) for row in rows]
    series = [
        Series(_cut(name), [Point(at, part[name] * scale, None) for at, part in enumerate(parts)])
        for name in names
    ]
    longest = max(range(len(rows)), key=lambda index: rows[index].profiled or 0.0)
    most = max(stages, key=lambda name: parts[longest][name])
    share = parts[longest][most] / sum(parts[longest].values()) * 100
    cells = [_cut(row.cell.id) for row in rows]
    title = f"{_cut(most)} takes {share:.0f} % of a call of {cells[longest]}"
    figures = [
        (
            cell,
            *(with_margin(part[name] * scale, None) for name in names),
            with_margin((row.profiled or 0.0) * scale, None),
        )
        for row, cell, part in zip(rows, cells, parts, strict=True)
    ]
    headings = ("cell", *(_cut(name) for name in names), "call")
    return Chart(
        kind="stacked",
        title=title,
        description=f"Where one watched call went, in {unit}, by stage. {title}.",
        unit=f"{unit} of one watched call",
        along="",
        series=series,
        figures=[
            Figures(f"{unit} of one watched call: no median, so no interval", headings, figures)
        ],
        names=cells,
    )


def _parts(row: Row, stages: Sequence[str]) -> dict[str, float]:
    """Return the seconds of a watched call by stage, then what is left of it; none is below 0."""
    parts = {name: row.stages.get(name, 0.0) for name in stages}
    whole, busy = row.profiled or 0.0, row.busy
    parts[GAP] = 0.0 if busy is None else max(0.0, whole - busy)
    return parts | {REST: max(0.0, whole - sum(parts.values()))}


def _ratio(one: Row, other: Row, name: Callable[[Row], str]) -> str:
    """Say how many times the images a second of the slower row the faster one does.

    Says nothing of the kind where the intervals of the two medians meet.
    """
    fast, slow = sorted((one, other), key=_seconds)
    intervals = [_rate(row).interval for row in (fast, slow)]
    if intervals[0] is None or intervals[1] is None:
        return f"{name(fast)} and {name(slow)}: too few samples to say which is faster"
    if intervals[0][0] <= intervals[1][1]:
        return f"{name(fast)} and {name(slow)} do not differ beyond their intervals"
    return f"{name(fast)} does {_times_as_many(_seconds(slow) / _seconds(fast))} {name(slow)}"


def _times_as_many(ratio: float) -> str:
    """Return two digits, three below 2: 1.04 is not 1."""
    rounded = float(f"{ratio:.{3 if ratio < 2 else 2}g}")
    return f"{rounded:,g}× the images/s of".replace(",", " ")


def _fit_words(found: steps.StepsFit) -> str:
    fit = found.fit
    if found.off is not None:
        percent = found.residual(found.off) * 100
        return f"lies on no line: {percent:.2g} % off it at {found.off.steps} steps"
    if fit.per_step_interval[0] <= 0:
        return "shows no growth with steps beyond its uncertainty"
    step = _about(fit.per_step, fit.per_step_interval)
    if fit.fixed_interval[0] <= 0:
        return f"{step} a step"
    return f"{step} a step after {_about(fit.fixed, fit.fixed_interval)}"


def _about(seconds: float, interval: tuple[float, float]) -> str:
    """Return a time in three digits, and how unsure it is where that is more than a tenth."""
    margin = _relative(seconds, interval)
    if margin <= UNSURE:
        return duration(seconds)
    return f"{duration(seconds, margin)} ± {margin * 100:.0f} %"


def _growth_words(rows: Sequence[Row]) -> str:
    first, last = rows[0], rows[-1]
    start, end = duration(median(first.samples)), duration(median(last.samples))
    return f"{start} at {first.cell.steps} steps, {end} at {last.cell.steps}"


def _fit_figures(fit: stats.Fit) -> tuple[str, ...]:
    return (
        *_estimate(fit.per_step, fit.per_step_interval),
        *_estimate(fit.fixed, fit.fixed_interval),
        f"{fit.max_residual * 100:.2g} %",
    )


def _estimate(value: float, interval: tuple[float, float]) -> tuple[str, str]:
    """Return a time and its interval, in the time's unit and digits."""
    margin = _relative(value, interval)
    unit, scale = unit_of(abs(value))
    ends = " to ".join(_like(end * scale, value * scale, margin) for end in interval)
    return f"{with_margin(value * scale, margin)} {unit}", f"{ends} {unit}"


def _figures(row: Row, point: Point) -> tuple[str, str, str]:
    """Return a row's value, its interval and its rounds."""
    interval = NOTHING
    if point.interval is not None:
        interval = " to ".join(_like(end, point.value, point.margin) for end in point.interval)
    return (
        with_margin(point.value, point.margin),
        interval,
        f"{len(row.samples):,}".replace(",", " "),
    )


def _like(end: float, value: float, margin: float | None) -> str:
    """Return the end of an interval with as many decimals as its value has."""
    decimals = len(with_margin(value, margin).partition(".")[2])
    return f"{end:,.{decimals}f}".replace(",", " ")


def _point(row: Row, at: float, convert: Callable[[float], float], images: int) -> Point:
    """Return a row's median over so many images and its interval, as `convert` has them."""
    found = stats.median_interval(row.samples)
    interval = None
    if found is not None:
        low, high = sorted(convert(end / images) for end in found)
        interval = low, high
    value = convert(median(row.samples) / images)
    return Point(at, value, interval, stats.margin(row.samples))


def _rate(row: Row, at: float = 0) -> Point:
    """Return a row's images a second."""
    return _point(row, at, lambda seconds: 1 / seconds, row.cell.images)


def _seconds(row: Row) -> float:
    """Return the median time of an image."""
    return median(row.samples) / row.cell.images


def _relative(value: float, interval: tuple[float, float]) -> float:
    return (interval[1] - interval[0]) / 2 / abs(value) if value else inf


def _grouped(rows: Sequence[Row], without: tuple[str, ...]) -> dict[str, list[Row]]:
    """Group rows by the axes that are not named, as the id spells them."""

    def rest(row: Row) -> str:
        axes = {axis: value for axis, value in row.cell.axes.items() if axis not in without}
        return _cut(" ".join(map(str, axes.values())))

    return _by(rows, rest)


def _by(rows: Sequence[Row], key: Callable[[Row], str]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _engine(row: Row, on: str = " on ") -> str:
    engine, device = str(row.cell.axes.get("engine")), str(row.cell.axes.get("device"))
    if on == " ":
        return _cut(f"{engine} {device}")
    return _cut(f"{NAMES.get(engine, engine)} on {DEVICES.get(device, device)}")


def _cut(name: str) -> str:
    line = plain(name)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _times(size: str) -> str:
    """Return 768×512 for 768x512."""
    return re.sub(r"(?<=\d)x(?=\d)", "×", _cut(size))


def _thinned(rows: list[Row]) -> list[Row]:
    """Leave out rows evenly, and keep the last."""
    return rows[:: -ceil(len(rows) / MOST_POINTS)][::-1]


def _description(what: str, unit: str, series: Sequence[Series], along: str) -> str:
    """Return the ends of each series in words; the table has every point."""
    said = []
    for each in series[:MOST_SERIES]:
        ends = [each.points[0], each.points[-1]] if len(each.points) > 1 else each.points
        values = ", ".join(
            with_margin(point.value, None) + (f" at {along.format(point.at)}" if along else "")
            for point in ends
        )
        said.append(f"{each.name}: {values}")
    return f"{what}, medians with 95 % intervals, in {unit}. {'; '.join(said)}."
