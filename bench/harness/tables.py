"""The tables: rows in natural units, digits cut to the noise, each caveat one footnote."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from math import floor, log10
from statistics import median
from textwrap import fill
from typing import Any

from bench.harness import machine, stats
from bench.harness.cell import CHECKED, MEASURED, Row

__all__ = ["render", "with_margin"]

WIDE = 100
"""Columns of text from which a table shows what else is known of a row."""

P95_ROUNDS = 20
"""Rounds below which a 95th percentile would be the slowest sample or a guess."""


@dataclass(frozen=True)
class Layout:
    """How a family reads: its title, what a time is for, and its rates."""

    title: str
    per_image: bool
    rates: tuple[str, ...]


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

    `records` are the machine's; `color` adds terminal colours.
    """
    from rich.console import Console
    from rich.text import Text

    out = StringIO()
    console = Console(
        file=out, width=width, force_terminal=color, no_color=not color, highlight=False
    )
    console.print(Text(machine.summary(dict(records)), style="bold"))
    notes = Notes()
    for family, layout in LAYOUTS.items():
        measured = [row for row in rows if row.cell.family == family and row.status == MEASURED]
        if measured:
            console.print()
            console.print(_table(layout, measured, notes, width))
    if notes.lines():
        console.print()
    for line in notes.lines():
        console.print(_wrapped(line, width, 2), style="dim")
    for line in _without_number(rows):
        console.print(_wrapped(line, width, 4), markup=False)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def with_margin(value: float, margin: float | None) -> str:
    """Return `value` with the digits that its relative margin leaves: one beyond the first unsure.

    At most four significant digits; three without a margin.
    """
    if value == 0:
        return "0"
    magnitude = floor(log10(abs(value)))
    last = magnitude - 2 if not margin else floor(log10(abs(value) * margin)) - 1
    last = min(max(last, magnitude - 3), magnitude)
    return f"{round(value, -last):,.{max(0, -last)}f}".replace(",", " ")


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


def _table(layout: Layout, rows: Sequence[Row], notes: Notes, width: int) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    times = [median(row.samples) / (row.cell.images if layout.per_image else 1) for row in rows]
    unit, scale = _unit(max(times))
    per = f"{unit}/{'image' if layout.per_image else 'call'}"
    table = Table(
        title=layout.title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        padding=(0, 1),
    )
    table.add_column("cell", no_wrap=True)
    headings = [per, "± 95 %", "p95", *layout.rates, "rounds"]
    if width >= WIDE:
        headings += ["first call", "ended by"]
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row, seconds in zip(rows, times, strict=True):
        margin = stats.margin(row.samples)
        slow = "–"
        if len(row.samples) >= P95_ROUNDS:
            ratio = stats.quantile(row.samples, 0.95) / median(row.samples)
            slow = with_margin(seconds * ratio * scale, margin)
        values = [
            row.cell.id + "".join(notes.mark(text) for text in _caveats(row)),
            with_margin(seconds * scale, margin),
            "–" if margin is None else f"{margin * 100:.2g} %",
            slow,
            *(with_margin(RATES[rate](row, median(row.samples)), margin) for rate in layout.rates),
            str(len(row.samples)),
        ]
        if width >= WIDE:
            first = "–" if row.first_call is None else _duration(row.first_call)
            values += [first, row.limited_by]
        table.add_row(*values)
    return table


def _caveats(row: Row) -> list[str]:
    """Return what a reader must know of this row's number, each with its remedy."""
    found = []
    if row.limited_by == "first call":
        found.append(
            "one sample, its first call, which alone outlasted the budget: "
            "a longer --benchmark-max-time gives rounds"
        )
    elif row.limited_by == "budget" and len(row.samples) == stats.MIN_ROUNDS:
        found.append("six rounds, the fewest with an interval: --benchmark-max-time gives more")
    if stats.autocorrelated(row.samples):
        found.append(
            "neighbouring samples are alike, so the interval is too narrow: trust the spread of "
            "several runs instead"
        )
    return found


def _without_number(rows: Sequence[Row]) -> list[str]:
    """Return one line for each reason that left cells without a number."""
    lines = []
    checked = sum(row.status == CHECKED for row in rows)
    if checked:
        lines.append(f"{_count(checked)} held the contract; nothing was timed")
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row.status not in (MEASURED, CHECKED):
            groups.setdefault((row.status, row.reason, row.remedy), []).append(row)
    for (status, reason, remedy), members in groups.items():
        families = ", ".join(dict.fromkeys(row.cell.family for row in members))
        what = members[0].name if len(members) == 1 else f"{_count(len(members))} of {families}"
        lines += ["", f"{status}: {what}", f"  {reason}"]
        if remedy:
            lines.append(f"  → {remedy}")
    return lines


def _wrapped(line: str, width: int, indent: int) -> str:
    return fill(line, width, subsequent_indent=" " * indent, break_on_hyphens=False)


def _count(number: int) -> str:
    return f"{number} cell{'' if number == 1 else 's'}"


def _unit(seconds: float) -> tuple[str, float]:
    if seconds >= 1:
        return "s", 1.0
    return ("ms", 1e3) if seconds >= 1e-3 else ("µs", 1e6)


def _duration(seconds: float) -> str:
    unit, scale = _unit(seconds)
    return f"{with_margin(seconds * scale, None)} {unit}"


def _superscript(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
