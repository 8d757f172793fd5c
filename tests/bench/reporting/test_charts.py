"""What the report draws of a comparison: ratios, the noise floor, and the verdicts as they are."""

from collections.abc import Sequence

import pytest

from bench.comparing.comparison import Comparison, compare
from bench.comparing.sides import Side
from bench.reporting import charts
from bench.reporting.texts import with_margin
from bench.results.cell import MEASURED, Row
from bench.results.record import Run
from support.results import MACHINE, named

BASE = {"a": 0.01, "b": 0.01, "c": 0.01}


def around(seconds: float, count: int = 40) -> tuple[float, ...]:
    """Samples within 1 % of `seconds`."""
    return tuple(seconds * (1 + 0.01 * ((index * 7) % 11 - 5) / 5) for index in range(count))


def side(label: str, seconds: dict[str, float], count: int = 40) -> Side:
    rows: Sequence[Row] = [
        named("forward", {"engine": name}, MEASURED, samples=around(time, count))
        for name, time in seconds.items()
    ]
    return Side(label, (f"{label}.json",), (Run(MACHINE, tuple(rows)),))


def compared(**later: float) -> Comparison:
    return compare([side("A", BASE), side("B", later)])


def test_the_title_counts_the_verdicts() -> None:
    comparison = compared(a=0.02, b=0.0101, c=0.005)
    (chart,) = charts.of_comparison(comparison.lines, 0, "A", "B")
    assert chart.title == "B against A: 1 slower, 1 faster, 1 same"
    assert chart.kind == "ratios"
    assert [series.word for series in chart.series] == ["slower", "same", "faster"]


def test_a_point_is_the_ratio_with_its_interval_on_the_noise_floor() -> None:
    comparison = compared(a=0.02)
    ratio = comparison.lines[0].verdicts[0].ratio
    assert ratio is not None
    (chart,) = charts.of_comparison(comparison.lines, 0, "A", "B")
    (series,) = chart.series
    assert series.name == "a"
    assert series.points[0].value == ratio.value == pytest.approx(2, rel=0.01)
    assert series.points[0].interval == (ratio.low, ratio.high)
    assert series.band == pytest.approx((1 / 1.1, 1.1))
    assert chart.figures[0].headings == ("cell", "B/A", "noise floor", "verdict", "because")
    assert chart.figures[0].rows == [("a", "2.000", "10 %", "slower", "beyond the floor")]


def test_a_ratio_without_an_interval_is_several_without_one() -> None:
    comparison = compare([side("A", {"a": 0.01}, 5), side("B", {"a": 0.02}, 5)])
    (chart,) = charts.of_comparison(comparison.lines, 0, "A", "B")
    assert chart.series[0].points[0].interval is None
    assert chart.series[0].band is None
    assert chart.figures[0].rows[0][2:] == ("–", "undecided", "too few rounds")


def test_a_ratio_reads_the_same_in_the_chart_and_in_its_figures() -> None:
    noisy = tuple(0.01 * (1 + 0.2 * (index % 5)) for index in range(40))
    rows = (named("forward", {"engine": "a"}, MEASURED, samples=noisy),)
    comparison = compare([side("A", {"a": 0.0123}), Side("B", ("B.json",), (Run(MACHINE, rows),))])
    (chart,) = charts.of_comparison(comparison.lines, 0, "A", "B")
    ratio = comparison.lines[0].verdicts[0].ratio
    assert ratio is not None
    assert chart.series[0].points[0].margin == ratio.margin
    assert chart.figures[0].rows[0][1] == with_margin(ratio.value, ratio.margin) == "1.14"


def test_what_one_side_alone_measured_is_not_several() -> None:
    comparison = compared(a=0.01, d=0.01)
    (chart,) = charts.of_comparison(comparison.lines, 0, "A", "B")
    assert [series.name for series in chart.series] == ["a"]


def test_however_many_lines_the_charts_are_few() -> None:
    many = {f"engine{number}": 0.01 for number in range(200)}
    comparison = compare([side("A", many, 6), side("B", many, 6)])
    several = charts.of_comparison(comparison.lines, 0, "A", "B")
    assert len(several) == charts.MOST_COMPARED
    assert {len(chart.series) for chart in several} == {15, 16}
