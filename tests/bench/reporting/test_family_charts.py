"""What the report draws of a run, and that its titles say what one sees."""

from dataclasses import replace

import pytest

from bench.reporting import family_charts
from bench.reporting.charts import Chart, chunks
from bench.reporting.family_charts import of_family
from bench.results.cell import AGREED, JUDGED, JULIA, MEASURED, Axis, Row
from bench.statistics import stats
from support.results import generate, named, rows


def flat(seconds: float, count: int = 20, spread: float = 0.001) -> tuple[float, ...]:
    """Samples around `seconds`, half of them a little above and half below."""
    return tuple(seconds * (1 + spread * (1 if index % 2 else -1)) for index in range(count))


def timed(seconds: dict[int, float], size: str = "64x64") -> list[Row]:
    """Rows of so many steps that took so long."""
    return [
        generate("tiny", "cpu", size, count, MEASURED, samples=flat(time))
        for count, time in seconds.items()
    ]


def steps(size: str, per_step: float, fixed: float, counts: tuple[int, ...]) -> list[Row]:
    return [
        generate("sd15", "cuda", size, count, MEASURED, samples=flat(fixed + per_step * count))
        for count in counts
    ]


def forward(engine: str, device: str, batch: int, seconds: float, **known: object) -> Row:
    axes: dict[str, Axis] = {"engine": engine, "device": device, "batch": batch}
    return named("forward", axes, MEASURED, images=batch, samples=flat(seconds), **known)


def regime(name: str, seconds: float, count: int = 20, **axes: Axis) -> Row:
    known: dict[str, Axis] = {"regime": name, "color": "rgb", **axes}
    return named("preprocess", known, MEASURED, samples=flat(seconds, count))


def only(family: str, family_rows: list[Row]) -> Chart:
    (chart,) = of_family(family, family_rows)
    return chart


SIZES = [
    *steps("512x512", 0.0184, 0.09, (10, 20, 30, 50)),
    *steps("768x768", 0.05, 0.2, (10, 20, 30, 50)),
]
THREE = steps("512x512", 0.02, 0.1, (10, 20, 30))
ENGINES = [
    row
    for batch, flux, compiled in ((1, 0.002, 0.00037), (8, 0.02, 0.005), (32, 0.1, 0.06))
    for row in (forward("flux", "cpu", batch, flux), forward("compiled", "cpu", batch, compiled))
]


def batches(flux: float, reference: float, device: str) -> list[Row]:
    return [
        forward(engine, device, batch, seconds)
        for engine, seconds in (("flux", flux), ("reference", reference))
        for batch in (1, 8)
    ]


@pytest.mark.parametrize(
    ("family", "family_rows", "title"),
    [
        (
            "generate",
            SIZES,
            "sd15 cuda float16: 512×512 18.4 ms a step after 90.0 ms; "
            "768×768 50.0 ms a step after 200 ms ± 10 %",
        ),
        (
            "generate",
            timed({2: 0.03, 4: 0.04, 6: 0.052, 8: 0.061}),
            "tiny cpu float32: 64×64 5.27 ms a step after 19.4 ms",
        ),
        (
            "generate",
            steps("512x512", 0.02, 0.0, (10, 20, 30)),
            "sd15 cuda float16: 512×512 20.0 ms a step",
        ),
        (
            "generate",
            steps("512x512", 0.02, 0.1, (10, 30)),
            "sd15 cuda float16: 512×512 300 ms at 10 steps, 700 ms at 30",
        ),
        (
            "generate",
            timed({2: 0.03, 4: 0.08, 6: 0.09, 8: 0.1}),
            "tiny cpu float32: 64×64 is not a straight line: 26 % off at 4 steps",
        ),
        (
            "forward",
            ENGINES,
            "At batch 1 PyTorch compiled on the CPU does 5.4× the images/s of Flux on the CPU",
        ),
        (
            "forward",
            batches(0.001, 0.00104, "cuda"),
            "At batch 1 Flux on CUDA does 1.04× the images/s of PyTorch on CUDA",
        ),
        (
            "forward",
            batches(0.001, 0.0010005, "cpu"),
            "At batch 1 Flux on the CPU and PyTorch on the CPU are equally fast "
            "within their intervals",
        ),
        (
            "forward",
            [forward("reference", "cpu", batch, 0.001 * batch) for batch in (2, 8)],
            "At batch 2 PyTorch on the CPU scores 1 000 images/s",
        ),
        (
            "preprocess",
            [regime("decode", 0.005), regime("transform", 0.0004)],
            "transform-rgb does 13× the images/s of decode-rgb",
        ),
        (
            "preprocess",
            [regime("decode", 0.005, 5), regime("transform", 0.0004, 5)],
            "transform-rgb and decode-rgb: too few samples to say which is faster",
        ),
    ],
)
def test_the_title_says_what_one_sees(family: str, family_rows: list[Row], title: str) -> None:
    assert only(family, family_rows).title == title


# Latency over steps.


def test_each_size_is_a_series_of_medians_with_intervals_and_a_fitted_line() -> None:
    chart = only("generate", SIZES)
    assert [series.name for series in chart.series] == ["512×512", "768×768"]
    assert chart.series[0].line == pytest.approx((0.09, 0.0184))
    assert (chart.unit, chart.along, chart.log) == ("s/image", "steps", False)
    point = only("generate", THREE).series[0].points[0]
    assert (point.at, point.value) == (10, pytest.approx(300))
    assert point.interval == pytest.approx((299.4, 300.6))


@pytest.mark.parametrize("seconds", [{2: 0.3, 4: 0.4}, {2: 0.03, 4: 0.08, 6: 0.09, 8: 0.1}])
def test_too_few_points_or_points_on_no_line_are_not_given_one(seconds: dict[int, float]) -> None:
    assert only("generate", timed(seconds)).series[0].line is None


def test_the_figures_of_steps_are_every_point_and_the_fit() -> None:
    points, fits = only("generate", THREE).figures
    assert points.headings == ("size", "steps", "ms/image", "95 % interval", "rounds")
    assert points.rows[0] == ("512×512", "10", "300.0", "299.4 to 300.6", "20")
    assert fits.headings[:3] == ("size", "a step", "95 % interval")
    assert fits.rows[0][0] == "512×512"
    assert fits.rows[0][1].startswith("20.0")


def test_models_devices_and_types_are_charts_of_their_own() -> None:
    charts = of_family("generate", [*THREE, *timed({2: 0.02, 4: 0.04, 8: 0.08})])
    assert [chart.title.partition(":")[0] for chart in charts] == [
        "sd15 cuda float16",
        "tiny cpu float32",
    ]


def test_more_sizes_than_markers_are_several_charts() -> None:
    many = [row for side in range(1, 9) for row in steps(f"{64 * side}x64", 0.02, 0.1, (10, 20))]
    first, second = of_family("generate", many)
    assert (len(first.series), len(second.series)) == (4, 4)
    assert first.title.endswith("; 2 more")


def test_several_images_a_call_are_drawn_by_the_call() -> None:
    chart = only("generate", [replace(row, cell=replace(row.cell, images=4)) for row in THREE])
    assert chart.unit == "ms/call"
    assert chart.series[0].points[0].value == pytest.approx(300)
    assert chart.title == "sd15 cuda float16: 512×512 20.0 ms a step after 100 ms ± 11 %"


# Agreement over steps.


def judged(size: str, agreed: dict[int, int], count: int = 20) -> list[Row]:
    return [
        replace(row, extra={AGREED: agreed[row.cell.steps], JUDGED: count})
        for row in timed(dict.fromkeys(agreed, 0.1), size)
    ]


def test_agreement_is_drawn_over_steps_with_exact_intervals() -> None:
    rows = [*judged("64x64", {8: 20, 2: 13, 4: 18}), *judged("128x64", {2: 15, 8: 19})]
    _, chart = of_family("generate", rows)
    assert chart.title == (
        "tiny cpu float32: 64×64 13 of 20 agree at 2 steps, 20 of 20 at 8; "
        "128×64 15 of 20 agree at 2 steps, 19 of 20 at 8"
    )
    assert chart.unit == "% of pictures that agree with their prompt"
    small, large = chart.series
    assert (small.name, [point.at for point in small.points]) == ("64×64", [2, 4, 8])
    assert [point.value for point in large.points] == [75, 95]
    # Clopper and Pearson: of 20 of 20 the low end is 0.025 ** (1 / 20)
    assert small.points[-1].interval == pytest.approx((100 * 0.025 ** (1 / 20), 100))
    [table] = chart.figures
    assert table.headings == ("size", "steps", "agree", "95 % interval")
    assert table.rows[0] == ("64×64", "2", "13 of 20", "41 to 85 %")


@pytest.mark.parametrize("steps", [{8: 20}, {}])
def test_agreement_of_fewer_than_two_step_counts_is_not_drawn(steps: dict[int, int]) -> None:
    rest = timed(dict.fromkeys({2, 4, 8} - steps.keys(), 0.1))
    [chart] = of_family("generate", [*judged("64x64", steps), *rest])
    assert chart.unit == "ms/image"


# Where a call went.


def profiled(count: int, **stages: float) -> Row:
    row = generate("tiny", "cpu", "64x64", count, MEASURED, samples=flat(0.02))
    names = {name.replace("_", " "): seconds for name, seconds in stages.items()}
    return replace(row, profiled=0.02, stages=names)


def test_stages_are_parts_of_one_profiled_call() -> None:
    *_, chart = of_family(
        "generate",
        [profiled(2, text_encoder=0.002, UNet=0.01), profiled(4, UNet=0.015, VAE_decode=0.004)],
    )
    assert (chart.kind, chart.unit) == ("stacked", "ms of one profiled call")
    assert chart.names == ["tiny-cpu-float32-64x64-2steps", "tiny-cpu-float32-64x64-4steps"]
    values = {series.name: [point.value for point in series.points] for series in chart.series}
    assert list(values) == ["text encoder", "UNet", "VAE decode", "rest"]
    assert values["UNet"] == pytest.approx([10, 15])
    assert values["rest"] == pytest.approx([8, 1])
    assert chart.title == "UNet takes 50 % of a call of tiny-cpu-float32-64x64-2steps"
    assert chart.figures[0].headings == ("cell", *values, "call")
    assert chart.figures[0].rows[0][1:] == ("2.00", "10.0", "0", "8.00", "20.0")


def test_on_a_device_the_wait_for_the_host_is_a_part_of_its_own() -> None:
    *_, chart = of_family("generate", [replace(profiled(2, UNet=0.01), busy=0.015)])
    values = {series.name: series.points[0].value for series in chart.series}
    assert values == pytest.approx({"UNet": 10, "host gap": 5, "rest": 5})


def test_stages_that_overlap_leave_no_rest() -> None:
    *_, chart = of_family("generate", [profiled(2, UNet=0.03)])
    assert [series.points[0].value for series in chart.series] == pytest.approx([30, 0])
    assert chart.title == "UNet takes 100 % of a call of tiny-cpu-float32-64x64-2steps"


# Images a second.


def test_each_engine_is_a_series_over_the_batch() -> None:
    chart = only("forward", ENGINES)
    assert [series.name for series in chart.series] == ["flux cpu", "compiled cpu"]
    assert [point.value for point in chart.series[0].points] == pytest.approx([500, 400, 320])
    assert chart.figures[0].rows[2][:3] == ("flux cpu", "32", "320.0")
    assert chart.description == (
        "Images a second by batch, medians with 95 % intervals, in images/s. "
        "flux cpu: 500 at batch 1, 320 at batch 32; "
        "compiled cpu: 2 700 at batch 1, 533 at batch 32."
    )


def test_what_is_no_call_from_python_is_not_beside_those() -> None:
    bridge = [
        forward("flux-bridge", "cpu", batch, 1e-5, regime={"model": "none"}) for batch in (1, 8)
    ]
    inside = [replace(forward("flux-inside", "cpu", batch, 0.002), clock=JULIA) for batch in (1, 8)]
    assert of_family("forward", [*bridge, *inside]) == []
    chart = only("forward", [*ENGINES, *bridge, *inside])
    assert {series.name for series in chart.series} == {"flux cpu", "compiled cpu"}


def test_regimes_are_dots_on_a_scale_that_is_logarithmic_from_a_factor_of_ten() -> None:
    chart = only("preprocess", [regime("decode", 0.005), regime("transform", 0.0004)])
    assert (chart.kind, chart.log) == ("dots", True)
    assert [series.points[0].value for series in chart.series] == pytest.approx([200, 2500])
    assert not only("preprocess", [regime("a", 0.005), regime("b", 0.001)]).log


def test_a_chart_has_the_digits_of_the_table() -> None:
    seconds = tuple(0.001 * (1 + 0.4 * (index % 5)) for index in range(20))
    few = regime("a", 0.005, 5)
    chart = only("preprocess", [few, replace(regime("b", 1), samples=seconds)])
    assert chart.series[0].points[0].interval is None
    assert chart.series[1].points[0].margin == stats.margin(seconds)
    assert chart.figures[0].rows[0] == ("a-rgb", "200", "–", "5")
    assert chart.figures[0].rows[1][1] == "560"


def test_each_regime_of_several_rows_has_a_chart_of_its_own() -> None:
    charts = of_family(
        "preprocess",
        [
            regime("decode", 0.005),
            regime("transform", 0.0002),
            regime("transform", 0.0008, peer="classic"),
            regime("file", 0.006),
            regime("file", 0.009, peer="classic"),
            regime("stream", 0.004, threads=2),
        ],
    )
    assert [chart.title for chart in charts] == [
        "transform-rgb does 4× the images/s of transform-rgb-classic",
        "file-rgb does 1.5× the images/s of file-rgb-classic",
        "stream-rgb-threads2 does 1.25× the images/s of decode-rgb",
    ]


def test_pieces_are_alike_in_length() -> None:
    assert list(map(len, chunks(range(18), 16))) == [9, 9]
    assert list(map(len, chunks(range(16), 16))) == [16]
    assert [item for piece in chunks(range(50), 16) for item in piece] == list(range(50))
    assert chunks([], 16) == []


# All of them.


@pytest.mark.parametrize("family", ["generate", "preprocess", "forward", "end_to_end", "other"])
def test_what_cannot_be_compared_is_not_drawn(family: str) -> None:
    nothing = [replace(row, samples=(0.0,) * 6) for row in rows() if row.status == MEASURED]
    absent = [row for row in rows() if row.status != MEASURED]
    assert of_family(family, [*nothing, *absent]) == []
    assert of_family("preprocess", [regime("decode", 0.005)]) == []


def test_however_many_cells_the_charts_are_few() -> None:
    many = [
        generate(f"model{model}", "cpu", "64x64", count, MEASURED, samples=flat(0.01 * count))
        for model in range(50)
        for count in range(1, 200)
    ]
    charts = of_family("generate", many)
    assert len(charts) == family_charts.MOST_CHARTS
    points = [series.points for chart in charts for series in chart.series]
    assert {len(each) for each in points} == {29}  # of 199 every seventh
    assert {(each[0].at, each[-1].at) for each in points} == {(3, 199)}
