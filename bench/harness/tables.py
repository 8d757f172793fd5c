"""The tables: rows in natural units, digits cut to the noise, each caveat one footnote."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from math import floor, inf, isfinite, log10
from statistics import median
from textwrap import fill
from typing import TYPE_CHECKING, Any, Literal

from bench.harness import stats
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
    "Layout",
    "Notes",
    "aligned",
    "console_of",
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


LAYOUTS = {
    "generate": Layout("generate · prompt → images, by diffusers", True, ("it/s",)),
    "preprocess": Layout("preprocess · images → batch, by torchvision", True, ("images/s",)),
    "forward": Layout(
        "forward · batch → scores, by Flux.jl and a PyTorch reference", False, ("images/s",)
    ),
    "end_to_end": Layout("end to end · images → batch → scores", True, ("images/s",)),
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
    measured = [row for row in rows if row.status == MEASURED]
    notes = Notes()
    for family in families_of(row.cell for row in measured):
        layout = LAYOUTS.get(family, Layout(family, False, ()))
        members = [row for row in measured if row.cell.family == family]
        console.print()
        console.print(wrapped(plain(layout.title), width), style="bold")
        if ran_on := _ran_on(members):
            console.print(wrapped(plain(ran_on), width), style="dim")
        console.print(table_of(_columns(layout, members, notes), width))
    if measured:
        console.print()
        console.print(wrapped("; ".join(_how_to_read(measured)), width), style="dim")
    for line in notes.lines():
        console.print(wrapped(line, width, 2), style="dim")
    for line in _without_number(rows):
        console.print(wrapped(line, width, 4))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


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


def _columns(layout: Layout, rows: Sequence[Row], notes: Notes) -> list[Column]:
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

    return [
        Column("cell", [_id(row, notes) for row in rows]),
        Column(
            f"{unit}/{'image' if layout.per_image else 'call'}",
            aligned(time(each, index) for index, each in enumerate(medians)),
        ),
        Column("± 95 %", [_percent(each) for each in margins]),
        Column("rounds", [_spaced(len(row.samples), 0) for row in rows]),
        Column("p95", aligned(time(_p95(row), index) for index, row in enumerate(rows))),
        *(
            Column(name, aligned(rate(name, index) for index in range(len(rows))))
            for name in layout.rates
        ),
        *_allocations(rows),
        Column("first call", [_duration(row.first_call) for row in rows]),
        Column("limited by", [plain(row.limited_by) for row in rows], "left"),
    ]


def _allocations(rows: Sequence[Row]) -> list[Column]:
    """Return what Julia allocates for a call, in MB, where a row has counted it."""
    counted = [row.extra.get("julia_allocated_bytes") for row in rows]
    if not any(counted):
        return []
    texts = [NOTHING if each is None else f"{each / 1e6:.1f}" for each in counted]
    return [Column("Julia MB/call", texts)]


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


def _how_to_read(rows: Sequence[Row]) -> list[str]:
    """Return what the headings mean."""
    steps = ["it/s: denoising steps a second of the whole call"]
    return [*HOW_TO_READ, *(steps if "generate" in families_of(row.cell for row in rows) else [])]


def _caveats(row: Row) -> list[str]:
    """Return what a reader must know of this row's number, each with its remedy."""
    found = []
    if row.clock == JULIA:
        found.append("the forward alone, by Julia's own clock")
    if row.cell.regime.get("model") == "none":
        found.append("the same call without a model: the batch into Julia, zeros back")
    if row.limited_by == "first call":
        found.append(
            "one sample, its first call, which alone outlasted the budget: "
            "a longer --benchmark-max-time gives rounds"
        )
    elif row.limited_by == "budget" and len(row.samples) == stats.MIN_ROUNDS:
        found.append(
            "six rounds, the fewest with an interval: a longer --benchmark-max-time gives more"
        )
    elif len(row.samples) < stats.MIN_ROUNDS:
        found.append("fewer than six rounds, so without an interval: measure it again")
    if stats.autocorrelated(row.samples):
        found.append(
            "neighbouring samples are alike, so the interval is too narrow: trust the spread of "
            "several runs instead"
        )
    return found


def _without_number(rows: Sequence[Row]) -> list[str]:
    """Return one paragraph for each reason that left cells without a number."""
    lines = []
    checked = sum(row.status == CHECKED for row in rows)
    if checked:
        lines += ["", f"{_count(checked)} held the contract; nothing was timed"]
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row.status not in (MEASURED, CHECKED):
            groups.setdefault((row.status, row.reason, row.remedy), []).append(row)
    for (status, reason, remedy), members in groups.items():
        families = ", ".join(dict.fromkeys(plain(row.cell.family) for row in members))
        what = f"{_count(len(members))} of {families}"
        lines += ["", f"{status}: {plain(members[0].name) if len(members) == 1 else what}"]
        lines += [f"  {plain(reason)}"] if reason else []
        lines += [f"  → {plain(remedy)}"] if remedy else []
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


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    unit, scale = unit_of(seconds)
    return f"{with_margin(seconds * scale, None)} {unit}"


def _superscript(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
