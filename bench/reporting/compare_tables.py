"""The tables of a comparison, and of a noise run."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import compress
from math import floor, log10
from statistics import median

from bench.comparing import sides
from bench.comparing.comparison import ABSENT, REFUSED, Comparison, Line, geometric_mean
from bench.comparing.gate import Outcome
from bench.comparing.noise import FEWEST, CellNoise, Noise, Rate
from bench.comparing.verdict import FASTER, SAME, SLOWER, UNDECIDED, WORSE, slower
from bench.reporting.columns import layout_of
from bench.reporting.layout import GAP, ID_WIDTH, Column, Notes, Screen
from bench.reporting.tables import families_of
from bench.reporting.texts import (
    NOTHING,
    aligned,
    or_nothing,
    plain,
    unit_of,
    with_margin,
)
from bench.results.units import percent
from bench.statistics import stats
from bench.statistics.ratio import PAIRS, RUNS, Ratio
from pipeline.errors import counted

__all__ = ["Sheet", "gate_lines", "how_to_read", "render", "render_noise", "tally", "undecided"]

ORDER = (WORSE, SLOWER, FASTER, SAME, UNDECIDED, REFUSED)
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
        family = lines[0].cell.family
        self._labels = [side.label for side in comparison.sides]
        self._lines = lines
        self._notes = notes
        self._layout = layout_of(family, [line.cell for line in lines])
        times = [time for line in lines for time in self._times(line) if time is not None]
        self._unit, self._scale = unit_of(max(times))

    @property
    def title(self) -> str:
        """Return the family's title, and the unit of its times."""
        return plain(f"{self._layout.title} · {self._unit}/{self._layout.per}")

    def cells(self) -> Column:
        """Return the ids, and a last line for the mean."""
        return Column("cell", [*(plain(line.cell.id) for line in self._lines), "geometric mean"])

    def base(self) -> Column:
        """Return the times of the baseline."""
        return Column(self._labels[0], [*self._column(0), ""])

    def side(self, number: int) -> list[Column]:
        """Return time, ratio, interval and verdict of a later side, the first of which is 1."""
        label = self._labels[number]
        ratios = [line.verdicts[number - 1].ratio for line in self._lines]
        mean = geometric_mean(self._lines, number - 1)
        texts = [self._verdict(line, number) for line in self._lines]
        return [
            Column(label, [*self._column(number), ""]),
            Column(
                f"{label}/{self._labels[0]}",
                aligned([*map(_ratio, ratios), or_nothing(mean[0] if mean else None)]),
            ),
            Column("95 %", [*map(_interval, ratios), ""]),
            Column(
                "verdict",
                [*texts, f"of {counted(mean[1] if mean else 0, 'row')}"],
                "left",
            ),
        ]

    def measured(self, numbers: Sequence[int]) -> list[bool]:
        """Say of each line whether one of these sides, the baseline being 0, has a time."""
        return [any(line.entries[number].rows for number in numbers) for line in self._lines]

    def explained(self) -> Iterator[str]:
        """Yield one line a verdict, with its reason; why a row is absent is a footnote."""
        for line in self._lines:
            for label, verdict in zip(self._labels[1:], line.verdicts, strict=True):
                if verdict.word != ABSENT:
                    remedy = f" → {verdict.remedy}" if verdict.remedy else ""
                    reason = f"{verdict.word} ({verdict.code}): {verdict.why}{remedy}"
                    yield plain(f"{line.cell.id} · {label}: {reason}")

    def _times(self, line: Line) -> list[float | None]:
        images = self._layout.images(line.cell)
        seconds = [entry.seconds for entry in line.entries]
        return [None if time is None else time / images for time in seconds]

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
            if not self._any_of(line, number):
                return NOTHING
            there = base if line.entries[0].rows else self._labels[number]
            return f"only {there}{self._notes.mark(plain(verdict.why))}"
        texts = filter(None, (verdict.pictures, line.changed[number - 1]))
        return verdict.word + ",".join(self._notes.mark(plain(text)) for text in texts)

    @staticmethod
    def _any_of(line: Line, number: int) -> bool:
        return bool(line.entries[0].rows or line.entries[number].rows)


def render(comparison: Comparison, width: int, color: bool = False, explain: bool = False) -> str:
    """Return the comparison as text of at most `width` columns; below 40 it stays at 40.

    Sides that do not fit beside each other follow in tables of their own, each with the baseline.
    With `explain` every verdict's reason stands under its table.
    """
    screen = Screen(width, color)
    if shared := sides.common(comparison.sides):
        screen.print(plain(shared), "bold")
    for line in sides.differences(comparison.sides):
        screen.print(plain(line), indent=3)
    notes = Notes()
    for family in families_of(line.cell for line in comparison.lines):
        sheet = Sheet(comparison, comparison.of(family), notes)
        screen.print()
        screen.print(sheet.title, "bold")
        for number, columns in enumerate(_fitting(sheet, len(comparison.sides), screen.width)):
            if number:
                screen.print()
            screen.table(columns, always=len(columns))
        for line in sheet.explained() if explain else ():
            screen.print(line, indent=2)
    screen.print()
    screen.print("; ".join(how_to_read(comparison)), "dim")
    for line in notes.lines():
        screen.print(line, "dim", 2)
    screen.print()
    for line in tally(comparison):
        screen.print(line, "bold", 2)
    for line in undecided(comparison):
        screen.print(line, indent=4)
    return screen.text()


def render_noise(
    cells: Sequence[CellNoise],
    noise: Noise,
    of_runs: Rate,
    of_pairs: Rate,
    width: int,
    color: bool = False,
) -> str:
    """Return what each cell of a noise run showed, and the floors that follow, as text."""
    screen = Screen(width, color)
    unit, scale = unit_of(max(cell.seconds for cell in cells))
    columns = [
        Column("cell", [plain(f"{cell.cell.family} {cell.cell.id}") for cell in cells]),
        Column(unit, aligned(with_margin(cell.seconds * scale, None) for cell in cells)),
        Column("between runs", [percent(stats.quantile(cell.apart, stats.CONFIDENCE))
                                for cell in cells]),
        Column("between pairs", [percent(cell.spread) for cell in cells]),
        Column("mean ratio", [f"{1 + cell.low:.3f}–{1 + cell.high:.3f}" for cell in cells]),
    ]  # fmt: skip
    screen.table(columns)
    screen.print()
    screen.print(
        "between runs: 95 of 100 pairs of single runs differ by less, by the wall clock; "
        "between pairs: standard deviation of the log-ratio of a pair measured in turns; "
        "mean ratio: its interval, which holds 1 where both sides are treated alike",
        "dim",
    )
    screen.print()
    for line in (
        f"called faster or slower although nothing changed: {of_runs} of single runs compared with "
        f"the next (as compare does), {of_pairs} of four pairs (as ab does at its first look)",
        f"noise floor: {percent(noise.runs_apart)} for one run a side, "
        f"{percent(noise.in_turns)} for ab",
    ):
        screen.print(line, "bold", 2)
    if noise.pairs < FEWEST:
        screen.print(
            f"not kept: a record needs {FEWEST} pairs, this run has {noise.pairs}; raise --budget",
            indent=2,
        )
    return screen.text()


def how_to_read(comparison: Comparison) -> Iterator[str]:
    """Yield what the headings and the words mean."""
    base, second = (side.label for side in comparison.sides[:2])
    verdicts = [verdict for line in comparison.lines for verdict in line.verdicts]
    ratio_units = {verdict.ratio.unit for verdict in verdicts if verdict.ratio}
    ratio = f"{second}/{base}: {second}'s time over {base}'s, above 1 is slower"
    if PAIRS in ratio_units:
        yield "times: medians without waiting for a CPU, geometric mean of several processes"
        yield f"{ratio}, from turns side by side"
        yield "95\u00a0%: its interval over pairs of processes and all looks, each row by itself"
    elif RUNS in ratio_units:
        yield "times: medians, geometric mean of several runs"
        yield ratio
        yield "95\u00a0%: interval of that ratio over runs"
    else:
        yield "times: medians"
        yield ratio
        yield (
            f"95\u00a0%: interval of {second}/{base} from these rounds alone; the noise floor says "
            "how far another run may differ"
        )
    yield "slower, faster: the whole interval lies beyond the noise floor"
    yield "same: the whole interval lies within it"
    yield "undecided: anything else"
    if any(verdict.word == WORSE for verdict in verdicts):
        yield "worse pictures: fewer agree with their prompt than chance explains"
    if any(verdict.word == REFUSED for verdict in verdicts):
        yield "x (refused): not the same work, so not compared"
    floors: dict[str, list[float]] = {}
    for verdict in verdicts:
        if verdict.floor:
            floors.setdefault(verdict.floor.why, []).append(verdict.floor.value)
    for reason, values in sorted(floors.items(), key=lambda pair: pair[1]):
        yield f"noise floor: {_span(values)} where {reason}"


def tally(comparison: Comparison) -> Iterator[str]:
    """Yield one line a side after the baseline: how many rows are what."""
    base = comparison.sides[0].label
    for number, side in enumerate(comparison.sides[1:]):
        counts = Counter(_word(line, number, base, side.label) for line in comparison.lines)
        order = (*ORDER, f"only in {base}", f"only in {side.label}")
        parts = [f"{counts[word]} {word}" for word in order if counts[word]]
        counted = ", ".join(parts) or "no row"
        yield f"{side.label} against {base}: {counted}{_power(comparison, number)}"


def _power(comparison: Comparison, number: int) -> str:
    """Say how large a slowdown half of a side's rows would have shown."""
    smallest = [line.verdicts[number].smallest for line in comparison.lines]
    known = [share for share in smallest if share is not None]
    if not known:
        return ""
    label = comparison.sides[number + 1].label
    return f"; in half of the rows it would have shown if {label} were {slower(median(known))}"


def undecided(comparison: Comparison) -> list[str]:
    """Return a paragraph for what would decide the undecided rows; empty where there are none."""
    groups: dict[str, list[str]] = {}
    for line in comparison.lines:
        for side, verdict in zip(comparison.sides[1:], line.verdicts, strict=True):
            if verdict.word == UNDECIDED:
                cell = f"{line.cell.family} {line.cell.id} ({side.label})"
                groups.setdefault(verdict.remedy, []).append(plain(cell))
    lines = ["", "to decide the undecided rows:"] if groups else []
    for remedy, cells in groups.items():
        rows = ", ".join(cells) if len(cells) <= 3 else f"{len(cells)} rows (--explain names them)"
        lines.append(f"  {remedy}: {rows}")
    return lines


def gate_lines(outcome: Outcome) -> list[str]:
    """Return what came of a gate: what fails, and what may."""
    failing = len(outcome.failures)
    lines = ["", f"fail-on: {counted(failing, 'row')} {'fails' if failing == 1 else 'fail'}"]
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
        side = sheet.side(number)
        if chosen and _width([*columns[1:], *side]) > room:
            yield from _kept(sheet, chosen, columns, width)
            chosen, columns = [], [cells, base]
        chosen.append(number)
        columns += side
    yield from _kept(sheet, chosen, columns, width)


def _kept(
    sheet: Sheet, chosen: Sequence[int], columns: list[Column], width: int
) -> Iterator[list[Column]]:
    """Yield a table's columns with the lines that it has a time for; a later table needs a side's.

    Where one side does not fit, an id is folded first, then columns are left out.
    """
    if 1 not in chosen and not any(sheet.measured(chosen)):
        return
    shown = [*sheet.measured([0, *chosen]), True]
    columns = [replace(column, texts=[*compress(column.texts, shown)]) for column in columns]
    room = width - min(columns[0].width, NARROWEST_ID)
    yield _narrowed(columns, room) if len(chosen) == 1 else columns


def _narrowed(columns: list[Column], room: int) -> list[Column]:
    """Leave out columns, the least important first, until the others fit."""
    kept = list(range(len(columns)))
    for index in DROPPED:
        if _width([columns[index] for index in kept[1:]]) <= room:
            break
        kept.remove(index)
    return [columns[index] for index in kept]


def _width(columns: Sequence[Column]) -> int:
    return sum(GAP + column.width for column in columns)


def _ratio(ratio: Ratio | None) -> str:
    return NOTHING if ratio is None else with_margin(ratio.value, ratio.margin)


def _interval(ratio: Ratio | None) -> str:
    """Return both ends, with the first unsure digit; at least two decimals below 10."""
    if ratio is None or ratio.low is None or ratio.high is None:
        return NOTHING
    half = max((ratio.high - ratio.low) / 2, ratio.value * 1e-3)
    least = 2 if ratio.value < 10 else 1 if ratio.value < 100 else 0
    decimals = max(least, -floor(log10(half)))
    high = f"{ratio.high:.{decimals}f}" if ratio.high < HIGHEST else "∞"
    return f"{ratio.low:.{decimals}f}–{high}"


def _span(values: Sequence[float]) -> str:
    low, high = percent(min(values)), percent(max(values))
    return low if low == high else f"{low.removesuffix(' %')} to {high}"
