"""What the report draws, and that its titles say what one sees."""

from dataclasses import replace

import pytest

from bench.reporting import family_charts
from bench.reporting.charts import Chart, chunks
from bench.reporting.family_charts import of_family
from bench.results.cell import JULIA, MEASURED, Axis, Row
from bench.statistics import stats
from support.results import generate, named, rows


def flat(seconds: float, count: int = 20, spread: float = 0.001) -> tuple[float, ...]:
    """Samples around `seconds`, half of them a little above and half below."""
    return tuple(seconds * (1 + spread * (1 if index % 2 else -1)) for index in range(count))


def steps(size: str, per_step: float, fixed: float, counts: tuple[int, ...]) -> list[Row]:
    return [
        generate("sd15", "cuda", size, count, MEASURED, samples=flat(fixed + per_step * count))
        for count in counts
    ]


def forward(engine: str, device: str, batch: int, seconds: float, **known: object) -> Row:
    axes: dict[str, Axis] = {"engine": engine, "device": device, "batch": batch}
    return named("forward", axes, MEASURED, images=batch, samples=flat(seconds), **known)


def regime(name: str, seconds: float, **known: object) -> Row:
    axes: dict[str, Axis] = {"regime": name, "color": "rgb"}
    return named("preprocess", axes, MEASURED, samples=flat(seconds, **known))


def only(family: str, given: list[Row]) -> Chart:
    (chart,) = of_family(family, given)
    return chart


# Latency over steps.


def test_the_title_of_steps_is_the_fit_of_each_size() -> None:
    given = steps("512x512", 0.0184, 0.09, (10, 20, 30, 50))
    given += steps("768x768", 0.05, 0.2, (10, 20, 30, 50))
    chart = only("generate", given)
    assert chart.title == (
        "sd15 cuda float16: 512×512 18.4 ms a step after 90.0 ms; "
        "768×768 50.0 ms a step after 200 ms"
    )
    assert [each.name for each in chart.series] == ["512×512", "768×768"]
    assert chart.series[0].line == pytest.approx((0.09, 0.0184))
    assert (chart.unit, chart.along, chart.log) == ("s/image", "steps", False)


def test_the_points_of_steps_are_medians_with_their_intervals() -> None:
    point = only("generate", steps("512x512", 0.02, 0.1, (10, 20, 30))).series[0].points[0]
    assert (point.at, point.value) == (10, pytest.approx(300))
    assert point.interval == pytest.approx((299.7, 300.3))


def test_the_figures_of_steps_are_every_point_and_the_fit() -> None:
    points, fits = only("generate", steps("512x512", 0.02, 0.1, (10, 20, 30))).figures
    assert points.headings == ("size", "steps", "ms/image", "95 % interval", "rounds")
    assert points.rows[0] == ("512×512", "10", "300.0", "299.7 to 300.3", "20")
    assert fits.headings[:3] == ("size", "a step", "95 % interval")
    assert fits.rows[0][0] == "512×512"
    assert fits.rows[0][1].startswith("20.0")


def test_a_fit_that_is_unsure_says_by_how_much() -> None:
    given = [
        generate("tiny", "cpu", "64x64", count, MEASURED, samples=flat(seconds))
        for count, seconds in ((2, 0.03), (4, 0.04), (6, 0.052), (8, 0.061))
    ]
    title = only("generate", given).title
    assert title == "tiny cpu float32: 64×64 5.25 ms ± 16 % a step after 19.5 ms ± 23 %"


def test_a_fixed_part_that_may_be_nothing_is_not_claimed() -> None:
    title = only("generate", steps("512x512", 0.02, 0.0, (10, 20, 30))).title
    assert title == "sd15 cuda float16: 512×512 20.0 ms a step"


def test_two_counts_of_steps_have_no_fit() -> None:
    chart = only("generate", steps("512x512", 0.02, 0.1, (10, 30)))
    assert chart.title == ("sd15 cuda float16: 512×512 300 ms at 10 steps, 700 ms at 30")
    assert chart.series[0].line is None
    assert len(chart.figures) == 1


def test_models_devices_and_types_are_charts_of_their_own() -> None:
    given = steps("512x512", 0.02, 0.1, (10, 20, 30))
    given += [
        generate("tiny", "cpu", "64x64", count, MEASURED, samples=flat(0.01 * count))
        for count in (2, 4, 8)
    ]
    titles = [chart.title for chart in of_family("generate", given)]
    assert [title.partition(":")[0] for title in titles] == [
        "sd15 cuda float16",
        "tiny cpu float32",
    ]


def test_more_sizes_than_markers_are_several_charts() -> None:
    given = [
        row for side in range(8) for row in steps(f"{64 * (side + 1)}x64", 0.02, 0.1, (10, 20))
    ]
    first, second = of_family("generate", given)
    assert (len(first.series), len(second.series)) == (4, 4)
    assert first.title.endswith("; 2 more")


def test_points_that_lie_on_no_line_are_not_given_one() -> None:
    given = [
        generate("tiny", "cpu", "64x64", count, MEASURED, samples=flat(seconds))
        for count, seconds in ((2, 0.03), (4, 0.08), (6, 0.09), (8, 0.1))
    ]
    chart = only("generate", given)
    assert chart.title == "tiny cpu float32: 64×64 is not a straight line: 40 % off at 2 steps"
    assert chart.series[0].line is None


def test_several_images_a_call_are_drawn_by_the_call() -> None:
    given = [
        replace(row, cell=replace(row.cell, images=4))
        for row in steps("512x512", 0.02, 0.1, (10, 20, 30))
    ]
    chart = only("generate", given)
    assert chart.unit == "ms/call"
    assert chart.series[0].points[0].value == pytest.approx(300)
    assert chart.title == "sd15 cuda float16: 512×512 20.0 ms a step after 100 ms"


# Where a call went.


def watched(count: int, **stages: float) -> Row:
    row = generate("tiny", "cpu", "64x64", count, MEASURED, samples=flat(0.02))
    named = {name.replace("_", " "): seconds for name, seconds in stages.items()}
    return replace(row, profiled=0.02, stages=named)


def test_stages_are_parts_of_one_profiled_call() -> None:
    given = [watched(2, text_encoder=0.002, UNet=0.01), watched(4, UNet=0.015, VAE_decode=0.004)]
    *_, chart = of_family("generate", given)
    assert (chart.kind, chart.unit) == ("stacked", "ms of one profiled call")
    assert chart.names == ["tiny-cpu-float32-64x64-2steps", "tiny-cpu-float32-64x64-4steps"]
    shown = {each.name: [point.value for point in each.points] for each in chart.series}
    assert list(shown) == ["text encoder", "UNet", "VAE decode", "rest"]
    assert shown["UNet"] == pytest.approx([10, 15])
    assert shown["rest"] == pytest.approx([8, 1])
    assert chart.title == "UNet takes 50 % of a call of tiny-cpu-float32-64x64-2steps"
    assert chart.figures[0].headings == ("cell", *shown, "call")
    assert chart.figures[0].rows[0][1:] == ("2.00", "10.0", "0", "8.00", "20.0")


def test_on_a_device_the_wait_for_the_host_is_a_part_of_its_own() -> None:
    row = replace(watched(2, UNet=0.01), busy=0.015)
    *_, chart = of_family("generate", [row])
    shown = {each.name: each.points[0].value for each in chart.series}
    assert shown == pytest.approx({"UNet": 10, "host gap": 5, "rest": 5})


def test_stages_that_overlap_leave_no_rest() -> None:
    *_, chart = of_family("generate", [watched(2, UNet=0.03)])
    assert [each.points[0].value for each in chart.series] == pytest.approx([30, 0])
    assert chart.title == "UNet takes 100 % of a call of tiny-cpu-float32-64x64-2steps"


# Flux and the reference by batch.


def both() -> list[Row]:
    return [
        row
        for batch, flux, compiled in ((1, 0.002, 0.00037), (8, 0.02, 0.005), (32, 0.1, 0.06))
        for row in (
            forward("flux", "cpu", batch, flux),
            forward("compiled", "cpu", batch, compiled),
        )
    ]


def test_the_title_of_batches_is_flux_beside_the_fastest_other() -> None:
    chart = only("forward", both())
    assert chart.title == (
        "At batch 1 PyTorch compiled on the CPU does 5.4× the images/s of Flux on the CPU"
    )
    assert [each.name for each in chart.series] == ["flux cpu", "compiled cpu"]
    assert [point.value for point in chart.series[0].points] == pytest.approx([500, 400, 320])
    assert chart.figures[0].rows[2][:3] == ("flux cpu", "32", "320.0")


def test_a_faster_flux_is_named_first() -> None:
    given = [
        *(forward("flux", "cuda", batch, 0.001) for batch in (1, 8)),
        *(forward("reference", "cuda", batch, 0.00104) for batch in (1, 8)),
    ]
    assert only("forward", given).title == (
        "At batch 1 Flux on CUDA does 1.04× the images/s of PyTorch on CUDA"
    )


def test_engines_whose_intervals_meet_are_not_ranked() -> None:
    given = [
        *(forward("flux", "cpu", batch, 0.001) for batch in (1, 8)),
        *(forward("reference", "cpu", batch, 0.0010005) for batch in (1, 8)),
    ]
    assert only("forward", given).title == (
        "At batch 1 Flux on the CPU and PyTorch on the CPU are equally fast within their intervals"
    )


def test_without_flux_the_title_is_the_fastest() -> None:
    given = [forward("reference", "cpu", batch, 0.001 * batch) for batch in (2, 8)]
    assert only("forward", given).title == "At batch 2 PyTorch on the CPU scores 1 000 images/s"


def test_what_is_no_call_from_python_is_not_beside_those() -> None:
    bridge = [
        forward("flux-bridge", "cpu", batch, 1e-5, regime={"model": "none"}) for batch in (1, 8)
    ]
    inside = [replace(forward("flux-inside", "cpu", batch, 0.002), clock=JULIA) for batch in (1, 8)]
    assert of_family("forward", [*bridge, *inside]) == []
    chart = only("forward", [*both(), *bridge, *inside])
    assert {each.name for each in chart.series} == {"flux cpu", "compiled cpu"}


# Throughput by regime.


def test_the_title_of_regimes_is_the_fastest_beside_the_slowest() -> None:
    chart = only("preprocess", [regime("decode", 0.005), regime("transform", 0.0004)])
    assert chart.title == "transform-rgb does 13× the images/s of decode-rgb"
    assert chart.kind == "dots"
    assert chart.log
    assert [each.points[0].value for each in chart.series] == pytest.approx([200, 2500])


def test_a_scale_is_logarithmic_from_a_factor_of_ten() -> None:
    assert not only("preprocess", [regime("a", 0.005), regime("b", 0.001)]).log


def test_rows_without_an_interval_are_not_ranked() -> None:
    given = [regime("decode", 0.005, count=5), regime("transform", 0.0004, count=5)]
    chart = only("preprocess", given)
    assert chart.title == "transform-rgb and decode-rgb: too few samples to say which is faster"
    assert chart.series[0].points[0].interval is None
    assert chart.figures[0].rows[0] == ("decode-rgb", "200", "–", "5")


def test_each_regime_of_several_rows_has_a_chart_of_its_own() -> None:
    given = [
        named(
            "preprocess", {"regime": name, "color": "rgb"} | more, MEASURED, samples=flat(seconds)
        )
        for name, more, seconds in (
            ("decode", {}, 0.005),
            ("transform", {}, 0.0002),
            ("transform", {"peer": "classic"}, 0.0008),
            ("file", {}, 0.006),
            ("file", {"peer": "classic"}, 0.009),
            ("stream", {"threads": 2}, 0.004),
        )
    ]
    assert [chart.title for chart in of_family("preprocess", given)] == [
        "transform-rgb does 4× the images/s of transform-rgb-classic",
        "file-rgb does 1.5× the images/s of file-rgb-classic",
        "stream-rgb-threads2 does 1.25× the images/s of decode-rgb",
    ]


def test_a_chart_has_the_digits_of_the_table() -> None:
    seconds = tuple(0.001 * (1 + 0.4 * (index % 5)) for index in range(20))
    rows_ = [regime("a", 0.005), named("preprocess", {"regime": "b"}, MEASURED, samples=seconds)]
    chart = only("preprocess", rows_)
    assert chart.series[1].points[0].margin == stats.margin(seconds)
    assert chart.figures[0].rows[1][1] == "560"


def test_pieces_are_alike_in_length() -> None:
    assert list(map(len, chunks(range(18), 16))) == [9, 9]
    assert list(map(len, chunks(range(16), 16))) == [16]
    assert [each for piece in chunks(range(50), 16) for each in piece] == list(range(50))
    assert chunks([], 16) == []


def test_one_regime_is_no_chart() -> None:
    assert of_family("preprocess", [regime("decode", 0.005)]) == []


# All of them.


@pytest.mark.parametrize("family", ["generate", "preprocess", "forward", "end_to_end", "other"])
def test_rows_without_a_number_or_a_time_are_not_drawn(family: str) -> None:
    nothing = [replace(row, samples=(0.0,) * 6) for row in rows() if row.status == MEASURED]
    absent = [row for row in rows() if row.status != MEASURED]
    assert of_family(family, [*nothing, *absent]) == []


def test_a_description_says_the_ends_of_each_series() -> None:
    assert only("forward", both()).description == (
        "Images a second by batch, medians with 95 % intervals, in images/s. "
        "flux cpu: 500 at batch 1, 320 at batch 32; "
        "compiled cpu: 2 700 at batch 1, 533 at batch 32."
    )


def test_however_many_cells_the_charts_are_few() -> None:
    given = [
        generate(f"model{model}", "cpu", "64x64", count, MEASURED, samples=flat(0.01 * count))
        for model in range(50)
        for count in range(1, 200)
    ]
    found = of_family("generate", given)
    assert len(found) == family_charts.MOST_CHARTS
    points = [each.points for chart in found for each in chart.series]
    assert {len(each) for each in points} == {29}  # of 199 every seventh
    assert {(each[0].at, each[-1].at) for each in points} == {(3, 199)}
