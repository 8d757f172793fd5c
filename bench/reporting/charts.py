"""The charts of a report as data: what is drawn, a title that says what one sees, the figures."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Literal, TypeVar

from bench.comparing.comparison import Line
from bench.comparing.verdict import FASTER, SAME, SLOWER, UNDECIDED, WORSE, Verdict
from bench.reporting.layout import Column
from bench.reporting.texts import NOTHING, plain, with_margin
from bench.results.units import percent

__all__ = ["MOST_ROWS", "Chart", "Figures", "Point", "Series", "chunks", "of_comparison"]

T = TypeVar("T")

MOST_ROWS = 16
"""Rows in one chart of dots or bars."""

MOST_COMPARED = 6
"""Charts of one family and side: bounds the page; every ratio is in the tables."""

FURTHEST = 1e6
"""A ratio beyond this is no comparison of times, and would leave no room for the others."""

LOG_FROM = 10.0
"""The largest value over the smallest from which a scale is logarithmic."""

WORDS = (WORSE, SLOWER, FASTER, SAME, UNDECIDED)


@dataclass(frozen=True)
class Point:
    """A median and its 95 % interval, in the chart's unit."""

    at: float
    value: float
    interval: tuple[float, float] | None
    """None with fewer than six samples."""
    margin: float | None = None
    """Half the interval, relative: what the digits are cut to; None where it is unknown."""


@dataclass(frozen=True)
class Series:
    """Points that belong together."""

    name: str
    points: Sequence[Point]
    line: tuple[float, float] | None = None
    """The fitted line: its value at 0, and what one more adds."""
    band: tuple[float, float] | None = None
    """The noise floor that a ratio is compared with."""
    word: str = ""
    """What the value means: a verdict."""


@dataclass(frozen=True)
class Figures:
    """What a chart shows, as a table."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 0
    """How many columns at the end are words, not numbers."""

    @property
    def columns(self) -> list[Column]:
        """The same by columns."""
        texts = list(zip(*self.rows, strict=True))
        numbers = len(self.headings) - self.words
        return [
            Column(heading, texts[index], "right" if index < numbers else "left")
            for index, heading in enumerate(self.headings)
        ]


@dataclass(frozen=True)
class Chart:
    """One drawing and everything that is said of it."""

    kind: Literal["lines", "dots", "ratios", "stacked", "history"]
    """lines: values over a number; dots, ratios: one value a name; stacked: parts of a whole;
    history: runs in order, then a series for each level between changes."""
    title: str
    description: str
    """For a screen reader."""
    unit: str
    """Of the values."""
    along: str
    """What a point's `at` counts; empty for dots."""
    series: Sequence[Series]
    """For dots, one of a single point for each name."""
    figures: Sequence[Figures]
    names: Sequence[str] = ()
    """For stacked, the whole that each point of a series is a part of; for history, each run."""

    @property
    def log(self) -> bool:
        """Whether the values' scale is logarithmic."""
        values = [point.value for series in self.series for point in series.points]
        possible = self.kind == "dots" or self.log_along
        return possible and max(values) / min(values) >= LOG_FROM

    @property
    def log_along(self) -> bool:
        """Whether `at` counts what doubles rather than what adds up."""
        return self.along == "batch"


def of_comparison(lines: Sequence[Line], side: int, base: str, label: str) -> list[Chart]:
    """Return the charts of one family on the side `label`, the first after `base` being 0."""
    comparable = [
        line
        for line in lines
        if (ratio := line.verdicts[side].ratio) and 1 / FURTHEST < ratio.value < FURTHEST
    ]
    pieces = chunks(comparable, MOST_ROWS)[:MOST_COMPARED]
    return [_ratios(piece, side, base, label) for piece in pieces]


def chunks(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Cut a list into the fewest pieces of at most `size`, whose lengths differ by one at most.

    A last piece of one row would be a chart that compares nothing.
    """
    pieces = ceil(len(items) / size)
    ends = [len(items) * number // pieces for number in range(pieces + 1)] if pieces else []
    return [items[start:end] for start, end in pairwise(ends)]


def _ratios(lines: Sequence[Line], side: int, base: str, label: str) -> Chart:
    verdicts = [line.verdicts[side] for line in lines]
    names = [plain(line.cell.id) for line in lines]
    series = [
        Series(name, [_point(verdict)], band=_band(verdict), word=verdict.word)
        for name, verdict in zip(names, verdicts, strict=True)
    ]
    counts = Counter(verdict.word for verdict in verdicts)
    tally = ", ".join(f"{counts[word]} {word}" for word in WORDS if counts[word])
    title = f"{label} against {base}: {tally}"
    rows = [
        (
            name,
            with_margin(point.value, point.margin),
            percent(verdict.floor.value) if verdict.floor else NOTHING,
            verdict.word,
            verdict.code,
        )
        for name, point, verdict in zip(names, map(_point, verdicts), verdicts, strict=True)
    ]
    headings = ("cell", f"{label}/{base}", "noise floor", "verdict", "because")
    return Chart(
        kind="ratios",
        title=title,
        description=(
            f"{label}'s time over {base}'s with its 95 % interval, on the noise floor. "
            f"{title}; above 1 is slower."
        ),
        unit=f"{label}/{base} · above 1 is slower · gray: noise floor",
        along="",
        series=series,
        figures=[Figures("ratios and what decided them", headings, rows, words=2)],
    )


def _point(verdict: Verdict) -> Point:
    ratio = verdict.ratio
    assert ratio is not None
    interval = None if ratio.low is None or ratio.high is None else (ratio.low, ratio.high)
    return Point(0, ratio.value, interval, ratio.margin)


def _band(verdict: Verdict) -> tuple[float, float] | None:
    if verdict.floor is None:
        return None
    return 1 / (1 + verdict.floor.value), 1 + verdict.floor.value
