"""The tables: rows in natural units, digits cut to the noise, each caveat one footnote."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from math import floor, inf, isfinite, log10
from statistics import median
from textwrap import fill
from typing import TYPE_CHECKING, Any, Literal

from bench.harness import costs, ratios, stats, steps, watch, workload
from bench.harness.cell import CHECKED, JULIA, MEASURED, Cell, Row
from bench.harness.machine import summary

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "GAP",
    "ID_WIDTH",
    "LAYOUTS",
    "NARROWEST",
    "NOTHING",
    "Column",
    "Contents",
    "FamilyTable",
    "Layout",
    "Notes",
    "Unmeasured",
    "aligned",
    "console_of",
    "contents",
    "duration",
    "families_of",
    "plain",
    "render",
    "table_of",
    "unit_of",
    "with_margin",
    "wrapped",
]

NARROWEST = 40
"""Columns below which lines are not made shorter."""

ID_WIDTH = 34
"""Columns that an id may take before other columns are left out; a longer one is folded."""

ALWAYS = 3
"""Columns that no table leaves out: time, interval and rounds."""

GAP = 2

NOTHING = "–"

P95_ROUNDS = 20
"""Rounds below which a 95th percentile would be the slowest sample or a guess."""

TINY = 1e-9
"""Below this a number reads 0: no time is a millionth of a nanosecond."""

OTHERS_BUSY_PERCENT = 33.0
"""Share of the machine's CPU time from which other processes are worth a footnote."""

STOLEN_PERCENT = 1.0

CLOCK_FELL_BELOW = watch.THROTTLED_BELOW
"""Of its highest: a CPU's clock, as a GPU's of its default."""

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

UNITS = {"_flop_per_s": "FLOP/s", "_bytes_per_s": "B/s", "_steps_per_s": " steps/s"}

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
class Column:
    """A heading, and one text a row."""

    heading: str
    texts: Sequence[str]
    justify: Literal["left", "right"] = "right"

    @property
    def width(self) -> int:
        """Return the columns of text that it takes."""
        return max(map(len, (self.heading, *self.texts)))

    def justified(self, text: str) -> str:
        """Fill `text` up to the width; rich would strip what aligns the decimal points."""
        return text.ljust(self.width) if self.justify == "left" else text.rjust(self.width)


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


STAGES = {"text encoder": "text", "UNet": "UNet", "scheduler": "scheduler", "VAE decode": "VAE"}
"""Stages of a call and their headings, in the order of a call."""

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
                watched=_watched(watched) if watched else "",
                stages=_stage_columns(watched) if watched else [],
                fits=_fits(members),
            )
        )
    checked = sum(row.status == CHECKED for row in rows)
    return Contents(
        tables=tables,
        how_to_read=_how_to_read(measured) if measured else [],
        notes=notes.lines(),
        meanwhile=[*_guarded(measured), *_reference(records)],
        checked=f"{_count(checked)} held the contract; nothing was timed" if checked else "",
        unmeasured=_unmeasured(rows),
    )


def with_margin(value: float, margin: float | None) -> str:
    """Return `value` with the digits that its relative margin leaves: one beyond the first unsure.

    At most four significant digits; three without a margin. Thousands are set apart by a space.
    """
    if abs(value) < TINY:
        return "0"
    magnitude = floor(log10(abs(value)))
    last = magnitude - 2
    if margin is not None:
        last = floor(log10(abs(value)) + log10(max(margin, TINY))) - 1
    last = min(max(last, magnitude - 3), magnitude)
    return _spaced(round(value, -last), max(0, -last))


def console_of(out: StringIO, width: int, color: bool) -> "Console":
    """Return what prints to `out` as it stands: nothing in a text is markup."""
    from rich.console import Console

    return Console(
        file=out,
        width=width,
        force_terminal=color,
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
    )


class Notes:
    """Footnotes, numbered as they first appear and printed once."""

    def __init__(self) -> None:
        """Start without any."""
        self._texts: list[str] = []

    def mark(self, text: str) -> str:
        """Return the sign of `text`: ¹, ², …"""
        if text not in self._texts:
            self._texts.append(text)
        return _superscript(self._texts.index(text) + 1)

    def lines(self) -> list[str]:
        """Return the notes as they stand under the tables."""
        return [f"{_superscript(number)} {text}" for number, text in enumerate(self._texts, 1)]


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
        Column("± 95 %", [_percent(each) for each in margins]),
        Column("rounds", [_spaced(len(row.samples), 0) for row in rows]),
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
    return [Column("× eager", [_or_nothing(each, "{:.2f}") for each in ratios])] * any(ratios)


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
        columns.append(Column("of matrix", [_or_nothing(each, "{:.0%}") for each in shares]))
    if any(row.cell.family == "generate" and row.cell.images > 1 for row in rows):
        per_second = (row.cell.images / median(row.samples) for row in rows)
        columns.append(Column("images/s", aligned(with_margin(each, None) for each in per_second)))
    return columns


def _stage_columns(rows: Sequence[Row]) -> list[Column]:
    """Return where the watched call of each row went, in one unit."""
    unit, scale = unit_of(_longest(rows))

    def time(seconds: float | None) -> str:
        return NOTHING if seconds is None else with_margin(seconds * scale, None)

    def stage(row: Row, name: str) -> str:
        seconds, calls = row.stages.get(name), row.calls.get(name, 0)
        if name != "UNet" or seconds is None or not calls:
            return time(seconds)
        return f"{calls} × {time(seconds / calls)}"

    columns = [
        Column("cell", [plain(row.cell.id) for row in rows]),
        *(Column(head, [stage(row, name) for row in rows]) for name, head in STAGES.items()),
    ]
    rest = [costs.unattributed(row) for row in rows]
    if any(rest):
        columns.append(Column("unattributed", [time(each) for each in rest]))
    gaps = [None if row.busy is None else (row.profiled or 0.0) - row.busy for row in rows]
    if any(each is not None for each in gaps):
        columns.append(Column("host gap", [time(each) for each in gaps]))
    return [*columns, Column(f"{unit}/call", [time(row.profiled) for row in rows])]


def _longest(rows: Sequence[Row]) -> float:
    return max(row.profiled or 0.0 for row in rows)


def _watched(rows: Sequence[Row]) -> str:
    """Say whose time the stages have."""
    parts = [f"stages of one more call, in {unit_of(_longest(rows))[0]}"]
    if any(row.busy is not None for row in rows):
        parts.append(
            "on CUDA, which the profiler slows, kernels and copies by the stage that launched them"
        )
    if any(row.busy is None for row in rows):
        parts.append("on the CPU, time inside each: there is no busy time and no host gap")
    return "; ".join(parts)


def _fits(rows: Sequence[Row]) -> list[str]:
    """Return the steps fits in words."""
    found = steps.fits(rows)
    lines = ["steps fit: a call = fixed + per step × steps (± 95 %)"] if found else []
    for each in found:
        fit = each.fit
        fixed, per_step = (
            _plus_minus(value, (high - low) / 2)
            for value, (low, high) in (
                (fit.fixed, fit.fixed_interval),
                (fit.per_step, fit.per_step_interval),
            )
        )
        lines.append(f"{plain(each.of)}: fixed {fixed}, {per_step} a step; {_straight(each)}")
        if each.foreseen is not None:
            value, low, high = each.foreseen
            last = each.points[-1]
            predicted = _plus_minus(value, (high - low) / 2)
            measured = duration(last.seconds)
            lines.append(
                f"  from fewer, {last.steps} steps predicted {predicted}, measured {measured}"
            )
    return lines


def _straight(found: steps.StepsFit) -> str:
    """Say how far the points lie from the line, and whether it is one."""
    if found.off is not None:
        return (
            f"not a line: {_percent(found.residual(found.off))} off it at {found.off.steps} steps"
        )
    furthest = max(map(found.residual, found.points))
    noise = "" if furthest <= steps.OFF_THE_LINE else ", as unsure as the medians are"
    return f"at most {_percent(furthest)} off the line{noise}"


def _dropped(rows: Sequence[Row]) -> list[Column]:
    """Return how many samples were spoiled and left out, where some were."""
    if not any(row.spoiled for row in rows):
        return []
    return [Column("dropped", [_spaced(sum(row.spoiled.values()), 0) for row in rows])]


def _extra(rows: Sequence[Row], key: str, heading: str, unit: float) -> Column | None:
    """Return a column of what was measured apart from the rounds; None where no row has it."""
    found = [row.extra.get(key) for row in rows]
    if not any(found):
        return None
    texts = [NOTHING if each is None else _amount(each / unit) for each in found]
    return Column(heading, aligned(texts))


def _amount(value: float) -> str:
    """Return three digits, and all of those before the point."""
    return _spaced(value, 0) if value >= 100 else with_margin(value, None)


def table_of(columns: Sequence[Column], width: int, always: int = ALWAYS) -> "Table":
    """Lay out as many columns as fit, in their order; an id may be folded, a number never is.

    The first one is the ids; `always` is how many after it are never left out.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    ids, *others = columns
    room = width - min(ids.width, ID_WIDTH)
    while len(others) > always and sum(GAP + each.width for each in others) > room:
        others.pop()
    room = max(1, width - sum(GAP + each.width for each in others))
    folded = [_folded(each, room) for each in ids.texts]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, GAP - 1, 0, 0))
    table.add_column(ids.heading, overflow="fold")
    for column in others:
        table.add_column(column.justified(column.heading), no_wrap=True)
    for index, text in enumerate(folded):
        table.add_row(text, *(column.justified(column.texts[index]) for column in others))
    return table


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
        text = f"{with_margin(each.value, each.margin)}\u00a0×\u00a0{plain(each.other)}"
        text += "" if each.margin is None else f"\u00a0±\u00a0{_percent(each.margin)}"
        lines.setdefault(plain(each.row.cell.id), []).append(text)
    return [f"{name}: as fast as {', '.join(texts)}" for name, texts in lines.items()]


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


def _caveats(row: Row) -> list[str]:
    """Return what a reader must know of this row's number, each with its remedy."""
    found = []
    if row.clock == JULIA:
        found.append("the forward alone, by Julia's own clock")
    if row.cell.regime.get("model") == "none":
        found.append("the same call without a model: the batch into Julia, zeros back")
    found += _meanwhile(row)
    if row.undersampled:
        found.append(row.undersampled)
    elif row.spoiled:
        causes = " and ".join(row.spoiled)
        remedies = dict.fromkeys(watch.CAUSES.get(cause, "") for cause in row.spoiled)
        found.append(f"the dropped samples were spoiled by {causes}: {'; '.join(remedies)}")
    if row.limited_by == "fresh process":
        found.append("one sample in a fresh process: run again for another")
    elif row.limited_by == "first call":
        found.append(
            "one sample, its first call, which alone outlasted the budget: "
            "a longer --benchmark-max-time gives rounds"
        )
    elif row.limited_by == "budget" and len(row.samples) == stats.MIN_ROUNDS:
        found.append(
            "six rounds, the fewest with an interval: a longer --benchmark-max-time gives more"
        )
    elif len(row.samples) < stats.MIN_ROUNDS and not row.undersampled:
        found.append("fewer than six rounds, so without an interval: measure it again")
    if stats.autocorrelated(row.samples):
        found.append(
            "neighbouring samples are alike, so the interval is too narrow: trust the spread of "
            "several runs instead"
        )
    return found


def _meanwhile(row: Row) -> list[str]:
    """Return what went on beside a row's rounds: noise, not proof, so nothing was dropped."""
    found = []
    if row.extra.get("others_busy_percent", 0) > OTHERS_BUSY_PERCENT:
        found.append(
            "other processes kept more than a third of the CPUs busy meanwhile: end them (top "
            "lists them) and measure again"
        )
    if row.extra.get("stolen_percent", 0) > STOLEN_PERCENT:
        found.append(
            "other virtual machines took more than 1 % of the CPUs' time meanwhile: measure "
            "again, or on a machine of one's own"
        )
    highest = row.extra.get("cpu_highest_mhz", 0)
    if row.extra.get("cpu_lowest_mhz", highest) < CLOCK_FELL_BELOW * highest:
        found.append(
            "the CPU's clock fell under 75 % of its highest meanwhile: python -m pipeline doctor "
            "says how to fix it"
        )
    if row.extra.get("gpu_power_capped_percent"):
        found.append(
            "the GPU's power limit held its clock down, as is normal under load: compare runs at "
            "one limit (nvidia-smi -q -d POWER)"
        )
    return found


def _guarded(rows: Sequence[Row]) -> list[str]:
    """Return what was watched while these rows were measured, and what was not, and why."""
    guards: dict[str, str] = {}
    for row in rows:
        guards.update((name, why) for name, why in row.guards.items() if not guards.get(name))
    if not guards:
        return []
    seen = ", ".join(plain(name) for name, why in guards.items() if not why)
    reasons: dict[str, list[str]] = {}
    for name, why in guards.items():
        if why:
            reasons.setdefault(plain(why), []).append(plain(name))
    unseen = "; ".join(f"{', '.join(names)} ({why})" for why, names in reasons.items())
    parts = [f"watched meanwhile: {seen or 'nothing'}"] + (
        [f"not watched: {unseen}"] * bool(unseen)
    )
    return ["; ".join(parts)]


def _reference(records: Mapping[str, Any]) -> list[str]:
    """Return what the reference workload says of the machine, and whether it stayed as it was."""
    start, end = workload.start_and_end(records)
    if not start:
        return []
    rates = ", ".join(f"{_part(name)} {_rate(name, rate)}" for name, rate in start.items())
    lines = [f"reference workload: {rates}"]
    changed = workload.drifts(start, end)
    if changed:
        told = ", ".join(
            f"{_part(name)} {change:+.0%}".replace("%", "\u00a0%")
            for name, change in changed.items()
        )
        lines.append(
            f"the machine changed while it measured: at the end {told}; end other work, let it "
            "cool, and measure again"
        )
    elif end:
        lines[0] += f"; at the end within {workload.DRIFT:.0%}".replace("%", "\u00a0%")
    return lines


def _part(name: str) -> str:
    """Return `matrix cpu float32` for `matrix_cpu_float32_flop_per_s`."""
    for suffix in UNITS:
        name = name.removesuffix(suffix)
    return plain(name.replace("_", " ").replace("python", "Python"))


def _rate(name: str, rate: float) -> str:
    unit = next((unit for suffix, unit in UNITS.items() if name.endswith(suffix)), "")
    prefix, scale = next(
        ((sign, scale) for sign, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6)) if rate >= scale),
        ("", 1.0),
    )
    return f"{with_margin(rate / scale, None)} {prefix}{unit}"


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
        cells = names[0] if len(members) == 1 else f"{_count(len(members))} of {families}"
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
    return plain(row.cell.id) + ",".join(notes.mark(text) for text in _caveats(row))


def _folded(text: str, width: int) -> str:
    """Break `text` into lines, after a hyphen where there is one."""
    return "\n".join(re.findall(rf".{{1,{width}}}(?:(?<=-)|$)|.{{1,{width}}}", text))


def _p95(row: Row) -> float | None:
    return stats.quantile(row.samples, 0.95) if len(row.samples) >= P95_ROUNDS else None


def _percent(margin: float | None) -> str:
    """Return two digits, no finer than a hundredth."""
    if margin is None:
        return NOTHING
    percent = margin * 100
    if percent < 0.01:
        return "<0.01 %"
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"


def _spaced(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}".replace(",", " ")


def aligned(texts: Iterable[str]) -> list[str]:
    """Fill up with spaces so that the decimal points stand under each other."""
    parts = [text.partition(".") for text in texts]
    longest = max(len(point + decimals) for _, point, decimals in parts)
    return [
        whole if whole == NOTHING else whole + (point + decimals).ljust(longest)
        for whole, point, decimals in parts
    ]


def wrapped(line: str, width: int, indent: int = 0) -> str:
    """Break a line between words, those after the first indented."""
    return fill(line, width, subsequent_indent=" " * indent, break_on_hyphens=False)


def plain(text: str) -> str:
    """Return `text` without what could move the cursor or cannot be encoded."""
    line = " ".join(text.split())
    return "".join(each if each.isprintable() else "�" for each in line)


def _count(number: int) -> str:
    return f"{number} cell{'' if number == 1 else 's'}"


def unit_of(seconds: float) -> tuple[str, float]:
    """Return the unit that `seconds` reads well in, and how many of it a second has."""
    if seconds >= 1:
        return "s", 1.0
    return ("ms", 1e3) if seconds >= 1e-3 else ("µs", 1e6)


def duration(seconds: float | None, margin: float | None = None) -> str:
    """Return seconds in the unit that suits them, as `with_margin` cuts them; – for None."""
    if seconds is None:
        return NOTHING
    unit, scale = unit_of(seconds)
    return f"{with_margin(seconds * scale, margin)} {unit}"


def _plus_minus(seconds: float, half: float) -> str:
    """Return a time and half its interval, with the digits that the interval leaves."""
    unit, scale = unit_of(max(abs(seconds), 1e-6))
    margin = half / abs(seconds) if seconds else None
    return f"{with_margin(seconds * scale, margin)} ± {with_margin(half * scale, 1.0)} {unit}"


def _or_nothing(value: float | None, form: str) -> str:
    return NOTHING if value is None else form.format(value).replace("%", " %")


def _superscript(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
