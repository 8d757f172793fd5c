"""Cells whose ids differ in some axes are matched by the others."""

from dataclasses import replace
from typing import Any

import pytest

from bench.comparing.across import matched, matched_axes, of_one_file, rematched, without
from bench.comparing.comparison import compare
from bench.comparing.sides import Side, differences
from bench.results.cell import MEASURED, Row
from pipeline.errors import PipelineError
from support.comparisons import LAPTOP, around, run, side
from support.results import MACHINE, generate, named


def forward(engine: str, batch: int, seconds: float, seed: int = 1) -> Row:
    axes = {"engine": engine, "device": "cpu", "batch": batch}
    return named("forward", axes, MEASURED, images=batch, samples=around(seconds, seed))


def laptop() -> Side:
    rows = [
        generate("sd15", "cpu", "512x512", steps, MEASURED, samples=around(10.0 * steps, steps))
        for steps in (10, 20)
    ]
    return side("A", run(rows, LAPTOP))


def gpu(*devices: str) -> Side:
    """The same in 16 bits, 500 times as fast."""
    rows = [
        generate(
            "sd15", device, "512x512", steps, MEASURED, samples=around(0.02 * steps, steps + 1)
        )
        for steps in (10, 20)
        for device in devices or ("cuda",)
    ]
    return side("B", run(rows, MACHINE))


# The smallest set of axes.


def axes(**known: Any) -> dict[str, Any]:
    return known


def test_cells_of_one_id_belong_together() -> None:
    first = {"f::t[a]": axes(engine="a"), "f::t[b]": axes(engine="b")}
    second = {"f::t[b]": axes(engine="b"), "f::t[c]": axes(engine="c")}
    assert matched(first, second) == {"f::t[b]": "f::t[b]"}


def test_two_settings_of_an_axis_belong_together() -> None:
    first = {f"f::t[x-{n}]": axes(dtype="float32", steps=n) for n in (2, 4)}
    second = {f"f::t[y-{n}]": axes(dtype="bfloat16", steps=n) for n in (4, 2)}
    assert matched(first, second) == {"f::t[x-2]": "f::t[y-2]", "f::t[x-4]": "f::t[y-4]"}
    assert matched_axes(first, second) == ("dtype",)


def test_settings_that_are_not_one_to_one_do_not() -> None:
    first = {"f::t[2]": axes(steps=2), "f::t[4]": axes(steps=4)}
    assert matched(first, {"f::t[8]": axes(steps=8)}) == {}


def test_cells_of_two_tests_do_not() -> None:
    assert matched({"f::t[x]": axes(dtype="a")}, {"f::u[y]": axes(dtype="b")}) == {}


# Files of two machines.


def test_files_that_share_no_id_are_matched_by_the_fewest_axes_and_say_so() -> None:
    comparison = compare(rematched([laptop(), gpu()]))
    assert [line.cell.id for line in comparison.lines] == [
        "sd15-512x512-10steps",
        "sd15-512x512-20steps",
    ]
    assert [line.verdicts[0].word for line in comparison.lines] == ["faster", "faster"]
    assert comparison.lines[0].verdicts[0].ratio.value == pytest.approx(0.002, rel=0.01)
    base, new = differences(comparison.sides)
    assert base.startswith("A (baseline): a0.json · device cpu · dtype float32 · ")
    assert new.startswith(
        "B: b0.json · device cuda · dtype float16 (matched across device, dtype) · "
    )


def test_files_that_share_an_id_are_matched_by_it() -> None:
    sides = [laptop(), replace(laptop(), label="B")]
    assert rematched(sides) == sides


def test_axes_can_be_named() -> None:
    named_axes = rematched([laptop(), gpu()], ["device", "dtype"])
    assert named_axes == rematched([laptop(), gpu()])
    with pytest.raises(PipelineError) as error:
        compare(rematched([laptop(), gpu()], ["device"]))
    assert "expected a cell that two of them measured" in str(error.value)


def test_two_cells_of_a_side_that_differ_in_nothing_else_are_refused() -> None:
    with pytest.raises(PipelineError) as error:
        rematched([laptop(), gpu("cpu", "cuda")], ["device", "dtype"])
    assert str(error.value) == (
        "--across device,dtype: expected one cell a side, but B has "
        "sd15-cpu-float32-512x512-10steps and sd15-cuda-float16-512x512-10steps; "
        "name fewer axes, or select fewer cells (-k) when measuring"
    )


def test_an_axis_that_no_cell_has_is_refused() -> None:
    with pytest.raises(PipelineError) as error:
        rematched([laptop(), gpu()], ["colour"])
    assert str(error.value) == (
        "--across colour: expected axes of these cells: device, dtype, model, size, steps; "
        "change --across"
    )


# One file.


def test_the_settings_of_one_file_are_its_sides() -> None:
    rows = [forward("flux", batch, 0.002 * batch) for batch in (1, 8)]
    rows += [forward("reference", batch, 0.001 * batch, 2) for batch in (1, 8)]
    one = Side("A", ("out.json",), (run([*rows, forward("compiled", 1, 0.0005, 3)]),))
    comparison = compare(of_one_file(one, ["engine"]))
    assert [side.label for side in comparison.sides] == ["A", "B", "C"]
    assert [line.cell.id for line in comparison.lines] == ["cpu-batch1", "cpu-batch8"]
    words = [[verdict.word for verdict in line.verdicts] for line in comparison.lines]
    assert words == [["faster", "faster"], ["faster", "absent"]]
    assert differences(comparison.sides)[0] == "A (baseline): out.json · engine flux"
    assert differences(comparison.sides)[2] == (
        "C: out.json · engine compiled (matched across engine)"
    )


def test_one_setting_is_nothing_to_compare() -> None:
    one = Side("A", ("out.json",), (run([forward("flux", 1, 0.002)]),))
    with pytest.raises(PipelineError) as error:
        of_one_file(one, ["engine"])
    assert str(error.value) == (
        "--across engine: expected 2 to 26 settings in out.json, not 1; "
        "measure several, or name another axis"
    )


def test_a_cell_keeps_its_id_where_nothing_else_is_left_of_it() -> None:
    cell = forward("flux", 1, 0.002).cell
    assert without(cell, ["engine"]).id == "cpu-batch1"
    assert without(cell, ["engine", "device", "batch"]).id == cell.id
