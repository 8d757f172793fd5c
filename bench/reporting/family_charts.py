"""The charts of one family's rows: latency and agreement by steps, images a second, stages."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from math import ceil, isinf
from statistics import median
from typing import Literal

from bench.reporting import fits
from bench.reporting.charts import MOST_ROWS, Chart, Figures, Point, Series, chunks
from bench.reporting.columns import STAGES
from bench.reporting.texts import NOTHING, cut, duration, relative, spaced, unit_of, with_margin
from bench.results.cell import AGREED, JUDGED, MEASURED, WALL, Row
from bench.results.units import percent
from bench.statistics import proportion, stats
from bench.statistics.fit import BETWEEN, Fit

__all__ = ["MOST_CHARTS", "MOST_POINTS", "MOST_SERIES", "of_family"]

MOST_SERIES = 6
"""Series in one chart: as many as there are markers and colours that can be told apart."""

MOST_POINTS = 32
"""Points of one series: of more, every second is drawn, or every third, …; the tables have all."""

MOST_CHARTS = 12
"""Charts of one family: bounds the page; every figure is in the tables."""

SHORTEST = 1e-12
"""Seconds below which nothing is a time: a rate would grow beyond any scale."""

GAP, REST = "host gap", "rest"
"""Time in the profiled call that no stage accounts for: the device waiting for its host, and what
is left."""

LONGEST = 80
"""Characters of a name in a title."""

TITLE_PARTS = 2
"""Series that a title tells of."""

NAMES = {"flux": "Flux", "reference": "PyTorch", "compiled": "PyTorch compiled"}
"""What a title calls an engine; another keeps its name."""

DEVICES = {"cpu": "the CPU", "cuda": "CUDA"}

INTERVAL = "95 % interval"
EXACT = "exact 95 % interval"
WITH_INTERVAL = "median and 95 % interval"


def of_family(family: str, rows: Iterable[Row], between: float = BETWEEN) -> list[Chart]:
    """Return the charts of one family's rows, at most `MOST_CHARTS`; none where none would help.

    `between` is that of the steps fit.
    """
    drawable = [row for row in rows if row.status == MEASURED and min(row.samples) >= SHORTEST]
    of_steps = partial(_steps, between=between)
    makers: dict[str, Callable[[list[Row]], Iterable[Chart]]] = {
        "generate": of_steps,
        "preprocess": _regimes,
        "forward": _batches,
    }
    charts = [*makers[family](drawable)] if family in makers else []
    return [*charts, *_stages(drawable)][:MOST_CHARTS]


def _steps(rows: Sequence[Row], between: float) -> Iterator[Chart]:
    """Latency over steps, a series a size, with the fitted line; then agreement over steps."""
    for group, members in _grouped(rows, without=("size", "steps")).items():
        sizes = _by(members, _size).items()
        series = [
            (size, _thinned(sorted(of_size, key=lambda row: row.cell.steps)))
            for size, of_size in sizes
            if len(of_size) > 1
        ]
        for piece in chunks(series, MOST_SERIES):
            yield _steps_chart(group, piece, between)
            judged = [
                (size, [row for row in members if row.extra.get(JUDGED)]) for size, members in piece
            ]
            if several := [each for each in judged if len(each[1]) > 1]:
                yield _agreement_chart(group, several)


def _steps_chart(group: str, sizes: Sequence[tuple[str, list[Row]]], between: float) -> Chart:
    rows = [row for _, members in sizes for row in members]
    unit, scale = unit_of(max(median(row.samples) for row in rows))
    per = f"{unit}/{'image' if rows[0].cell.images == 1 else 'call'}"

    def time(row: Row) -> Point:
        return _point(row, row.cell.steps, lambda seconds: seconds * scale, 1)

    series, parts, lines = [], [], []
    for size, members in sizes:
        fit = next(iter(fits.of_steps(members, between)), None)
        line = None
        if fit is not None:
            lines.append((size, *_fit_figures(fit.fit)))
            if fit.outlier is None:
                line = fit.fit.fixed * scale, fit.fit.per_step * scale
        series.append(Series(size, [time(row) for row in members], line))
        parts.append(f"{size} {fits.in_words(fit) if fit else _growth_words(members)}")
    title = _of_parts(parts)
    points = [(_size(row), str(row.cell.steps), *_figures(row, time(row))) for row in rows]
    headings = ("size", "steps", per, INTERVAL, "rounds")
    figures = [Figures(f"{group}: {per}, {WITH_INTERVAL}", headings, points)]
    if lines:
        of_fit = ("size", "a step", INTERVAL, "fixed", INTERVAL, "furthest point")
        figures.append(Figures("the fitted lines: fixed + a step × steps", of_fit, lines))
    what = "Time by denoising steps"
    return _chart("lines", f"{group}: {title}", what, per, "steps", series, figures)


def _agreement_chart(group: str, sizes: Sequence[tuple[str, list[Row]]]) -> Chart:
    """Agreement over steps, a series a size, with exact intervals."""
    series, parts, figures = [], [], []
    for size, rows in sizes:
        points = []
        for row in rows:
            agreed, judged = round(row.extra.get(AGREED, 0)), round(row.extra[JUDGED])
            low, high = (100 * end for end in proportion.interval(agreed, judged))
            points.append(Point(row.cell.steps, 100 * agreed / judged, (low, high)))
            interval = f"{low:.0f} to {high:.0f} %"
            figures.append((size, str(row.cell.steps), f"{agreed} of {judged}", interval))
        first, last = figures[-len(rows)], figures[-1]
        parts.append(f"{size} {first[2]} agree at {first[1]} steps, {last[2]} at {last[1]}")
        series.append(Series(size, points))
    headings = ("size", "steps", "agree", INTERVAL)
    return Chart(
        kind="lines",
        title=f"{group}: {_of_parts(parts)}",
        description=f"Pictures that agree with their prompt, with {EXACT}s. {'; '.join(parts)}.",
        unit="% of pictures that agree with their prompt",
        along="steps",
        series=series,
        figures=[Figures(f"pictures that agree with their prompt, {EXACT}", headings, figures)],
    )


def _of_parts(parts: Sequence[str]) -> str:
    """Return what a title tells: the first parts, and how many more there are."""
    more = len(parts) - TITLE_PARTS
    return "; ".join(parts[:TITLE_PARTS]) + (f"; {more} more" if more > 0 else "")


def _batches(rows: Sequence[Row]) -> Iterator[Chart]:
    """Images a second over the batch, a series an engine and device, as Python sees them."""
    called = [row for row in rows if row.clock == WALL and row.cell.regime.get("model") != "none"]
    for group, members in _grouped(called, without=("engine", "device", "batch")).items():
        engines = [
            _thinned(sorted(of_engine, key=lambda row: row.cell.images))
            for of_engine in _by(members, _engine).values()
            if len(of_engine) > 1
        ]
        for piece in chunks(engines, MOST_SERIES):
            yield _batches_chart(group, piece)


def _batches_chart(group: str, engines: Sequence[list[Row]]) -> Chart:
    series = [
        Series(_engine(members[0]), [_rate(row, row.cell.images) for row in members])
        for members in engines
    ]
    rows = [row for members in engines for row in members]
    figures = [(_engine(row), str(row.cell.images), *_figures(row, _rate(row))) for row in rows]
    headings = ("engine", "batch", "images/s", INTERVAL, "rounds")
    title = f"{group}: {_batches_title(rows)}" if group else _batches_title(rows)
    table = Figures(f"images/s, {WITH_INTERVAL}", headings, figures)
    return _chart("lines", title, "Images a second by batch", "images/s", "batch", series, [table])


def _batches_title(rows: Sequence[Row]) -> str:
    """Say how the fastest Flux compares with the fastest other, where the batch is smallest."""
    batch = min(row.cell.images for row in rows)
    fastest = sorted((row for row in rows if row.cell.images == batch), key=_seconds)
    flux = [row for row in fastest if row.cell.axes.get("engine") == "flux"]
    others = [row for row in fastest if row.cell.axes.get("engine") != "flux"]
    if flux and others:
        return f"At batch {batch} {_speedup(others[0], flux[0], _engine_words)}"
    first = fastest[0]
    rate = with_margin(1 / _seconds(first), stats.margin(first.samples))
    return f"At batch {batch} {_engine_words(first)} scores {rate} images/s"


def _regimes(rows: Sequence[Row]) -> Iterator[Chart]:
    """Images a second within each regime; those of a single row beside each other."""
    groups = list(_by(rows, lambda row: str(row.cell.axes.get("regime"))).values())
    alone = [row for members in groups if len(members) == 1 for row in members]
    for members in (*groups, alone):
        if len(members) > 1:
            yield from map(_regimes_chart, chunks(members, MOST_ROWS))


def _regimes_chart(rows: Sequence[Row]) -> Chart:
    ordered = sorted(rows, key=_seconds)
    series = [Series(_name(row), [_rate(row)]) for row in rows]
    figures = Figures(
        f"images/s, {WITH_INTERVAL}",
        ("cell", "images/s", INTERVAL, "rounds"),
        [(_name(row), *_figures(row, _rate(row))) for row in rows],
    )
    title = _speedup(ordered[0], ordered[-1], _name)
    return _chart("dots", title, "Images a second by regime", "images/s", "", series, [figures])


def _stages(rows: Sequence[Row]) -> Iterator[Chart]:
    """Where one profiled call of each row went, by stage."""
    profiled = [row for row in rows if row.stages and row.profiled]
    for members in _grouped(profiled, without=("size", "steps")).values():
        yield from map(_stages_chart, chunks(members, MOST_ROWS))


def _stages_chart(rows: Sequence[Row]) -> Chart:
    unit, scale = unit_of(max(row.profiled or 0.0 for row in rows))
    known = dict.fromkeys([*STAGES, *(stage for row in rows for stage in row.stages)])
    stages = [name for name in known if any(name in row.stages for row in rows)][: MOST_SERIES - 2]
    gap = [GAP] if any(row.busy is not None for row in rows) else []
    names = [*stages, *gap, REST]
    parts = [_parts(row, stages) for row in rows]
    series = [
        Series(
            cut(name, LONGEST),
            [Point(at, part[name] * scale, None) for at, part in enumerate(parts)],
        )
        for name in names
    ]
    longest = max(range(len(rows)), key=lambda index: rows[index].profiled or 0.0)
    largest = max(stages, key=lambda name: parts[longest][name])
    share = parts[longest][largest] / sum(parts[longest].values()) * 100
    cells = list(map(_name, rows))
    title = f"{cut(largest, LONGEST)} takes {share:.0f} % of a call of {cells[longest]}"
    figures = [
        (cell, *(with_margin(seconds * scale, None) for seconds in (
            *(part[name] for name in names), row.profiled or 0.0)))
        for row, cell, part in zip(rows, cells, parts, strict=True)
    ]  # fmt: skip
    headings = ("cell", *(cut(name, LONGEST) for name in names), "call")
    of_call = f"{unit} of one profiled call"
    return Chart(
        kind="stacked",
        title=title,
        description=f"Where one profiled call went, in {unit}, by stage. {title}.",
        unit=of_call,
        along="",
        series=series,
        figures=[Figures(f"{of_call}: no median, so no interval", headings, figures)],
        names=cells,
    )


def _parts(row: Row, stages: Sequence[str]) -> dict[str, float]:
    """Return the seconds of a profiled call by stage, then what is left; none is below 0."""
    parts = {name: row.stages.get(name, 0.0) for name in stages}
    whole = row.profiled or 0.0
    parts[GAP] = 0.0 if row.busy is None else max(0.0, whole - row.busy)
    return parts | {REST: max(0.0, whole - sum(parts.values()))}


def _speedup(one: Row, other: Row, name: Callable[[Row], str]) -> str:
    """Say how many times the images a second of the slower row the faster one does.

    Says nothing of the kind where the intervals of the two medians overlap.
    """
    fast, slow = sorted((one, other), key=_seconds)
    high, low = _rate(fast).interval, _rate(slow).interval
    if high is None or low is None:
        return f"{name(fast)} and {name(slow)}: too few samples to say which is faster"
    if high[0] <= low[1]:
        return f"{name(fast)} and {name(slow)} are equally fast within their intervals"
    ratio = _seconds(slow) / _seconds(fast)
    # two digits, three below 2: 1.04 is not 1
    rounded = float(f"{ratio:.{3 if ratio < 2 else 2}g}")
    times = f"{rounded:,g}".replace(",", " ")
    return f"{name(fast)} does {times}× the images/s of {name(slow)}"


def _growth_words(rows: Sequence[Row]) -> str:
    first, last = rows[0], rows[-1]
    start, end = duration(median(first.samples)), duration(median(last.samples))
    return f"{start} at {first.cell.steps} steps, {end} at {last.cell.steps}"


def _fit_figures(fit: Fit) -> tuple[str, ...]:
    return (
        *_estimate(fit.per_step, fit.per_step_interval),
        *_estimate(fit.fixed, fit.fixed_interval),
        percent(fit.max_residual),
    )


def _estimate(value: float, interval: tuple[float, float]) -> tuple[str, str]:
    """Return a time and its interval, in the time's unit and digits."""
    if isinf(interval[1]):
        return duration(value), NOTHING
    margin = relative(value, interval)
    unit, scale = unit_of(abs(value))
    ends = _ends([end * scale for end in interval], value * scale, margin)
    return f"{with_margin(value * scale, margin)} {unit}", f"{ends} {unit}"


def _figures(row: Row, point: Point) -> tuple[str, str, str]:
    """Return a row's value, its interval and its rounds."""
    interval = _ends(point.interval, point.value, point.margin) if point.interval else NOTHING
    return with_margin(point.value, point.margin), interval, spaced(len(row.samples))


def _ends(interval: Sequence[float], value: float, margin: float | None) -> str:
    """Return an interval whose ends have as many decimals as the value has."""
    decimals = len(with_margin(value, margin).partition(".")[2])
    return " to ".join(spaced(end, decimals) for end in interval)


def _point(row: Row, at: float, convert: Callable[[float], float], images: int) -> Point:
    """Return a row's median over so many images and its interval, as `convert` has them."""
    ends = stats.median_interval(row.samples)
    interval = None
    if ends is not None:
        low, high = sorted(convert(end / images) for end in ends)
        interval = low, high
    value = convert(median(row.samples) / images)
    return Point(at, value, interval, stats.margin(row.samples))


def _rate(row: Row, at: float = 0) -> Point:
    """Return a row's images a second."""
    return _point(row, at, lambda seconds: 1 / seconds, row.cell.images)


def _seconds(row: Row) -> float:
    """Return the median time of an image."""
    return median(row.samples) / row.cell.images


def _grouped(rows: Sequence[Row], without: tuple[str, ...]) -> dict[str, list[Row]]:
    """Group rows by the axes that are not named, as the id spells them."""

    def rest(row: Row) -> str:
        axes = {axis: value for axis, value in row.cell.axes.items() if axis not in without}
        return cut(" ".join(map(str, axes.values())), LONGEST)

    return _by(rows, rest)


def _by(rows: Sequence[Row], key: Callable[[Row], str]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _name(row: Row) -> str:
    return cut(row.cell.id, LONGEST)


def _engine(row: Row) -> str:
    return cut(f"{row.cell.axes.get('engine')} {row.cell.axes.get('device')}", LONGEST)


def _engine_words(row: Row) -> str:
    engine, device = str(row.cell.axes.get("engine")), str(row.cell.axes.get("device"))
    return cut(f"{NAMES.get(engine, engine)} on {DEVICES.get(device, device)}", LONGEST)


def _size(row: Row) -> str:
    """Return 768×512 for 768x512."""
    return re.sub(r"(?<=\d)x(?=\d)", "×", cut(str(row.cell.axes.get("size")), LONGEST))


def _thinned(rows: list[Row]) -> list[Row]:
    """Leave out rows evenly, and keep the last."""
    return rows[:: -ceil(len(rows) / MOST_POINTS)][::-1]


def _chart(
    kind: Literal["lines", "dots"],
    title: str,
    what: str,
    unit: str,
    along: str,
    series: Sequence[Series],
    figures: Sequence[Figures],
) -> Chart:
    """Return a chart described by the first and last value of each series."""
    place = {"steps": " at {:g} steps", "batch": " at batch {:g}"}.get(along, "")
    parts = []
    for one in series[:MOST_SERIES]:
        ends = dict.fromkeys([one.points[0], one.points[-1]])
        values = (with_margin(point.value, None) + place.format(point.at) for point in ends)
        parts.append(f"{one.name}: {', '.join(values)}")
    description = f"{what}, medians with 95 % intervals, in {unit}. {'; '.join(parts)}."
    return Chart(kind, title, description, unit, along, series, figures)
