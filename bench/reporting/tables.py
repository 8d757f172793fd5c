"""The tables: rows in natural units, a table a family, and what has no number."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from math import inf, isfinite
from statistics import median
from typing import Any

from bench.machine.records import summary
from bench.reporting import caveats, ratios, stages
from bench.reporting.layout import NARROWEST, Column, Notes, console_of, table_of
from bench.reporting.texts import (
    NOTHING,
    aligned,
    counted,
    duration,
    or_nothing,
    percent,
    plain,
    spaced,
    unit_of,
    with_margin,
    wrapped,
)
from bench.results import costs
from bench.results.cell import CHECKED, MEASURED, Cell, Row
from bench.statistics import stats

__all__ = [
    "LAYOUTS",
    "Contents",
    "FamilyTable",
    "Layout",
    "Unmeasured",
    "contents",
    "families_of",
    "render",
]

P95_ROUNDS = 20
"""Rounds below which a 95th percentile would be the slowest sample or a guess."""

EXTRAS = (
    ("julia_allocated_bytes", "Julia MB/call", 1e6),
    ("energy_j_per_image", "J/image", 1.0),
    ("times_an_empty_loop", "× empty loop", 1.0),
    ("empty_loop_ns", "empty loop ns", 1.0),
    ("peak_allocated_bytes", "peak MB", 1e6),
    ("peak_reserved_bytes", "reserved MB", 1e6),
    ("gpu_process_bytes", "process MB", 1e6),
    ("peak_rss_bytes", "peak RSS MB", 1e6),
)
"""Columns of what else was measured, each where a row has it: key, heading, unit."""

HOW_TO_READ = (
    "times: medians of the wall clock, the device synchronised, after warm-up",
    "±\u00a095\u00a0%: half the median's 95\u00a0% interval, relative to the median",
    f"p95: from {P95_ROUNDS}\u00a0rounds\u00a0on",
)


@dataclass(frozen=True)
class Layout:
    """How a family reads: its title, what a time is for, and its rates."""

    title: str
    per_image: bool
    rates: tuple[str, ...]


@dataclass(frozen=True)
class FamilyTable:
    """What is known of a family's measured cells, as texts."""

    family: str
    title: str
    ran_on: str
    """Weights and threads; empty where no row says them."""
    columns: Sequence[Column]
    """What matters most first."""
    ratios: Sequence[str]
    """How fast a row is beside others that do the same work; none where none do."""
    watched: str
    """Whose time the stages have; empty where no call was watched."""
    stages: Sequence[Column]
    """Where the watched calls went."""
    fits: Sequence[str]
    """The steps fits in words, what they are first; none where there are none."""


@dataclass(frozen=True)
class Unmeasured:
    """Cells that share the reason why they have no number."""

    status: str
    cells: str
    """How many of which family; of a single one its name."""
    names: Sequence[str]
    reason: str
    remedy: str


@dataclass(frozen=True)
class Contents:
    """What is said of a run's rows, as texts without a layout."""

    tables: Sequence[FamilyTable]
    how_to_read: Sequence[str]
    notes: Sequence[str]
    """Footnotes, each after its sign."""
    meanwhile: Sequence[str]
    """What was watched of the machine while it measured, and what it could do."""
    checked: str
    """How many cells were only checked; empty for none."""
    unmeasured: Sequence[Unmeasured]


LAYOUTS = {
    "generate": Layout("generate · prompt → images, by diffusers", True, ("it/s",)),
    "preprocess": Layout("preprocess · images → batch, by torchvision", True, ("images/s",)),
    "forward": Layout(
        "forward · batch → scores, by Flux.jl and a PyTorch reference", False, ("images/s",)
    ),
    "end_to_end": Layout("end to end · images → batch → scores", True, ("images/s",)),
    "harness": Layout("harness · a call that does nothing: what measuring costs", False, ()),
    "cold": Layout("cold · what happens once in a process", False, ()),
}

RATES: dict[str, Callable[[Row, float], float]] = {
    "it/s": lambda row, seconds: row.cell.steps / seconds,
    "images/s": lambda row, seconds: row.cell.images / seconds,
}


def render(rows: Sequence[Row], records: Mapping[str, Any], width: int, color: bool = False) -> str:
    """Return the run as text of at most `width` columns: a table a family, then what has no number.

    `records` are the machine's; `color` adds terminal colours. Below 40 columns it stays at 40.
    """
    width = max(width, NARROWEST)
    out = StringIO()
    console = console_of(out, width, color)
    console.print(wrapped(summary(records), width), style="bold")
    found = contents(rows, records)
    for each in found.tables:
        console.print()
        console.print(wrapped(each.title, width), style="bold")
        if each.ran_on:
            console.print(wrapped(each.ran_on, width), style="dim")
        console.print(table_of(each.columns, width))
        for line in each.ratios:
            console.print(wrapped(line, width, 4))
        if each.stages:
            console.print()
            console.print(wrapped(each.watched, width), style="dim")
            console.print(table_of(each.stages, width, always=len(each.stages) - 2))
        for line in ("", *each.fits) if each.fits else ():
            console.print(wrapped(line, width, 2), style="dim")
    if found.how_to_read:
        console.print()
        console.print(wrapped("; ".join(found.how_to_read), width), style="dim")
    for line in found.notes:
        console.print(wrapped(line, width, 2), style="dim")
    for line in found.meanwhile:
        console.print(wrapped(line, width, 2), style="dim")
    for line in _without_number(found):
        console.print(wrapped(line, width, 4))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def contents(rows: Sequence[Row], records: Mapping[str, Any]) -> Contents:
    """Return the texts of a run: a table a family, how to read them, and what has no number."""
    measured = [row for row in rows if row.status == MEASURED]
    notes = Notes()
    tables = []
    for family in families_of(row.cell for row in measured):
        layout = LAYOUTS.get(family, Layout(family, False, ()))
        members = [row for row in measured if row.cell.family == family]
        watched = [row for row in members if row.stages]
        tables.append(
            FamilyTable(
                family,
                title=plain(layout.title),
                ran_on=plain(_ran_on(members)),
                columns=_columns(layout, members, notes, records),
                ratios=_ratios(members),
                watched=stages.whose(watched) if watched else "",
                stages=stages.columns(watched) if watched else [],
                fits=stages.fits(members),
            )
        )
    checked = sum(row.status == CHECKED for row in rows)
    return Contents(
        tables=tables,
        how_to_read=_how_to_read(measured) if measured else [],
        notes=notes.lines(),
        meanwhile=[*caveats.watched(measured), *caveats.reference(records)],
        checked=f"{counted(checked)} held the contract; nothing was timed" if checked else "",
        unmeasured=_unmeasured(rows),
    )


def families_of(cells: Iterable[Cell]) -> list[str]:
    """Return the families of these cells, in the order of the pipeline."""
    found = dict.fromkeys(cell.family for cell in cells)
    known = [family for family in LAYOUTS if family in found]
    return [*known, *(family for family in found if family not in LAYOUTS)]


def _columns(
    layout: Layout, rows: Sequence[Row], notes: Notes, records: Mapping[str, Any]
) -> list[Column]:
    """Return all that is known of these rows, what matters most first."""
    medians = [median(row.samples) for row in rows]
    margins = [stats.margin(row.samples) for row in rows]
    images = [row.cell.images if layout.per_image else 1 for row in rows]
    unit, scale = unit_of(max(each / count for each, count in zip(medians, images, strict=True)))

    def time(seconds: float | None, index: int) -> str:
        if seconds is None:
            return NOTHING
        return with_margin(seconds / images[index] * scale, margins[index])

    def rate(name: str, index: int) -> str:
        found = RATES[name](rows[index], medians[index]) if medians[index] else inf
        return with_margin(found, margins[index]) if isfinite(found) else NOTHING

    p95 = Column("p95", aligned(time(_p95(row), index) for index, row in enumerate(rows)))
    rates = [
        Column(name, aligned(rate(name, index) for index in range(len(rows))))
        for name in layout.rates
    ]
    eager = _against_eager(rows)
    return [
        Column("cell", [_id(row, notes) for row in rows]),
        Column(
            f"{unit}/{'image' if layout.per_image else 'call'}",
            aligned(time(each, index) for index, each in enumerate(medians)),
        ),
        Column("± 95 %", [percent(each) for each in margins]),
        Column("rounds", [spaced(len(row.samples), 0) for row in rows]),
        *_dropped(rows),
        *([*rates, *eager, p95] if eager else [p95, *rates]),
        *_set_against(rows, records),
        *(
            Column(heading, aligned(time(each, index) for index, each in enumerate(found)))
            for heading, found in (
                ("busy", [row.busy for row in rows]),
                ("host gap", [costs.host_gap(row) for row in rows]),
            )
            if any(each is not None for each in found)
        ),
        Column("first call", [duration(row.first_call) for row in rows]),
        *(
            column
            for key, heading, unit in EXTRAS
            if (column := _extra(rows, key, heading, unit)) is not None
        ),
        Column("limited by", [plain(row.limited_by) for row in rows], "left"),
    ]


def _against_eager(rows: Sequence[Row]) -> list[Column]:
    """Return how many times as fast as eager other modes are, where both were measured."""
    ratios = [costs.times_eager(row, rows) if "mode" in row.cell.axes else None for row in rows]
    return [Column("× eager", [or_nothing(each, "{:.2f}") for each in ratios])] * any(ratios)


def _set_against(rows: Sequence[Row], records: Mapping[str, Any]) -> list[Column]:
    """Return what times are worth in operations, over the machine's own rate, and in images."""
    columns = []
    rates = [costs.flop_per_second(row) for row in rows]
    known = [each for each in rates if each is not None]
    if known:
        unit, scale = ("TFLOP/s", 1e-12) if max(known) >= 1e11 else ("GFLOP/s", 1e-9)
        texts = [NOTHING if each is None else with_margin(each * scale, None) for each in rates]
        columns.append(Column(unit, aligned(texts)))
    ceilings = [costs.matrix_rate(row, records) for row in rows]
    shares = [
        rate / most if rate and most else None for rate, most in zip(rates, ceilings, strict=True)
    ]
    if any(shares):
        columns.append(Column("of matrix", [or_nothing(each, "{:.0%}") for each in shares]))
    if any(row.cell.family == "generate" and row.cell.images > 1 for row in rows):
        per_second = (row.cell.images / median(row.samples) for row in rows)
        columns.append(Column("images/s", aligned(with_margin(each, None) for each in per_second)))
    return columns


def _dropped(rows: Sequence[Row]) -> list[Column]:
    """Return how many samples were spoiled and left out, where some were."""
    if not any(row.spoiled for row in rows):
        return []
    return [Column("dropped", [spaced(sum(row.spoiled.values()), 0) for row in rows])]


def _extra(rows: Sequence[Row], key: str, heading: str, unit: float) -> Column | None:
    """Return a column of what was measured apart from the rounds; None where no row has it."""
    found = [row.extra.get(key) for row in rows]
    if not any(found):
        return None
    texts = [NOTHING if each is None else _amount(each / unit) for each in found]
    return Column(heading, aligned(texts))


def _amount(value: float) -> str:
    """Return three digits, and all of those before the point."""
    return spaced(value, 0) if value >= 100 else with_margin(value, None)


def _ran_on(rows: Sequence[Row]) -> str:
    """Return what the rows' numbers depend on besides the machine: weights, threads."""
    weights = dict.fromkeys(row.weights for row in rows if row.weights)
    threads = dict.fromkeys(str(row.threads) for row in rows if row.threads is not None)
    parts = [f"weights: {'; '.join(weights)}"] if weights else []
    parts += [f"threads of torch and BLAS: {', '.join(threads)}"] if threads else []
    return " · ".join(parts)


def _ratios(rows: Sequence[Row]) -> list[str]:
    """Return a line for each row that others of the run do the same work as."""
    lines: dict[str, list[str]] = {}
    for each in ratios.of_rows(rows):
        unsure = "" if each.margin is None else f"\u00a0(±\u00a0{percent(each.margin)})"
        times = f"{with_margin(each.value, each.margin)}\u00a0×"
        lines.setdefault(plain(each.row.cell.id), []).append(f"{times} {plain(each.other)}{unsure}")
    return [f"speed of {name}: {', '.join(texts)}" for name, texts in lines.items()]


def _how_to_read(rows: Sequence[Row]) -> list[str]:
    """Return what the headings mean."""
    lines = list(HOW_TO_READ)
    if "generate" in families_of(row.cell for row in rows):
        lines.append("it/s: denoising steps a second of the whole call")
    if any("mode" in row.cell.axes for row in rows):
        lines.append("× eager: how many times as fast")
    off = [row.extra[costs.OFF_EAGER] for row in rows if costs.OFF_EAGER in row.extra]
    if off:
        lines.append(f"other modes drew what eager draws, within {max(off):.0f} of 255 levels")
    if any(costs.CALL_FLOP in row.extra for row in rows):
        lines.append("FLOP/s: of matrix products, convolutions and attention alone")
    if any(row.busy is not None for row in rows):
        lines.append("busy: how long the GPU worked in one watched call")
        lines.append("host gap: the rest of the median")
    if any("times_an_empty_loop" in row.extra for row in rows):
        lines.append("× empty loop: relative to a step of an empty loop, timed beside it")
    return lines


def _unmeasured(rows: Sequence[Row]) -> list[Unmeasured]:
    """Return each reason that left cells without a number, once."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row.status not in (MEASURED, CHECKED):
            groups.setdefault((row.status, row.reason, row.remedy), []).append(row)
    found = []
    for (status, reason, remedy), members in groups.items():
        names = [plain(row.name) for row in members]
        families = ", ".join(dict.fromkeys(plain(row.cell.family) for row in members))
        cells = names[0] if len(members) == 1 else f"{counted(len(members))} of {families}"
        found.append(Unmeasured(status, cells, names, plain(reason), plain(remedy)))
    return found


def _without_number(found: Contents) -> list[str]:
    """Return one paragraph for each reason that left cells without a number."""
    lines = ["", found.checked] if found.checked else []
    for each in found.unmeasured:
        lines += ["", f"{each.status}: {each.cells}"]
        lines += [f"  {each.reason}"] if each.reason else []
        lines += [f"  → {each.remedy}"] if each.remedy else []
    return lines


def _id(row: Row, notes: Notes) -> str:
    return plain(row.cell.id) + ",".join(notes.mark(text) for text in caveats.of_row(row))


def _p95(row: Row) -> float | None:
    return stats.quantile(row.samples, 0.95) if len(row.samples) >= P95_ROUNDS else None
