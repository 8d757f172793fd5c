"""Which files are runs of what, and how the machines differ."""

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.comparing.sides import (
    common,
    differences,
    gather,
    load_at_start,
    raised_floors,
    workload_changed,
)
from bench.comparing.verdict import UNWATCHED
from bench.machine.records import summary
from bench.results.cell import Row
from bench.results.record import Run
from pipeline.errors import PipelineError
from support.comparisons import LAPTOP, around, run, sampled, side
from support.results import MACHINE

OLD, NEW = (tuple(f"{name}-{number}.json" for number in (1, 2, 3)) for name in ("old", "new"))


@pytest.fixture(autouse=True)
def folder(result_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(result_files)


def gathered(*arguments: str) -> list[tuple[str, ...]]:
    return [side.files for side in gather(arguments)]


def measured(machine: Any = LAPTOP, **known: Any) -> Run:
    return run([sampled("one", around(1.0, 1))], machine, **known)


def beside(percent: float | None) -> Row:
    """A row beside which other processes took this share of the CPUs; None where nobody watched."""
    extra = {} if percent is None else {"others_busy_percent": percent}
    return replace(sampled("one", around(1.0, 1)), extra=extra)


def changed(record: str, **values: Any) -> dict[str, Any]:
    machine = deepcopy(LAPTOP)
    machine[record] |= values
    return machine


# Which files are runs of what.


def test_files_of_one_machine_and_commit_are_runs_of_one_side() -> None:
    assert gathered(*OLD, *NEW) == [OLD, NEW]
    assert gathered("old-1.json", "new-1.json", "old-2.json", "gpu.json") == [
        ("old-1.json", "old-2.json"),
        ("new-1.json",),
        ("gpu.json",),
    ]


def test_two_files_are_two_sides_whatever_they_are() -> None:
    assert gathered("old-1.json", "old-2.json") == [("old-1.json",), ("old-2.json",)]


def test_where_all_are_runs_of_one_machine_and_commit_each_is_a_side() -> None:
    assert gathered(*OLD) == [(name,) for name in OLD]


def test_a_comma_joins_runs_and_then_nothing_else_is_joined() -> None:
    assert gathered("old-1.json,old-2.json", "new-1.json", "new-2.json") == [
        ("old-1.json", "old-2.json"),
        ("new-1.json",),
        ("new-2.json",),
    ]


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "x" * 300 + ",y"])
def test_a_name_that_no_file_can_have_is_one_line(name: str) -> None:
    with pytest.raises(PipelineError, match="expected a file that can be read"):
        gather([name, name])


def test_a_file_may_have_a_comma_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a,b.json"
    path.write_bytes(Path("old-1.json").read_bytes())
    assert gathered(str(path), "old-2.json") == [(str(path),), ("old-2.json",)]


@pytest.mark.parametrize(
    "commit",
    [
        {"id": "0123456789abcdef", "dirty": True},
        {"id": "unversioned", "dirty": False},
        {},
        {"id": 7},
    ],
    ids=["with changes", "unversioned", "none", "odd"],
)
def test_runs_of_code_that_is_not_a_commit_are_not_joined(
    commit: dict[str, Any], tmp_path: Path
) -> None:
    names = []
    for number in (1, 2):
        content = json.loads(Path(f"old-{number}.json").read_text())
        names.append(str(tmp_path / f"{number}.json"))
        Path(names[-1]).write_text(json.dumps(content | {"commit_info": commit}))
    assert gathered(*names, "new-1.json") == [(names[0],), (names[1],), ("new-1.json",)]


# What differs.


def test_the_same_machine_is_said_once() -> None:
    both = [side("A", measured()), side("B", measured())]
    assert common(both) == summary(LAPTOP)
    assert differences(both) == ["A (baseline): a0.json", "B: b0.json"]


def test_what_differs_is_said_of_each_side() -> None:
    other = deepcopy(LAPTOP)
    other["software"] |= {"python": "3.12.1", "driver": "580.65", "packages": {"torch": "2.15"}}
    other["software"]["torch"] = {"threads": 2, "attention": ["flash", "math"]}
    both = [side("A", measured()), side("B", measured(other))]
    assert common(both) == "2 cores AMD EPYC 9354 · no GPU"
    assert differences(both) == [
        "A (baseline): a0.json · diffusers 0.42.1 · torch 2.14.0+cu130 · python 3.11.7",
        "B: b0.json · torch 2.15 · python 3.12.1 · driver 580.65 · torch threads 2 · "
        "torch attention flash, math",
    ]


def test_hardware_differs_in_units() -> None:
    both = [side("A", measured()), side("B", measured(MACHINE))]
    assert "no GPU · 2 cores AMD EPYC 9354 · RAM 16 GiB · " in differences(both)[0]
    assert "NVIDIA H100 80GB HBM3 · 16 cores AMD EPYC 9354 · RAM 128 GiB" in differences(both)[1]
    assert "GPU memory 79.65 GiB · GPU power limit 700 W" in differences(both)[1]


def test_machines_that_share_nothing_have_no_common_line() -> None:
    bare = {"hardware": {}, "software": {}, "state": {}}
    assert common([side("A", measured(bare)), side("B", measured())]) == ""


def test_commits_dates_threads_and_cut_runs_are_said() -> None:
    row = replace(sampled("one", around(1.0, 1)), threads=4)
    one = run([row], begun="2026-11-22T16:10:35", commit={"id": "0123456789", "dirty": True})
    other = run([row], begun="2026-11-23T09:00:00", commit={"id": "89abcdef01"}, complete=False)
    threads = run([replace(row, threads=1)], begun="2026-11-23T09:00:10")
    assert differences([side("A", one), side("B", other, threads)]) == [
        "A (baseline): a0.json · 2026-11-22 16:10 · threads 4 · commit 0123456 with changes · "
        "load per CPU 0.5",
        "B: b0.json, b1.json · 2 runs · 2026-11-23 09:00 · cut short · threads 1, 4 · "
        "commit 89abcde · load per CPU 0.5, 0.5",
    ]


# Other work.


@pytest.mark.parametrize(
    ("load", "threads", "busy"),
    [(0.5, 1, False), (0.74, 1, False), (0.76, 1, True), (1.0, 2, False), (1.3, 2, True)],
)
def test_the_load_that_a_run_does_not_explain_is_other_load(
    load: float, threads: int, busy: bool
) -> None:
    machine = changed("state", load_per_cpu=load)
    assert load_at_start(measured(machine), threads) == (load if busy else 0)


@pytest.mark.parametrize(
    "machine", [changed("state", load_per_cpu=None), changed("hardware", cores=None), {}]
)
def test_a_load_that_was_not_read_is_not_known(machine: dict[str, Any]) -> None:
    assert load_at_start(Run(machine=machine, rows=()), 1) is None


def raised(one: Row, other: Row, machine: Any = LAPTOP) -> dict[str, float]:
    """The floors that two sides raise, by their reasons, but for what is 0."""
    sides = [(side("A", run([one])), [one]), (side("B", run([other], machine)), [other])]
    return {floor.why: floor.value for floor in raised_floors(sides) if floor.value}


BUSY = "the machine had other work"
APART = "other work took more beside one side"


def test_what_others_took_beside_a_row_decides_and_not_the_load_before_the_run() -> None:
    loaded = changed("state", load_per_cpu=1.4)
    assert raised(beside(None), beside(None), loaded) == {BUSY: 2.4}
    assert raised(beside(0.0), beside(0.0), loaded) == {}
    assert raised(beside(33.0), beside(33.0)) == {}
    assert raised(beside(60.0), beside(58.0)) == {BUSY: 1.6}


def test_other_work_beside_one_side_alone_raises_the_floor() -> None:
    assert raised(beside(0.0), beside(4.0)) == {}
    assert raised(beside(30.0), beside(0.0)) == {APART: pytest.approx(0.3 / 0.7)}
    floors = raised(beside(87.0), beside(0.0))
    assert max(floors.values()) == pytest.approx(0.87 / 0.13)  # 5 times as long was seen


def test_a_file_without_a_load_is_unwatched() -> None:
    machine = changed("state", load_per_cpu=None)
    assert raised(beside(None), beside(None), machine) == {"nobody watched the load": UNWATCHED}
    assert raised(beside(None), beside(0.0), machine) == {}


def test_cells_of_a_gpu_do_not_wait_for_a_cpu() -> None:
    rows = [replace(row, cell=replace(row.cell, device="cuda")) for row in (beside(90.0),) * 2]
    assert raised(*rows) == {}


RATES = {
    "python_loop_steps_per_s": 5e7,
    "copy_cpu_bytes_per_s": 4e10,
    "matrix_cpu_float32_flop_per_s": 1e11,
    "matrix_cuda_float16_flop_per_s": 6e14,
}


@pytest.mark.parametrize(
    ("end", "on_cpu", "on_cuda"),
    [
        ({}, 0.0, 0.0),
        (RATES, 0.0, 0.0),
        (RATES | {"copy_cpu_bytes_per_s": 1e10}, 0.0, 0.0),
        (RATES | {"copy_cpu_bytes_per_s": 1e10, "python_loop_steps_per_s": 2e7}, 1.5, 0.0),
        (RATES | {"copy_cpu_bytes_per_s": 5e10, "python_loop_steps_per_s": 6e7}, 0.2, 0.0),
        (RATES | {"matrix_cuda_float16_flop_per_s": 4e14}, 0.0, 0.5),
        (RATES | {"copy_cpu_bytes_per_s": 0.0}, 0.0, 0.0),
    ],
)
def test_the_reference_workload_says_how_far_a_machine_changed(
    end: dict[str, float], on_cpu: float, on_cuda: float
) -> None:
    machine = measured({**LAPTOP, "workload": {"start": RATES, "end": end}})
    assert workload_changed(machine, "cpu") == pytest.approx(on_cpu)
    assert workload_changed(machine, "cuda") == pytest.approx(on_cuda)


def test_a_record_without_a_reference_workload_has_not_changed() -> None:
    assert workload_changed(measured(), "cpu") == 0
