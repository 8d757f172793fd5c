"""The tables as people read them; `python tests/bench/reporting/test_tables.py` writes the golden files anew."""

import json
import re
from dataclasses import replace
from math import floor, log10
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.reporting.tables import render
from bench.reporting.texts import percent, with_margin
from bench.results import record
from bench.results.cell import FAILED, MEASURED, UNAVAILABLE, Row
from bench.statistics import stats
from support.results import MACHINE, document, drifting, generate, named, rows, samples

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
WIDTHS = (80, 120)


def golden(width: int) -> Path:
    return GOLDEN / f"run-{width}.txt"


def table_of(*given: Row, width: int = 120) -> list[str]:
    """The lines of the first table, from its heading on, without the rule."""
    lines = render(given, MACHINE, width).split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith("cell "))
    return [lines[start], *lines[start + 2 : lines.index("", start)]]


def fields(line: str) -> list[str]:
    return re.split(r" {2,}", line)


def measured(*seconds: float, **known: Any) -> Row:
    return replace(
        generate("tiny", "cpu", "64x64", 4, MEASURED, samples=seconds),
        **{"first_call": 0.02, "limited_by": "precision", **known},
    )


# The whole.


@pytest.mark.parametrize("width", WIDTHS)
def test_a_run_reads_as_in_the_golden_file(width: int) -> None:
    assert render(rows(), MACHINE, width) + "\n" == golden(width).read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [*range(40, 130, 3), 200])
def test_no_line_is_longer_than_the_width(width: int) -> None:
    assert max(map(len, render(rows(), MACHINE, width).split("\n"))) <= width


def test_below_40_columns_the_tables_stay_as_at_40() -> None:
    assert render(rows(), MACHINE, 10) == render(rows(), MACHINE, 40)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_file_shows_what_the_run_showed(width: int, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    record.write(path, document(rows()))
    run = record.load(path)
    assert [row.name for row in run.rows] != [row.name for row in rows()]
    assert render(run.rows, run.machine, width) == render(rows(), MACHINE, width)


def test_families_come_in_the_order_of_the_pipeline_and_rows_in_that_of_the_run() -> None:
    text = render(rows()[::-1], MACHINE, 120)
    places = [
        text.index(title) for title in ("generate ·", "preprocess ·", "forward ·", "end to end ·")
    ]
    assert places == sorted(places)
    assert text.index("64x64-8steps") < text.index("64x64-2steps")


def test_a_family_without_a_layout_is_shown_too() -> None:
    row = named("compile", {"mode": "graph"}, MEASURED, samples=(1.5,) * 6)
    assert fields(table_of(row)[1])[:4] == ["graph", "1.500", "<0.01 %", "6"]


def test_colours_are_only_added() -> None:
    plain, coloured = (render(rows(), MACHINE, 80, color) for color in (False, True))
    assert "\x1b[" in coloured
    assert "\x1b" not in plain
    stripped = re.sub(r"\x1b\[[\d;]*m", "", coloured)
    assert [line.rstrip() for line in stripped.split("\n")] == plain.split("\n")


def test_a_run_without_any_row_is_its_machine() -> None:
    assert render([], MACHINE, 80) == (
        "NVIDIA H100 80GB HBM3 · 16 cores AMD EPYC 9354 · driver 580 · torch 2.15.0"
    )


# Columns.


def test_a_row_has_median_interval_rounds_p95_rate_first_call_and_limit() -> None:
    # 20.0 to 22.0 ms; the interval goes from the 6th to the 16th: 20.5 to 21.5
    row = measured(*(0.02 + 0.0001 * number for number in range(21)), first_call=0.0386)
    assert [fields(line) for line in table_of(row)] == [
        ["cell", "ms/image", "± 95 %", "rounds", "p95", "it/s", "first call", "limited by"],
        [
            "tiny-cpu-float32-64x64-4steps¹",
            "21.00",
            "2.4 %",
            "21",
            "21.90",
            "190.5",
            "38.6 ms",
            "precision",
        ],
    ]


@pytest.mark.parametrize(("count", "shown"), [(19, "–"), (20, "10.00"), (21, "10.00")])
def test_p95_is_given_from_20_rounds_on(count: int, shown: str) -> None:
    assert fields(table_of(measured(*[0.01] * count))[1])[4] == shown


@pytest.mark.parametrize(
    ("known", "row", "expected"),
    [
        ("generate", {"steps": 10}, ["s/image", "it/s", "2.00", "5.00"]),
        ("preprocess", {}, ["s/image", "images/s", "2.00", "0.500"]),
        ("forward", {"images": 8}, ["s/call", "images/s", "2.00", "4.00"]),
        ("end_to_end", {"images": 4}, ["ms/image", "images/s", "500", "2.00"]),
        ("other", {"images": 4}, ["s/call", "first call", "2.00", "–"]),
    ],
)
def test_each_family_has_its_time_and_its_rate(
    known: str, row: dict[str, int], expected: list[str]
) -> None:
    heading, line = table_of(named(known, {"x": "y"}, MEASURED, samples=(2.0,), **row))
    assert [fields(heading)[index] for index in (1, 5)] == expected[:2]
    assert [fields(line)[index] for index in (1, 5)] == expected[2:]


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
    slow, fast = measured(213.4), measured(*[0.01708] * 50)
    _, first, second = table_of(slow, fast)
    assert fields(first)[1] == "213"
    assert fields(second)[1] == "0.01708"
    assert first.index("213") + 3 == second.index("0.01708") + 1


def test_a_time_of_zero_has_no_rate() -> None:
    assert fields(table_of(measured(0.0))[1])[5] == "–"


@pytest.mark.parametrize(
    ("margin", "shown"),
    [
        (None, "–"),
        (0.0, "<0.01 %"),
        (0.0000999, "<0.01 %"),
        (0.0001, "0.01 %"),
        (0.00063, "0.063 %"),
        (0.019, "1.9 %"),
        (0.04, "4 %"),
        (0.123, "12 %"),
        (1.234, "123 %"),
    ],
)
def test_the_interval_is_two_digits_of_a_percentage(margin: float | None, shown: str) -> None:
    assert percent(margin) == shown


def test_an_id_of_full_size_stable_diffusion_is_whole_at_80_columns() -> None:
    row = generate("sd15", "cuda", "512x512", 30, MEASURED, samples=samples(300, 0.672, 0.004))
    heading, line = table_of(row, width=80)
    assert fields(heading) == ["cell", "ms/image", "± 95 %", "rounds", "p95", "it/s"]
    assert fields(line)[0] == "sd15-cuda-float16-512x512-30steps"


def test_a_longer_id_is_folded_after_a_hyphen_and_no_number_is_cut() -> None:
    hub = "stabilityai/stable-diffusion-xl-base-1.0"
    row = generate(hub, "cuda", "1024x1024", 50, MEASURED, samples=samples(42, 5.41, 0.001))
    heading, first, second = table_of(row, width=80)
    assert fields(heading) == ["cell", "s/image", "± 95 %", "rounds", "p95", "it/s"]
    assert len(fields(first)) == 6
    assert fields(first)[0] + second == row.cell.id
    assert fields(first)[0].endswith("-")


@pytest.mark.parametrize("width", [40, 60, 80])
def test_an_id_without_hyphens_is_folded_anywhere(width: int) -> None:
    row = named("forward", {"x": "a" * 300}, MEASURED, samples=(1.0,) * 6)
    lines = table_of(row, width=width)
    assert "…" not in "".join(lines)
    assert sum(line.count("a") for line in lines[1:]) == 300
    assert max(map(len, lines)) <= width


def test_columns_are_left_out_from_the_right_where_they_do_not_fit() -> None:
    headings = [fields(table_of(rows()[0], width=width)[0]) for width in range(40, 121)]
    full = ["cell", "ms/image", "± 95 %", "rounds", "p95", "it/s", "first call", "limited by"]
    assert all(each == full[: len(each)] for each in headings)
    counts = [len(each) for each in headings]
    assert counts == sorted(counts)
    assert (counts[0], counts[40], counts[-1]) == (4, 6, 8)


def test_signs_that_mean_something_to_a_terminal_are_shown_or_replaced() -> None:
    row = named("forward", {"x": "[red]a[/red]:smile:\x1b[2J\ud800"}, MEASURED, samples=(1.0,) * 6)
    text = render([row, replace(row, status=FAILED, reason="\x1b[1m[b]no[/b]\n\tx")], MACHINE, 80)
    assert "[red]a[/red]:smile:�[2J�" in text
    assert "  �[1m[b]no[/b] x" in text
    text.encode()


# What explains a time of Stable Diffusion.


def in_mode(mode: str, seconds: float, **known: Any) -> Row:
    row = measured(*[seconds] * 7, **known)
    axes = dict(row.cell.axes)
    steps = axes.pop("steps")
    return replace(row, cell=replace(row.cell, axes={**axes, "mode": mode, "steps": steps}))


def column(lines: list[str], heading: str) -> list[str]:
    index = fields(lines[0]).index(heading)
    return [fields(line)[index] for line in lines[1:]]


def test_a_mode_stands_against_eager_where_both_were_measured() -> None:
    lines = table_of(measured(*[0.9] * 7), in_mode("compile", 0.6), in_mode("graph", 0.45))
    assert fields(lines[0])[:6] == ["cell", "ms/image", "± 95 %", "rounds", "it/s", "× eager"]
    assert column(lines, "× eager") == ["–", "1.50", "2.00"]
    assert "× eager" not in table_of(in_mode("graph", 0.45))[0]


def test_how_far_the_modes_pictures_lie_from_eagers_is_said_once() -> None:
    rows = [in_mode("compile", 0.6, extra={"levels_off_eager": n}) for n in (1.0, 3.0, 0.0)]
    text = render(rows, MACHINE, 500)
    assert text.count("other modes drew what eager draws, within 3 of 255 levels") == 1
    assert "drew" not in render([measured(0.6)], MACHINE, 300)


def test_operations_are_given_a_second_and_over_the_matrix_product() -> None:
    row = measured(*[0.5] * 7, extra={"call_flop": 2e10})
    assert column(table_of(row), "GFLOP/s") == ["40.0"]
    fast = measured(*[0.5] * 7, extra={"call_flop": 5e13})
    assert column(table_of(fast, row, width=200), "TFLOP/s") == ["100", "0.0400"]
    rates = {"matrix_cpu_float32_flop_per_s": 1.6e11}
    text = render([row], {**MACHINE, "workload": {"start": rates}}, 200)
    heading, line = (each for each in text.split("\n") if each.startswith(("cell ", "tiny-")))
    assert column([heading, line], "of matrix") == ["25 %"]


def test_images_a_second_are_given_where_a_call_makes_several() -> None:
    row = measured(*[0.5] * 7)
    batch = replace(row, cell=replace(row.cell, images=4))
    assert column(table_of(batch), "images/s") == ["8.00"]
    assert "images/s" not in table_of(row)[0]


def test_busy_time_and_host_gap_are_columns_where_a_device_was_watched() -> None:
    row = measured(*[0.5] * 7, busy=0.375, profiled=0.6)
    lines = table_of(row, width=200)
    assert column(lines, "busy") + column(lines, "host gap") == ["375.0", "125.0"]
    text = render([row], MACHINE, 300)
    assert "busy: how long the GPU worked in one watched call; host gap: the rest" in text
    assert "busy" not in render([measured(*[0.5] * 7)], MACHINE, 300)


STAGES = {"text encoder": 0.002, "UNet": 0.04, "scheduler": 0.001, "VAE decode": 0.005}
CALLS = {"text encoder": 2, "UNet": 5, "scheduler": 9, "VAE decode": 1}


def stages_of(*given: Row, width: int = 120) -> list[str]:
    """The lines of the table of stages, and before it what is said of them."""
    lines = render(given, MACHINE, width).split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith("stages of"))
    return [line for line in lines[start : lines.index("", start)] if not line.startswith("──")]


def test_the_stages_of_a_watched_call_on_the_cpu_are_a_table_of_their_own() -> None:
    row = measured(*[0.05] * 7, profiled=0.06, stages=STAGES, calls=CALLS)
    said, heading, line = stages_of(row, width=200)
    assert said == (
        "stages of one more call, in ms; "
        "on the CPU, time inside each: there is no busy time and no host gap"
    )
    assert fields(heading) == [
        *("cell", "text", "UNet", "scheduler", "VAE", "unattributed", "ms/call")
    ]
    assert fields(line)[1:] == ["2.00", "5 × 8.00", "1.00", "5.00", "12.0", "60.0"]


def test_on_cuda_stages_and_the_host_gap_make_up_the_watched_call() -> None:
    row = measured(*[0.05] * 7, profiled=0.06, busy=0.048, stages=STAGES, calls=CALLS)
    said, heading, line = stages_of(row, width=200)
    assert said.endswith(
        "on CUDA, which the profiler slows, kernels and copies by the stage that launched them"
    )
    assert fields(heading)[-2:] == ["host gap", "ms/call"]
    assert fields(line)[1:] == ["2.00", "5 × 8.00", "1.00", "5.00", "12.0", "60.0"]
    busier = replace(row, busy=0.055)
    assert "unattributed" in stages_of(busier, width=200)[1]


@pytest.mark.parametrize("width", [80, 100, 120])
def test_what_no_stage_explains_is_never_left_out(width: int) -> None:
    row = measured(*[0.05] * 7, profiled=0.09, busy=0.06, stages=STAGES, calls=CALLS)
    lines = stages_of(row, width=width)
    assert any("unattributed" in line and "host gap" in line for line in lines)
    assert max(map(len, lines)) <= width


def test_no_stages_no_table() -> None:
    assert "stages of" not in render([measured(*[0.05] * 7)], MACHINE, 80)


def steps_fit(*seconds: float, width: int = 200) -> list[str]:
    """What is said of rows of 2, 4, 8, … steps that took so long."""
    rows = [
        generate("tiny", "cpu", "64x64", 2**number, MEASURED, samples=(each,) * 7)
        for number, each in enumerate(seconds, 1)
    ]
    lines = render(rows, MACHINE, width).split("\n")
    start = next((at for at, line in enumerate(lines) if line.startswith("steps fit")), None)
    return [] if start is None else lines[start : lines.index("", start)]


def test_the_steps_fit_is_said_in_words() -> None:
    assert steps_fit(0.0201, 0.0299, 0.0501) == [
        "steps fit: a call = fixed + per step × steps (± 95 %)",
        "tiny-cpu-float32-64x64: fixed 10.0 ± 2.5 ms, 5.01 ± 0.47 ms a step; "
        "at most 0.43 % off the line",
    ]
    assert steps_fit(0.0201, 0.0299) == []


def test_a_fit_from_fewer_steps_is_set_against_what_was_measured() -> None:
    assert steps_fit(0.0201, 0.0299, 0.0501, 0.0898)[2] == (
        "  from fewer, 16 steps predicted 90.1 ± 5.8 ms, measured 89.8 ms"
    )


def test_a_distance_that_the_medians_noise_explains_is_said_to_be_noise() -> None:
    unsure = generate(
        *("tiny", "cpu", "64x64", 4, MEASURED),
        samples=(0.02, 0.025, 0.03, 0.034, 0.038, 0.04, 0.05),
    )
    rows = [
        generate("tiny", "cpu", "64x64", count, MEASURED, samples=(0.01 + 0.005 * count,) * 7)
        for count in (2, 8, 16, 32)
    ]
    text = render([*rows, unsure], MACHINE, 200)
    assert " off the line, as unsure as the medians are\n" in text


def test_what_is_no_line_is_said_to_be_none() -> None:
    assert steps_fit(0.02, 0.06, 0.05)[1].endswith("; not a line: 64 % off it at 2 steps")


# What is said under the tables.


def under(*given: Row, width: int = 300) -> list[str]:
    lines = render(given, MACHINE, width).split("\n")
    return lines[len(lines) - lines[::-1].index("") :]


def test_headings_are_explained_once() -> None:
    everything = [row for row in rows() if row.status == MEASURED]
    text = render(everything, MACHINE, 200)
    assert text.count("times: medians of the wall clock, the device synchronised") == 1
    assert under(measured(*[1.0] * 7)) == [
        "times: medians of the wall clock, the device synchronised, after warm-up; "
        "±\u00a095\u00a0%: half the median's 95\u00a0% interval, relative to the median; "
        "p95: from 20\u00a0rounds\u00a0on; "
        "it/s: denoising steps a second of the whole call"
    ]
    forward = named("forward", {"x": "y"}, MEASURED, samples=(1.0,) * 7)
    assert "it/s" not in render([forward], MACHINE, 80)


@pytest.mark.parametrize(
    ("row", "notes"),
    [
        (measured(*[1.0] * 7), []),
        (measured(*[1.0] * 7, limited_by="budget"), []),
        (
            measured(9.0, limited_by="first call"),
            [
                "one sample, its first call, which alone outlasted the budget: "
                "a longer --benchmark-max-time gives rounds"
            ],
        ),
        (
            measured(*[1.0] * 6, limited_by="budget"),
            ["six rounds, the fewest with an interval: a longer --benchmark-max-time gives more"],
        ),
        (
            measured(*[1.0] * 5),
            ["fewer than six rounds, so without an interval: measure it again"],
        ),
        (
            measured(*drifting(20, 1.0, 0.1)),
            [
                "neighbouring samples are alike, so the interval is too narrow: "
                "trust the spread of several runs instead"
            ],
        ),
        (measured(*drifting(19, 1.0, 0.1)), []),
    ],
)
def test_each_caveat_is_a_footnote_with_its_remedy(row: Row, notes: list[str]) -> None:
    _, *found = under(row)
    assert found == [f"¹ {note}" for note in notes]
    assert fields(table_of(row)[1])[0] == row.cell.id + "¹" * len(notes)


def test_a_caveat_of_many_rows_is_printed_once_and_numbered_as_it_first_appears() -> None:
    slow = measured(9.0, limited_by="first call")
    few = measured(*[1.0] * 5)
    _, *lines = table_of(few, slow, few, slow)
    assert [fields(line)[0][-1] for line in lines] == list("¹²¹²")
    assert [line[:2] for line in under(few, slow, few, slow)[1:]] == ["¹ ", "² "]


def test_cells_that_share_a_reason_share_a_paragraph() -> None:
    known = {"reason": "no Julia", "remedy": "install it"}
    flux = [named("forward", {"batch": n}, UNAVAILABLE, **known) for n in (1, 8)]
    chain = named("end_to_end", {"engine": "flux"}, UNAVAILABLE, **known)
    broken = named("preprocess", {"color": "rgb"}, FAILED, reason="1.01", remedy="divide")
    bare = named("preprocess", {"color": "gray"}, FAILED)
    assert render([flux[0], broken, chain, bare, flux[1]], MACHINE, 80).split("\n")[1:] == [
        "",
        "unavailable: 3 cells of forward, end_to_end",
        "  no Julia",
        "  → install it",
        "",
        "failed: bench/test_preprocess.py::test_preprocess[rgb]",
        "  1.01",
        "  → divide",
        "",
        "failed: bench/test_preprocess.py::test_preprocess[gray]",
    ]


def test_checked_cells_are_counted() -> None:
    checked = [row for row in rows() if row.status == "checked"]
    assert render(checked, MACHINE, 80).split("\n")[1:] == [
        "",
        "2 cells held the contract; nothing was timed",
    ]
    assert render(checked[:1], MACHINE, 80).split("\n")[2] == (
        "1 cell held the contract; nothing was timed"
    )


def test_a_failed_cell_has_no_number_even_if_its_row_has() -> None:
    row = measured(*[0.017] * 30, status=FAILED, reason="NaN in the image", remedy="seed it")
    text = render([row], MACHINE, 80)
    assert "17" not in text
    assert "ms" not in text


# Digits.


@pytest.mark.parametrize(
    ("value", "margin", "shown"),
    [
        (0.0, 0.01, "0"),
        (1e-12, None, "0"),
        (213.4, None, "213"),
        (1.0, None, "1.00"),
        (0.04567, None, "0.0457"),
        (123456.0, None, "123 000"),
        (1234567.0, 0.01, "1 235 000"),
        (17.0765, 1.0, "17"),
        (17.0765, 0.1, "17.1"),
        (17.0765, 0.05, "17.08"),
        (17.0765, 0.005, "17.08"),
        (17.0765, 1e-9, "17.08"),
        (17.0765, 0.0, "17.08"),
        (17.0765, 100.0, "20"),
        (50.31, 0.034, "50.3"),
        (999.96, 0.001, "1 000.0"),
        (9.9996, None, "10.00"),
        (-17.0765, 0.005, "-17.08"),
    ],
)
def test_digits_end_one_beyond_the_first_unsure_one(
    value: float, margin: float | None, shown: str
) -> None:
    assert with_margin(value, margin) == shown


@given(st.floats(1e-6, 1e9), st.floats(1e-6, 10.0))
def test_what_is_shown_lies_within_the_margin_or_half_of_the_fourth_digit(
    value: float, margin: float
) -> None:
    shown = float(with_margin(value, margin).replace(" ", ""))
    fourth = 10.0 ** (floor(log10(value)) - 3)
    assert abs(shown - value) <= max(0.0501 * margin * value, 0.501 * fourth)


@given(st.floats(1e-6, 1e9), st.none() | st.floats(1e-6, 10.0))
def test_what_is_shown_has_at_most_four_digits_that_say_something(
    value: float, margin: float | None
) -> None:
    text = with_margin(value, margin)
    assert re.fullmatch(r"\d{1,3}( \d{3})*(\.\d+)?", text)
    digits = text.replace(" ", "").replace(".", "").lstrip("0")
    whole = len(text.replace(" ", "").partition(".")[0].lstrip("0"))
    # 9.9996 rounds up to 10.00: one more
    assert len(digits) <= max(5, whole)


@given(st.lists(st.floats(1e-6, 1e3), min_size=6, max_size=40))
def test_the_median_that_is_shown_lies_within_its_interval(values: list[float]) -> None:
    row = measured(*values)
    heading, line = table_of(row)
    scale = {"s": 1.0, "ms": 1e3, "µs": 1e6}[fields(heading)[1].partition("/")[0]]
    shown = float(fields(line)[1].replace(" ", "")) / scale
    low, high = stats.median_interval(values) or (0.0, 0.0)
    middle = sorted(values)[len(values) // 2]
    slack = max((high - low) / 10, 1e-3 * middle)
    assert low - slack <= shown <= high + slack


def test_the_golden_rows_have_every_status_and_every_footnote() -> None:
    text = json.dumps([row.as_dict() for row in rows()])
    for status in ("measured", "unavailable", "out of memory", "failed", "checked"):
        assert f'"status": "{status}"' in text
    lines = golden(120).read_text(encoding="utf-8").split("\n")
    assert [line[0] for line in lines if line[:1] in tuple("¹²³⁴⁵")] == list("¹²³⁴")


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for columns in WIDTHS:
        golden(columns).write_text(render(rows(), MACHINE, columns) + "\n", encoding="utf-8")


def test_a_row_is_compared_with_its_peers_under_the_table() -> None:
    axes = {"regime": "transform", "color": "rgb"}
    noisy = tuple(each / 1000 for each in (6, 7, 8, 9, 9, 10, 11, 12))
    rows = [
        named("preprocess", axes, MEASURED, samples=(0.002,) * 8),
        named("preprocess", {**axes, "peer": "classic"}, MEASURED, samples=noisy),
        named("preprocess", {**axes, "peer": "v2"}, MEASURED, samples=(0.001,) * 2),
    ]
    margin = stats.margin(noisy)
    assert margin is not None
    line = f"speed of transform-rgb: 4.5 × classic (± {margin:.0%}), 0.500 × v2".replace("%", " %")
    assert line in render(rows, MACHINE, 100).replace("\u00a0", " ").splitlines()
