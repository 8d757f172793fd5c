"""The columns of a family's table: known answers, and a dash where something is missing."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.reporting import columns
from bench.reporting.tables import render
from bench.results.cell import MEASURED, Row
from bench.statistics import stats
from support.results import MACHINE, named
from support.tables import fields, measured, table_of


def column(lines: list[str], heading: str) -> list[str]:
    index = fields(lines[0]).index(heading)
    return [fields(line)[index] for line in lines[1:]]


def with_axes(row: Row, **axes: str) -> Row:
    steps = {"steps": row.cell.axes["steps"]}
    others = {name: value for name, value in row.cell.axes.items() if name != "steps"}
    return replace(row, cell=replace(row.cell, axes={**others, **axes, **steps}))


def test_a_row_has_median_interval_rounds_p95_rate_first_call_and_limit() -> None:
    # 20.0 to 22.0 ms; the interval goes from the 6th to the 16th: 20.5 to 21.5
    numbers = [20 - number // 2 if number % 2 else number // 2 for number in range(21)]
    row = measured(*(0.02 + 0.0001 * number for number in numbers), first_call=0.0386)
    heading, line = map(fields, table_of(row))
    assert heading == [
        *("cell", "ms/image", "± 95 %", "rounds", "it/s", "slowest", "first call", "stopped at")
    ]
    assert line == [
        *("tiny-cpu-float32-64x64-4steps", "21.00", "2.4 %", "21"),
        *("190.5", "22.00", "38.6 ms", "precision"),
    ]


@pytest.mark.parametrize(
    ("limit", "shown"),
    [
        ("precision", "precision"),
        ("budget", "time budget"),
        ("cap", "12 rounds"),
        ("first call", "first call"),
        ("fresh process", "one process"),
        ("\x1b[2J", "�[2J"),
    ],
)
def test_what_ended_the_rounds_is_said_in_words(limit: str, shown: str) -> None:
    row = measured(*[0.01] * 9, limited_by=limit, spoiled={"other processes": 3})
    assert column(table_of(row), "stopped at") == [shown]


def test_p95_is_given_from_200_rounds_on() -> None:
    few, enough = (measured(*[0.01] * count) for count in (199, 200))
    assert column(table_of(few, enough), "p95") == ["–", "10.00"]
    assert "p95" not in table_of(few)[0]


def test_p95_needs_rounds_that_are_worth_enough() -> None:
    drifting = measured(*[0.01 + number / 1e6 for number in range(300)])
    assert column(table_of(drifting, measured(*[0.01] * 200)), "p95") == ["–", "10.00"]


def test_a_round_that_was_stopped_is_seen() -> None:
    stopped = measured(*[0.01] * 999, 3.0)
    assert column(table_of(stopped), "slowest") == ["3 000"]
    assert "¹ the slowest round took more than ten times the median" in render(
        [stopped], MACHINE, 200
    )


@pytest.mark.parametrize(
    ("known", "row", "expected"),
    [
        ("generate", {"steps": 10}, ["s/image", "it/s", "2.00", "5.00"]),
        ("preprocess", {}, ["s/image", "images/s", "2.00", "0.500"]),
        ("forward", {"images": 8}, ["s/call", "images/s", "2.00", "4.00"]),
        ("end_to_end", {"images": 4}, ["ms/image", "images/s", "500", "2.00"]),
        ("other", {"images": 4}, ["s/call", "slowest", "2.00", "2.00"]),
    ],
)
def test_each_family_has_its_time_and_its_rate(
    known: str, row: dict[str, int], expected: list[str]
) -> None:
    heading, line = table_of(
        named(known, {"x": "y"}, MEASURED, samples=(2.0,), first_call=2.0, **row)
    )
    assert [fields(heading)[index] for index in (1, 4)] == expected[:2]
    assert [fields(line)[index] for index in (1, 4)] == expected[2:]


@pytest.mark.parametrize(
    ("seconds", "unit", "shown"),
    [
        (0.0000412, "µs", "41.2"),
        (0.000999, "µs", "999"),
        (0.001, "ms", "1.00"),
        (0.9994, "ms", "999"),
        (1.0, "s", "1.00"),
        (12345.0, "s", "12 300"),
        (0.0, "µs", "0"),
    ],
)
def test_the_unit_is_that_of_the_slowest_row(seconds: float, unit: str, shown: str) -> None:
    heading, line = table_of(measured(seconds))
    assert fields(heading)[1] == f"{unit}/image"
    assert fields(line)[1] == shown


def test_a_table_has_one_unit_and_its_points_stand_under_each_other() -> None:
    _, first, second = table_of(measured(213.4), measured(*[0.01708] * 50))
    assert fields(first)[1] == "213"
    assert fields(second)[1] == "0.01708"
    assert first.index("213") + 3 == second.index("0.01708") + 1


def test_a_time_of_zero_has_no_rate() -> None:
    assert fields(table_of(measured(0.0))[1])[4] == "–"


@given(st.lists(st.floats(1e-6, 1e3), min_size=6, max_size=40))
def test_the_median_that_is_shown_lies_within_its_interval(values: list[float]) -> None:
    heading, line = table_of(measured(*values))
    scale = {"s": 1.0, "ms": 1e3, "µs": 1e6}[fields(heading)[1].partition("/")[0]]
    shown = float(fields(line)[1].replace(" ", "")) / scale
    low, high = stats.median_interval(values) or (min(values), max(values))
    slack = max((high - low) / 10, 1e-3 * sorted(values)[len(values) // 2])
    assert low - slack <= shown <= high + slack


# What explains a time of Stable Diffusion.


def test_a_mode_stands_against_eager_in_the_same_cell() -> None:
    eager, graph = measured(*[0.9] * 7), with_axes(measured(*[0.45] * 7), mode="graph")
    compiled = with_axes(measured(0.6), mode="compile")
    lines = table_of(eager, compiled, graph)
    assert fields(lines[0])[:6] == ["cell", "ms/image", "± 95 %", "rounds", "it/s", "× eager"]
    assert column(lines, "× eager") == ["–", "1.50", "2.00"]
    for other in (with_axes(eager, size="768x768"), replace(eager, weights="others")):
        assert columns.times_eager([other, graph]) == [None, None]


def test_how_far_the_modes_pictures_lie_from_eagers_is_said_once() -> None:
    rows = [
        with_axes(measured(0.6, extra={"levels_off_eager": levels}), mode="compile")
        for levels in (1.0, 3.0, 0.0)
    ]
    text = render(rows, MACHINE, 500)
    assert text.count("images of other modes: at most 3 of 255 levels from eager's") == 1
    assert "of other modes" not in render([measured(0.6)], MACHINE, 300)


def test_operations_are_given_a_second_and_over_the_matrix_product() -> None:
    row = measured(*[0.5] * 7, extra={"call_flop": 2e10})
    assert column(table_of(row), "GFLOP/s") == ["40.0"]
    fast = measured(*[0.5] * 7, extra={"call_flop": 5e13})
    none = measured(0.0, extra={"call_flop": 5e13})
    assert column(table_of(fast, row, none, width=200), "TFLOP/s") == ["100", "0.0400", "–"]
    rates = {"matrix_cpu_float32_flop_per_s": 1.6e11, "matrix_cuda_float16_flop_per_s": 7e14}
    text = render([row], {**MACHINE, "workload": {"start": rates}}, 200)
    lines = [line for line in text.split("\n") if line.startswith(("cell ", "tiny-"))]
    assert column(lines, "of matrix") == ["25 %"]


def test_images_a_second_are_given_where_a_call_makes_several() -> None:
    row = measured(*[0.5] * 7)
    batch = replace(row, cell=replace(row.cell, images=4))
    assert column(table_of(batch), "images/s") == ["8.000"]
    assert "images/s" not in table_of(row)[0]


def test_busy_time_and_host_gap_are_columns_where_a_device_was_watched() -> None:
    row = measured(*[0.5] * 7, busy=0.375, profiled=0.6)
    lines = table_of(row, width=200)
    assert column(lines, "busy") + column(lines, "host gap") == ["375.0", "125.0"]
    assert "busy: time that the GPU worked" in render([row], MACHINE, 300)
    assert "busy" not in render([measured(*[0.5] * 7)], MACHINE, 300)
    assert columns.host_gap(replace(row, busy=0.51)) == 0.0


STAGES = {"text encoder": 0.002, "UNet": 0.04, "scheduler": 0.001, "VAE decode": 0.005}
CALLS = {"text encoder": 2, "UNet": 5, "scheduler": 9, "VAE decode": 1}
ON_CPU = measured(*[0.05] * 7, profiled=0.06, stages=STAGES, calls=CALLS)


def stages_of(*rows: Row, width: int = 200) -> list[str]:
    """The lines of the table of stages, and before it its caption."""
    lines = render(rows, MACHINE, width).split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith("stages of"))
    return [line for line in lines[start : lines.index("", start)] if not line.startswith("──")]


def test_the_stages_of_a_profiled_call_on_the_cpu_are_a_table_of_their_own() -> None:
    caption, heading, line = stages_of(ON_CPU)
    assert caption == (
        "stages of one profiled call, in ms; "
        "unattributed: between the stages, such as guidance and tokens; "
        "on the CPU: time inside each stage; no GPU, so no busy time and no host gap"
    )
    assert fields(heading) == [
        *("cell", "text", "UNet", "scheduler", "VAE", "unattributed", "ms/call")
    ]
    assert fields(line)[1:] == ["2.00", "5 × 8.00", "1.00", "5.00", "12.0", "60.0"]


def test_on_cuda_stages_and_the_host_gap_make_up_the_profiled_call() -> None:
    caption, heading, line = stages_of(replace(ON_CPU, busy=0.048))
    assert caption.endswith("on CUDA: GPU time of the kernels and copies that each stage launched "
                            "(profiling slows the call)")  # fmt: skip
    assert fields(heading)[-2:] == ["host gap", "ms/call"]
    assert fields(line)[1:] == ["2.00", "5 × 8.00", "1.00", "5.00", "12.0", "60.0"]
    assert "unattributed" in stages_of(replace(ON_CPU, busy=0.055))[1]


@pytest.mark.parametrize("width", [80, 100, 120])
def test_what_no_stage_explains_is_never_left_out(width: int) -> None:
    lines = stages_of(replace(ON_CPU, profiled=0.09, busy=0.06), width=width)
    assert any("unattributed" in line and "host gap" in line for line in lines)
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize(
    ("known", "rest"),
    [
        ({"profiled": 1.0, "stages": {"UNet": 0.7, "VAE": 0.2}}, pytest.approx(0.1)),
        ({"profiled": 1.0, "stages": {"UNet": 0.96}}, None),
        ({"profiled": 1.0, "busy": 0.7, "stages": {"UNet": 0.6}}, pytest.approx(0.1)),
        ({"profiled": 1.0, "busy": 0.7, "stages": {"UNet": 0.66}}, None),
        ({"profiled": 1.0, "busy": 0.7}, None),
        ({}, None),
    ],
)
def test_what_no_stage_and_no_gap_explains_is_said_from_a_twentieth_on(
    known: dict[str, Any], rest: Any
) -> None:
    assert columns.unattributed(measured(*[1.0] * 6, **known)) == rest
