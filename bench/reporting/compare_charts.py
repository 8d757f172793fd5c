"""The charts of a comparison: ratios with their intervals, noise floors and verdicts."""

from collections import Counter
from collections.abc import Sequence

from bench.comparing.comparison import Line
from bench.comparing.verdict import FASTER, SAME, SLOWER, UNDECIDED, Verdict, percent
from bench.reporting.charts import MOST_ROWS, Chart, Figures, Point, Series, chunks
from bench.reporting.texts import NOTHING, plain, with_margin

__all__ = ["of_lines"]

MOST_CHARTS = 6
"""Charts of one family and side: bounds the page; every ratio is in the tables."""

FURTHEST = 1e6
"""A ratio beyond this is no comparison of times, and would leave no room for the others."""

WORDS = (SLOWER, FASTER, SAME, UNDECIDED)


def of_lines(lines: Sequence[Line], side: int, base: str, label: str) -> list[Chart]:
    """Return the charts of one family on the side `label`, the first after `base` being 0."""
    known = [
        line
        for line in lines
        if (ratio := line.verdicts[side].ratio) and 1 / FURTHEST < ratio.value < FURTHEST
    ]
    return [_chart(some, side, base, label) for some in chunks(known, MOST_ROWS)][:MOST_CHARTS]


def _chart(lines: Sequence[Line], side: int, base: str, label: str) -> Chart:
    verdicts = [line.verdicts[side] for line in lines]
    names = [plain(line.cell.id) for line in lines]
    series = [
        Series(name, [_point(each)], band=_band(each), word=each.word)
        for name, each in zip(names, verdicts, strict=True)
    ]
    counts = Counter(verdict.word for verdict in verdicts)
    said = ", ".join(f"{word} in {counts[word]}" for word in WORDS if counts[word])
    title = f"{label} against {base}: {said} of {len(lines)}"
    figures = [
        (
            name,
            with_margin(each.points[0].value, each.points[0].margin),
            percent(verdict.floor.value) if verdict.floor else NOTHING,
            verdict.word,
            verdict.code,
        )
        for name, each, verdict in zip(names, series, verdicts, strict=True)
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
        figures=[Figures("ratios and what decided", headings, figures, words=2)],
    )


def _point(verdict: Verdict) -> Point:
    found = verdict.ratio
    assert found is not None
    interval = None if found.low is None or found.high is None else (found.low, found.high)
    return Point(0, found.value, interval, found.margin)


def _band(verdict: Verdict) -> tuple[float, float] | None:
    if verdict.floor is None:
        return None
    return 1 / (1 + verdict.floor.value), 1 + verdict.floor.value
