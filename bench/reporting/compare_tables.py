"""The tables of a comparison: what differs between the sides, then a table a family."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import StringIO
from math import floor, log10

from bench.comparing import sides
from bench.comparing.comparison import ABSENT, REFUSED, Comparison, Line, geometric_mean
from bench.comparing.gate import Outcome
from bench.comparing.verdict import FASTER, SAME, SLOWER, UNDECIDED, percent
from bench.reporting.layout import GAP, ID_WIDTH, NARROWEST, Column, Notes, console_of, table_of
from bench.reporting.tables import LAYOUTS, Layout, families_of
from bench.reporting.texts import NOTHING, aligned, plain, unit_of, with_margin, wrapped
from bench.statistics import stats
from bench.statistics.ratio import PAIRS, RUNS, Ratio

__all__ = ["Sheet", "gate_lines", "how_to_read", "render", "tally", "undecided"]

ORDER = (SLOWER, FASTER, SAME, UNDECIDED, REFUSED)
"""Words in the order in which they are counted."""

HIGHEST = 1e6
"""A ratio from which on the end of an interval is no number any more."""

NARROWEST_ID = 24
"""Columns that an id keeps where other columns are left out."""

CELLS, BASE, TIME, RATIO, INTERVAL, VERDICT = range(6)
DROPPED = (INTERVAL, TIME, BASE)
"""What a table of two sides leaves out where it is too wide, first to last."""


class Sheet:
    """A family's table as texts, before it is laid out."""

    def __init__(self, comparison: Comparison, lines: Sequence[Line], notes: Notes) -> None:
        """Take the lines of one family; footnotes are numbered in `notes`."""
        self._labels = [side.label for side in comparison.sides]
        self._lines = lines
        self._notes = notes
        self._layout = LAYOUTS.get(lines[0].cell.family, Layout(lines[0].cell.family, False, ()))
        times = [time for line in lines for time in self._times(line) if time is not None]
        self._unit, self._scale = unit_of(max(times))

    @property
    def title(self) -> str:
        """Return the family's title, and the unit of its times."""
        what = "image" if self._layout.per_image else "call"
        return plain(f"{self._layout.title} · {self._unit}/{what}")

    def cells(self) -> Column:
        """Return the ids, and a last line for the mean."""
        return Column("cell", [*(plain(line.cell.id) for line in self._lines), "geometric mean"])

    def base(self) -> Column:
        """Return the times of the baseline."""
        return Column(self._labels[0], [*self._column(0), ""])

    def side(self, number: int) -> list[Column]:
        """Return time, ratio, interval and verdict of a later side, the first of which is 1."""
        label = self._labels[number]
        verdicts = [line.verdicts[number - 1] for line in self._lines]
        ratios = [each.ratio for each in verdicts]
        mean = geometric_mean(self._lines, number - 1)
        of_all = f"of {mean[1]} decided" if mean else "none decided"
        texts = [self._verdict(line, number) for line in self._lines]
        return [
            Column(label, [*self._column(number), ""]),
            Column(
                f"{label}/{self._labels[0]}",
                aligned([*map(_ratio, ratios), with_margin(mean[0], None) if mean else NOTHING]),
            ),
            Column("95 %", [*map(_interval, ratios), ""]),
            Column("verdict", [*texts, of_all], "left"),
        ]

    def measured(self, numbers: Sequence[int]) -> list[list[bool]]:
        """Say of each line which of these sides, the baseline being 0, have a time."""
        return [[bool(line.entries[number].rows) for number in numbers] for line in self._lines]

    def explained(self) -> Iterator[str]:
        """Yield one line a verdict, with its reason; why a row is absent is a footnote."""
        for line in self._lines:
            for label, verdict in zip(self._labels[1:], line.verdicts, strict=True):
                if verdict.word == ABSENT:
                    continue
                more = f" → {verdict.remedy}" if verdict.remedy else ""
                why = f"{verdict.word} ({verdict.code}): {verdict.why}{more}"
                yield plain(f"{line.cell.id} · {label}: {why}")

    def _times(self, line: Line) -> list[float | None]:
        images = line.cell.images if self._layout.per_image else 1
        seconds = [entry.seconds for entry in line.entries]
        return [None if each is None else each / images for each in seconds]

    def _column(self, number: int) -> list[str]:
        texts = []
        for line in self._lines:
            time, samples = self._times(line)[number], line.entries[number].samples
            margin = stats.margin(samples[0]) if len(samples) == 1 else None
            texts.append(NOTHING if time is None else with_margin(time * self._scale, margin))
        return aligned(texts)

    def _verdict(self, line: Line, number: int) -> str:
        verdict, base = line.verdicts[number - 1], self._labels[0]
        if verdict.word == REFUSED:
            return f"x{self._notes.mark(plain(f'{verdict.why}; {verdict.remedy}'))}"
        if verdict.word == ABSENT:
            if not (line.entries[0].rows or line.entries[number].rows):
                return NOTHING
            there = base if line.entries[0].rows else self._labels[number]
            return f"only {there}{self._notes.mark(plain(verdict.why))}"
        changed = line.changed[number - 1]
        return verdict.word + (self._notes.mark(plain(changed)) if changed else "")


def render(comparison: Comparison, width: int, color: bool = False, explain: bool = False) -> str:
    """Return the comparison as text of at most `width` columns; below 40 it stays at 40.

    Sides that do not fit beside each other follow in tables of their own, each with the baseline.
    With `explain` every verdict's reason stands under its table.
    """
    width = max(width, NARROWEST)
    out = StringIO()
    console = console_of(out, width, color)
    if shared := sides.common(comparison.sides):
        console.print(wrapped(plain(shared), width), style="bold")
    for line in sides.differences(comparison.sides):
        console.print(wrapped(plain(line), width, 3))
    notes = Notes()
    for family in families_of(line.cell for line in comparison.lines):
        sheet = Sheet(comparison, comparison.of(family), notes)
        console.print()
        console.print(wrapped(sheet.title, width), style="bold")
        for number, columns in enumerate(_fitting(sheet, len(comparison.sides), width)):
            if number:
                console.print()
            console.print(table_of(columns, width, always=len(columns)))
        for line in sheet.explained() if explain else ():
            console.print(wrapped(line, width, 2))
    console.print()
    console.print(wrapped("; ".join(how_to_read(comparison)), width), style="dim")
    for line in notes.lines():
        console.print(wrapped(line, width, 2), style="dim")
    console.print()
    for line in tally(comparison):
        console.print(wrapped(line, width, 2), style="bold")
    for line in undecided(comparison):
        console.print(wrapped(line, width, 4))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def how_to_read(comparison: Comparison) -> list[str]:
    """Return what the headings and the words mean."""
    base, second = (side.label for side in comparison.sides[:2])
    verdicts = [verdict for line in comparison.lines for verdict in line.verdicts]
    ratios = [verdict.ratio for verdict in verdicts if verdict.ratio]
    floors: dict[str, list[float]] = {}
    for verdict in verdicts:
        if verdict.floor:
            floors.setdefault(verdict.floor.why, []).append(verdict.floor.value)
    ordered = sorted(floors.items(), key=lambda pair: pair[1])
    several = any(ratio.unit == RUNS for ratio in ratios)
    if any(ratio.unit == PAIRS for ratio in ratios):
        times = [
            "times: medians without waiting for a CPU, of several processes their geometric mean",
            f"{second}/{base}: {second}'s over {base}'s in turns side by side, above 1 is slower",
            "95\u00a0%: its interval, pairs of processes being the unit, over all looks",
        ]
    else:
        times = [
            "times: medians" + (", of several runs their geometric mean" if several else ""),
            f"{second}/{base}: {second}'s over {base}'s, above 1 is slower",
            "95\u00a0%: its interval" + (", runs being the unit" if several else ""),
        ]
    return [
        *times,
        "slower, faster: the whole interval lies beyond the noise floor",
        "same: within it",
        "undecided: neither",
        *(["x: not the same work"] if any(each.word == REFUSED for each in verdicts) else []),
        *(f"noise floor: {_span(values)} where {why}" for why, values in ordered),
    ]


def tally(comparison: Comparison) -> list[str]:
    """Return one line a side after the baseline: how many rows are what."""
    base = comparison.sides[0].label
    lines = []
    for number, side in enumerate(comparison.sides[1:]):
        counts = Counter(_word(line, number, base, side.label) for line in comparison.lines)
        order = (*ORDER, f"only in {base}", f"only in {side.label}")
        parts = [f"{counts[word]} {word}" for word in order if counts[word]]
        lines.append(f"{side.label} against {base}: {', '.join(parts) or 'no row'}")
    return lines


def undecided(comparison: Comparison) -> list[str]:
    """Return a paragraph for what would decide the undecided rows; none where there are none."""
    groups: dict[str, list[str]] = {}
    for line in comparison.lines:
        for side, verdict in zip(comparison.sides[1:], line.verdicts, strict=True):
            if verdict.word == UNDECIDED:
                cell = f"{line.cell.family} {line.cell.id} ({side.label})"
                groups.setdefault(verdict.remedy, []).append(plain(cell))
    lines = ["", "what would decide the undecided:"] if groups else []
    for remedy, cells in groups.items():
        what = ", ".join(cells) if len(cells) <= 3 else f"{len(cells)} rows (--explain names them)"
        lines.append(f"  {remedy}: {what}")
    return lines


def gate_lines(outcome: Outcome) -> list[str]:
    """Return what came of a gate: what fails, and what may."""
    failing = len(outcome.failures)
    lines = ["", f"fail-on: {_rows(failing)} {'fails' if failing == 1 else 'fail'}"]
    lines += [f"  {plain(line)}" for line in outcome.failures]
    if outcome.open:
        lines.append(f"undecided rows that may be that much slower: {len(outcome.open)}")
        lines += [f"  {plain(line)}" for line in outcome.open]
    return lines


def _word(line: Line, number: int, base: str, label: str) -> str:
    """Return the word that a line counts under; empty where neither side measured it."""
    word = line.verdicts[number].word
    if word != ABSENT:
        return word
    if line.entries[0].rows:
        return f"only in {base}"
    return f"only in {label}" if line.entries[number + 1].rows else ""


def _fitting(sheet: Sheet, count: int, width: int) -> Iterator[list[Column]]:
    """Yield the columns of each table: as many sides as fit, one at least."""
    cells, base = sheet.cells(), sheet.base()
    room = width - min(cells.width, ID_WIDTH)
    chosen: list[int] = []
    columns = [cells, base]
    for number in range(1, count):
        more = sheet.side(number)
        if chosen and _width([*columns[1:], *more]) > room:
            yield from _kept(sheet, chosen, columns, width)
            chosen, columns = [], [cells, base]
        chosen.append(number)
        columns = [*columns, *more]
    yield from _kept(sheet, chosen, columns, width)


def _kept(
    sheet: Sheet, chosen: Sequence[int], columns: list[Column], width: int
) -> Iterator[list[Column]]:
    """Yield a table's columns with the lines that it has a time for; a later table needs a side's.

    Where one side does not fit, an id is folded first, then columns are left out.
    """
    if 1 not in chosen and not any(map(any, sheet.measured(chosen))):
        return
    shown = [*map(any, sheet.measured([0, *chosen])), True]
    columns = [
        replace(
            column, texts=[text for text, show in zip(column.texts, shown, strict=True) if show]
        )
        for column in columns
    ]
    room = width - min(columns[0].width, NARROWEST_ID)
    yield _narrowed(columns, room) if len(chosen) == 1 else columns


def _narrowed(columns: list[Column], room: int) -> list[Column]:
    """Leave out columns, the least important first, until the others fit."""
    kept = list(range(len(columns)))
    for each in DROPPED:
        if _width([columns[index] for index in kept[1:]]) <= room:
            break
        kept.remove(each)
    return [columns[index] for index in kept]


def _width(columns: Sequence[Column]) -> int:
    return sum(GAP + column.width for column in columns)


def _ratio(found: Ratio | None) -> str:
    if found is None:
        return NOTHING
    return with_margin(found.value, found.margin)


def _interval(found: Ratio | None) -> str:
    """Return both ends, with the first unsure digit; at least two decimals below 10."""
    if found is None or found.low is None or found.high is None:
        return NOTHING
    half = max((found.high - found.low) / 2, found.value * 1e-3)
    least = 2 if found.value < 10 else 1 if found.value < 100 else 0
    decimals = max(least, -floor(log10(half)))
    high = f"{found.high:.{decimals}f}" if found.high < HIGHEST else "∞"
    return f"{found.low:.{decimals}f}–{high}"


def _span(values: Sequence[float]) -> str:
    low, high = percent(min(values)), percent(max(values))
    return low if low == high else f"{low.removesuffix(' %')} to {high}"


def _rows(number: int) -> str:
    return f"{number} row{'' if number == 1 else 's'}"
