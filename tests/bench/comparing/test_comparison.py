"""Rows are matched by cell, and refused where they are not the same work."""

from dataclasses import replace
from typing import Any

import pytest

from bench.comparing.comparison import ABSENT, REFUSED, Comparison, compare, geometric_mean
from bench.comparing.verdict import FASTER, SAME, SLOWER, UNDECIDED, Verdict
from bench.results.cell import Row
from pipeline.errors import PipelineError
from support.comparisons import LAPTOP, around, branch_rows, gpu_rows, main_rows, run, sampled, side
from support.results import MACHINE

BUSY = {**LAPTOP, "state": {"load_per_cpu": 1.4}}


def compared(base: list[Row], *others: list[Row]) -> Comparison:
    labels = "BCDE"
    return compare(
        [side("A", run(base)), *(side(labels[n], run(rows)) for n, rows in enumerate(others))]
    )


def changed(of_cell: dict[str, Any] | None = None, **known: Any) -> tuple[Row, Row]:
    """A row, and the same one after a change."""
    one = sampled("one", around(1.0, 1), images=1, regime={"includes": "decode"})
    return one, replace(one, cell=replace(one.cell, **(of_cell or {})), **known)


def verdict(one: Row, other: Row) -> Any:
    return compared([one, sampled("two", around(1.0, 2))], [other]).lines[0].verdicts[0]


def test_every_word_is_in_the_shared_example() -> None:
    result = compared(main_rows(), branch_rows())
    assert [(line.cell.id, line.verdicts[0].word) for line in result.lines] == [
        ("tiny-cpu-float32-64x64-2steps", SAME),
        ("tiny-cpu-float32-64x64-8steps", SLOWER),
        ("tiny-cpu-float32-128x128-2steps", REFUSED),
        ("decode-rgb", FASTER),
        ("transform-rgb", UNDECIDED),
        ("transform-gray", REFUSED),
        ("file-rgb", REFUSED),
        ("flux-cpu-batch1", ABSENT),
        ("flux-inside-cpu-batch1", REFUSED),
        ("reference-cpu-batch1", UNDECIDED),
        ("reference-cpu", UNDECIDED),
        ("compiled-cpu-batch1", ABSENT),
    ]


def test_every_side_is_compared_with_the_first() -> None:
    result = compared(main_rows(), main_rows(), gpu_rows())
    words = [verdict.word for verdict in result.lines[0].verdicts]
    assert words == [SAME, FASTER]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (changed({"workload": 2}), "not the same workload: A version 1, B version 2"),
        (changed({"images": 3}), "not the same workload: A images 1, B images 3"),
        (changed({"steps": 4}), "not the same workload: A steps 0, B steps 4"),
        (
            changed({"regime": {"includes": "decode, resize"}}),
            "not the same regime: A includes decode, B includes decode, resize",
        ),
        (
            changed({"regime": {"includes": "decode", "batch": 8}}),
            "not the same regime: A batch not recorded, B batch 8",
        ),
        (changed(weights="a hub id"), "not the same weights: A not recorded, B a hub id"),
        (changed(clock="julia"), "not the same clock: A wall, B julia"),
    ],
)
def test_what_is_not_the_same_work_is_refused(rows: tuple[Row, Row], why: str) -> None:
    result = verdict(*rows)
    assert (result.word, result.why) == (REFUSED, why)
    assert result.remedy.startswith("measure both ")
    assert result.ratio is None


@pytest.mark.parametrize(
    ("base", "new", "remedy"),
    [
        (
            "kornia-rs 0.2.0",
            "Pillow",
            "install kornia-rs where B was measured, and measure there again",
        ),
        (
            "Pillow, Pillow",
            "kornia-rs 0.2.0, simplejpeg 1.9.0",
            "install kornia-rs and simplejpeg where A was measured, and measure there again",
        ),
        (
            "Pillow, simplejpeg 1.9.0",
            "kornia-rs 0.2.0, Pillow",
            "install kornia-rs where A was measured, and install simplejpeg where B was measured, "
            "and measure there again",
        ),
        ("simplejpeg 1.9.0", "simplejpeg 1.9.1", "measure both with one version of simplejpeg"),
        ("not recorded", "Pillow", "measure both with one version of the harness"),
    ],
)
def test_other_decoders_are_refused_with_what_to_install(base: str, new: str, remedy: str) -> None:
    one = sampled("one", around(1.0, 1))
    regimes = [{"decoder": text} if text != "not recorded" else {} for text in (base, new)]
    first, second = (replace(one, cell=replace(one.cell, regime=regime)) for regime in regimes)
    result = verdict(first, second)
    assert (result.word, result.remedy) == (REFUSED, remedy)
    assert result.why == f"not the same decoder: A {base}, B {new}"


def test_runs_of_one_side_must_be_the_same_work_too() -> None:
    one, other = changed({"workload": 2})
    result = compare([side("A", run([one])), side("B", run([one]), run([other]))])
    assert result.lines[0].verdicts[0].why == "not the same workload: A version 1, B version 2"


def test_threads_and_grouping_are_no_other_work() -> None:
    assert verdict(*changed(threads=8, iterations=4)).word == SAME


def test_a_side_without_a_number_is_absent_with_its_reason() -> None:
    one, other = changed(status="unavailable", samples=(), reason="no CUDA")
    result = compared(
        [one, sampled("two", around(1.0, 2))], [other, sampled("two", around(1.0, 3))]
    )
    assert result.lines[0].verdicts[0].word == ABSENT
    assert result.lines[0].verdicts[0].why == "B: unavailable: no CUDA"
    assert result.lines[1].verdicts[0].word == SAME


def test_cells_that_no_side_measured_are_left_out() -> None:
    one, other = changed(status="unavailable", samples=(), reason="no CUDA")
    two = sampled("two", around(1.0, 2))
    assert len(compared([other, two], [other, two]).lines) == 1
    assert one.status == "measured"


def test_without_a_common_row_there_is_nothing_to_compare() -> None:
    with pytest.raises(PipelineError) as error:
        compared([sampled("one", around(1.0, 1))], [sampled("two", around(1.0, 1))])
    assert str(error.value) == (
        "a0.json, b0.json: expected a cell that two of them measured; "
        "measure the same cells: options and ids must be the same"
    )


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ("0a141e" * 64, "0a141e" * 64, 0),
        ("0a141e" * 64, "0c141e" * 64, 0),
        ("0a141e" * 64, "0d141e" * 64, 3),
        ("0a141e" * 64, "", 0),
        ("0a141e" * 64, "no hex", 255),
        ("0a141e" * 64, "0a141e", 255),
    ],
)
def test_an_output_that_changed_is_flagged_and_its_time_kept(
    one: str, other: str, distance: int
) -> None:
    rows = changed(fingerprint=other)
    line = compared([replace(rows[0], fingerprint=one)], [rows[1]]).lines[0]
    assert line.verdicts[0].word == SAME
    expected = (
        f"its output changed: by up to {distance} of 255 between the fingerprints of A and B; "
        "look at the images before trusting the time"
    )
    assert line.changed == (expected if distance else "",)


def test_the_geometric_mean_is_of_all_compared_rows() -> None:
    base = [sampled(name, [1.0] * 20) for name in ("one", "two", "three", "gone")]
    new = [
        replace(row, samples=samples)
        for row, samples in zip(base, [(2.0,) * 20, (0.5,) * 20, (8.0,) * 3], strict=False)
    ]
    lines = compared(base, new).lines
    assert geometric_mean(lines, 0) == (pytest.approx(2.0), 3)
    assert geometric_mean(lines[:1], 0) == (pytest.approx(2.0), 1)
    assert geometric_mean(lines[3:], 0) is None


def runs(label: str, machine: Any, *seconds: float) -> Any:
    return side(
        label,
        *(
            run([sampled("one", around(value, 5 + number))], machine)
            for number, value in enumerate(seconds)
        ),
    )


def word(base: Any, new: Any) -> str:
    return compare([base, new]).lines[0].verdicts[0].word


def test_one_run_on_a_busy_machine_decides_only_what_is_far_apart() -> None:
    assert word(runs("A", LAPTOP, 1.0), runs("B", BUSY, 2.0)) == UNDECIDED
    assert word(runs("A", BUSY, 1.0), runs("B", LAPTOP, 2.0)) == UNDECIDED
    assert word(runs("A", LAPTOP, 1.0), runs("B", BUSY, 4.0)) == SLOWER
    assert word(runs("A", LAPTOP, 1.0), runs("B", LAPTOP, 2.0)) == SLOWER


def test_several_runs_on_a_busy_machine_decide_no_more_than_one() -> None:
    old, new = (1.0, 1.01, 0.99), (1.5, 1.51, 1.49)
    assert word(runs("A", LAPTOP, *old), runs("B", LAPTOP, *new)) == SLOWER
    assert word(runs("A", BUSY, *old), runs("B", BUSY, *new)) == UNDECIDED
    assert word(runs("A", LAPTOP, *old), runs("B", BUSY, *new)) == UNDECIDED


def test_other_work_on_the_cpu_is_held_against_cells_of_the_cpu_alone() -> None:
    one = sampled("one", around(1.0, 1))
    cuda = replace(one, cell=replace(one.cell, device="cuda"), samples=around(2.0, 2))
    base = replace(cuda, samples=around(1.0, 3))
    result = compare([side("A", run([base], MACHINE)), side("B", run([cuda], BUSY))])
    assert result.lines[0].verdicts[0].word == SLOWER


def test_a_cell_that_some_runs_lack_rests_on_the_others() -> None:
    one, two = sampled("one", around(1.0, 1)), sampled("two", around(1.0, 2))
    result = compare([side("A", run([one, two]), run([two])), side("B", run([one, two]))])
    assert [len(line.entries[0].rows) for line in result.lines] == [1, 2]


def test_other_work_beside_a_row_decides_only_what_is_far_apart() -> None:
    one = sampled("one", around(1.0, 1))
    slow = replace(one, samples=around(1.5, 2))
    assert verdict(one, slow).word == SLOWER
    result = verdict(one, replace(slow, extra={"others_busy_percent": 80.0}))
    assert (result.word, result.floor.value) == (UNDECIDED, pytest.approx(4.0))
    assert result.floor.why == "the machine had other work"


def test_a_machine_that_changed_during_a_run_raises_the_floor() -> None:
    rates = {"copy_cpu_bytes_per_s": 4e10}, {"copy_cpu_bytes_per_s": 2.5e10}
    machine = {**LAPTOP, "workload": dict(zip(("start", "end"), rates, strict=True))}
    result = compare([runs("A", LAPTOP, 1.0), runs("B", machine, 1.4)]).lines[0].verdicts[0]
    assert (result.word, result.code) == (UNDECIDED, "noisy")
    assert result.floor.value == pytest.approx(0.6)
    assert result.floor.why == "the reference workload changed that far during a run"


def test_a_start_in_a_fresh_process_is_decided_by_runs_and_not_by_a_longer_budget() -> None:
    cold = sampled("one", (1.0,), limited_by="fresh process")
    slow = replace(cold, samples=(2.0,))
    result = verdict(cold, slow)
    assert (result.word, result.code) == (UNDECIDED, "too few rounds")
    assert result.why == "a side is one start in a fresh process, and one sample has no interval"
    assert result.remedy == "several runs of each side"
    old, new = (
        [run([replace(cold, samples=(value,))]) for value in seconds]
        for seconds in ((1.0, 1.02, 1.01), (2.0, 2.03, 1.98))
    )
    assert word(side("A", *old), side("B", *new)) == SLOWER


def test_a_judge_decides_instead_of_the_samples() -> None:
    one, other = (run([sampled("one", around(1.0, seed))]) for seed in (1, 2))
    names = []

    def judge(name: str) -> Verdict:
        names.append(name)
        return Verdict("slower", "in turns", "it was measured in turns")

    (line,) = compare([side("A", one), side("B", other)], judge).lines
    assert line.verdicts == (judge(line.name),)
    assert names == [line.name, line.name]


def test_a_machine_with_more_noise_on_record_raises_the_floor_of_its_sides() -> None:
    files = [run([sampled("one", around(times, 1))]) for times in (1.0, 1.2, 1.2)]
    sides = [side(label, value) for label, value in zip("ABC", files, strict=True)]
    (line,) = compare(sides, noise=[0.0, 0.04, 0.5]).lines
    assert [verdict.word for verdict in line.verdicts] == [SLOWER, UNDECIDED]


def test_rows_that_were_matched_under_one_name_are_called_as_on_the_first_side() -> None:
    first = sampled("one", around(1.0, 1))
    second = replace(sampled("two", around(1.0, 2)), name=first.name)
    (line,) = compare([side("A", run([first])), side("B", run([second]))]).lines
    assert line.cell.id == "one"
