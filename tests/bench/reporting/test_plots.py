"""A chart is one SVG element without a script, an address or a style for anything else."""

import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.reporting import family_charts, plots
from bench.reporting.charts import MOST_ROWS, Chart, Figures, Point, Series

FIGURES = Figures("figures", ("name", "value"), [("a", "1")])

LINES = Chart(
    kind="lines",
    title="64×64: 4.8 ms a step",
    description="Time of an image by denoising steps",
    unit="ms/image",
    along="steps",
    series=[
        Series(
            "64×64", [Point(2, 20, (19, 21)), Point(4, 30, None), Point(8, 48, (45, 52))], (10, 4.8)
        ),
        Series("128×128", [Point(2, 30, (29, 31)), Point(4, 50, (50, 50))]),
    ],
    figures=[FIGURES],
)
BATCHES = replace(LINES, along="batch", unit="images/s", series=[
    Series("flux cpu", [Point(1, 450, (440, 460)), Point(32, 270, (260, 280))]),
    Series("compiled cpu", [Point(1, 2700, (2600, 2800)), Point(32, 490, None)]),
])  # fmt: skip
DOTS = Chart(
    kind="dots",
    title="transform-rgb does 17× the images/s of file-rgb",
    description="Images a second by regime",
    unit="images/s",
    along="",
    series=[
        Series("transform-rgb", [Point(0, 2500, (2400, 2600))]),
        Series("file-rgb", [Point(0, 150, None)]),
    ],
    figures=[FIGURES],
)
RATIOS = replace(DOTS, kind="ratios", unit="B/A", series=[
    Series("transform-rgb", [Point(0, 1.3, (1.2, 1.4), 0.08)], band=(0.91, 1.1), word="slower"),
    Series("file-rgb", [Point(0, 0.3, None)], word="undecided"),
])  # fmt: skip
STACKED = replace(
    DOTS,
    kind="stacked",
    unit="ms of one profiled call",
    names=["2steps", "4steps"],
    series=[
        Series("UNet", [Point(0, 10, None), Point(1, 20, None)]),
        Series("rest", [Point(0, 3, None), Point(1, 0, None)]),
    ],
)
EVERY = {"lines": LINES, "batches": BATCHES, "dots": DOTS, "ratios": RATIOS, "stacked": STACKED}


@pytest.fixture(params=EVERY)
def chart(request: pytest.FixtureRequest) -> Chart:
    return EVERY[request.param]


def elements(drawn: str) -> Iterator[ElementTree.Element]:
    return ElementTree.fromstring(drawn).iter()


def texts(drawn: str) -> list[str]:
    return ["".join(one.itertext()) for one in elements(drawn) if one.tag == "text"]


def markers(drawn: str) -> int:
    """How many shapes are drawn again and again."""
    return len(
        {one.get("d") for one in elements(drawn) if one.tag == "path" and "id" in one.attrib}
    )


def test_it_is_an_image_with_a_title_and_a_description(chart: Chart) -> None:
    root = ElementTree.fromstring(plots.svg(chart, "c1"))
    assert (root.tag, root.get("role")) == ("svg", "img")
    title, description = root[:2]
    assert (title.tag, title.text) == ("title", chart.title)
    assert (description.tag, description.text) == ("desc", chart.description)
    assert root.get("aria-labelledby") == title.get("id") == "c1-title"
    assert root.get("aria-describedby") == description.get("id") == "c1-desc"


def test_text_stays_text(chart: Chart) -> None:
    shown = texts(plots.svg(chart, "c1"))
    assert {one.name for one in chart.series} | set(chart.names) <= set(shown)
    assert any(chart.unit in one for one in shown)


def test_the_same_chart_is_the_same_text(chart: Chart) -> None:
    assert plots.svg(chart, "c1") == plots.svg(chart, "c1")


def test_it_refers_to_nothing_outside_itself(chart: Chart) -> None:
    drawn = plots.svg(chart, "c1")
    assert "http" not in drawn
    assert "data:" not in drawn
    ids = {one.get("id") for one in elements(drawn)}
    referred = set(re.findall(r"url\(([^)]*)\)", drawn))
    referred |= {one.attrib["href"] for one in elements(drawn) if "href" in one.attrib}
    assert referred
    assert {one.removeprefix("#") for one in referred} <= ids


def ids(drawing: str) -> list[str]:
    return [element.attrib["id"] for element in elements(drawing) if "id" in element.attrib]


def test_two_drawings_on_a_page_share_no_id(chart: Chart) -> None:
    on_page = ids(plots.svg(chart, "c7")) + ids(plots.svg(chart, "c8"))
    assert len(on_page) == len(set(on_page))


def test_it_styles_nothing_but_itself(chart: Chart) -> None:
    tags = {one.tag for one in elements(plots.svg(chart, "c1"))}
    shapes = {"g", "path", "use", "text", "tspan", "rect", "clipPath", "pattern"}
    assert tags <= {"svg", "title", "desc", "defs", *shapes}


def test_every_colour_is_one_of_the_palette(chart: Chart) -> None:
    drawn = plots.svg(chart, "c1")
    assert re.findall(r"#[0-9a-f]{6}\b", drawn) == []
    used = set(re.findall(r"var\(--([\w-]+)\)", drawn))
    assert {"ink", "muted", "grid", "series-1"} - {"ink"} <= used <= set(plots.PALETTE)


def test_series_differ_by_their_marker_too() -> None:
    alike = replace(BATCHES, series=BATCHES.series[:1])
    assert markers(plots.svg(BATCHES, "c1")) == markers(plots.svg(alike, "c1")) + 1


@pytest.mark.parametrize("name", ["<script>x()</script>", "$x^2$ & \"q\" 't'", "日本 🙂 \\frac"])
def test_a_name_is_text_whatever_it_says(name: str, chart: Chart) -> None:
    named = replace(chart, title=name, description=name, series=[
        replace(one, name=name) for one in chart.series
    ])  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = plots.svg(named, "c1")
    assert name in texts(drawn)
    assert "<script" not in drawn
    assert ElementTree.fromstring(drawn)[0].text == name


def test_a_verdict_stands_beside_its_ratio_and_has_its_own_marker() -> None:
    drawn = plots.svg(RATIOS, "c1")
    assert {"1.30 slower", "0.300 undecided"} <= set(texts(drawn))
    assert {"0.5", "1", "2"} <= set(texts(drawn))
    same = replace(RATIOS, series=[replace(one, word="same") for one in RATIOS.series])
    assert markers(drawn) > markers(plots.svg(same, "c1"))


def test_a_ratio_close_to_one_has_a_scale_close_to_one() -> None:
    close = replace(RATIOS, series=[Series("x", [Point(0, 1.02, (1.01, 1.03))], word="same")])
    assert {"0.8", "1", "1.25"} <= set(texts(plots.svg(close, "c1")))


def test_stages_differ_by_their_hatch_too() -> None:
    drawn = plots.svg(STACKED, "c1")
    assert len([one for one in elements(drawn) if one.tag == "pattern"]) == 1  # one is plain
    assert {"UNet", "rest", "13.0", "20.0"} <= set(texts(drawn))


def test_a_full_chart_of_stages_has_a_bounded_size() -> None:
    series = [
        Series(f"stage {number}", [Point(at, 1, None) for at in range(MOST_ROWS)])
        for number in range(family_charts.MOST_SERIES)
    ]
    names = [f"cell {number}" for number in range(MOST_ROWS)]
    drawn = plots.svg(replace(STACKED, series=series, names=names), "c1")
    assert len(drawn) < 150_000


def test_a_long_name_is_cut() -> None:
    long = replace(DOTS, series=[replace(DOTS.series[0], name="x" * 5000)])
    drawn = plots.svg(long, "c1")
    assert f"{'x' * (plots.LABEL - 1)}…" in texts(drawn)
    assert len(drawn) < 20_000


def test_a_full_chart_has_a_bounded_size() -> None:
    series = [
        Series(
            f"series {number}",
            [
                Point(at, at * number, (at, at * 9))
                for at in range(1, family_charts.MOST_POINTS + 1)
            ],
        )
        for number in range(1, family_charts.MOST_SERIES + 1)
    ]
    assert len(plots.svg(replace(LINES, series=series), "c1")) < 150_000


def test_settings_of_matplotlib_stay_as_they_are() -> None:
    import matplotlib

    matplotlib.rcParams["font.size"] = 31
    try:
        loud = plots.svg(LINES, "c1")
        assert matplotlib.rcParams["font.size"] == 31
    finally:
        matplotlib.rcParams.update(matplotlib.rcParamsDefault)
    assert loud == plots.svg(LINES, "c1")


values = st.floats(1e-9, 1e15)


@settings(max_examples=10)
@given(st.lists(st.tuples(values, st.floats(0, 0.9)), min_size=1, max_size=4), st.booleans())
def test_any_value_can_be_drawn(drawn: list[tuple[float, float]], dots: bool) -> None:
    points = [
        Point(number + 1, value, (value * (1 - rone), value * (1 + rone)))
        for number, (value, rone) in enumerate(drawn)
    ]
    if dots:
        chart = replace(DOTS, series=[Series("x", [one]) for one in points])
    else:
        chart = replace(BATCHES, series=[Series("x", points)])
    assert plots.svg(chart, "c1").startswith("<svg ")


def luminance(color: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    levels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in levels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("name", [name for name in plots.PALETTE if name not in ("paper", "grid")])
def test_what_carries_text_has_a_contrast_of_4_5(name: str, theme: int) -> None:
    pair = [luminance(plots.PALETTE[one][theme]) for one in (name, "paper")]
    assert (max(pair) + 0.05) / (min(pair) + 0.05) >= 4.5
