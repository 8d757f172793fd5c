"""The reference workload: real rates of this machine, and what a run says where they changed."""

import sys
from typing import Any

import pytest

from bench.measuring import workload
from support.runs import Run, pytest_in, python_in, suite_in


def test_each_dtype_that_is_used_has_a_matrix_product_and_the_machine_a_copy_and_a_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workload, "SECONDS", {"cpu": 0.0})
    monkeypatch.setattr(workload, "SIDES", {"cpu": 64})
    found = workload.measured([("cpu", "float32"), ("cpu", "bfloat16"), ("cpu", "float32")], {})
    assert list(found) == [
        "python_loop_steps_per_s",
        "copy_cpu_bytes_per_s",
        "matrix_cpu_bfloat16_flop_per_s",
        "matrix_cpu_float32_flop_per_s",
    ]
    assert all(rate > 0 for rate in found.values())


def test_a_rate_is_that_of_the_quickest_of_at_least_three(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 0.5, 1.0, 1.2, 2.0, 2.4])
    monkeypatch.setattr(workload, "perf_counter", lambda: next(ticks))
    calls: list[int] = []
    assert workload._fastest(lambda: calls.append(1), "cpu") == pytest.approx(0.2)
    assert len(calls) == 1 + 3


@pytest.mark.parametrize(
    ("error", "notes"),
    [
        ("OutOfMemoryError", {}),
        ("AcceleratorError", {"reference workload: matrix_cpu_float32_flop_per_s": "it failed"}),
    ],
)
def test_a_part_that_fails_is_left_out_with_a_note_unless_it_is_too_large(
    monkeypatch: pytest.MonkeyPatch, error: str, notes: dict[str, str]
) -> None:
    """A fatal error of CUDA, or a driver that torch cannot use, once ended the session here."""
    import torch

    def fail(*_: Any) -> Any:
        raise getattr(torch, error)("it failed")

    monkeypatch.setattr(workload, "_matrix", fail)
    unread: dict[str, str] = {}
    assert len(workload.measured([("cpu", "float32")], unread)) == 2
    assert unread == notes


def test_a_run_without_torch_does_not_import_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert len(workload.measured([], {})) == 2


# A whole run.

CHANGED = "the machine's speed changed during the run: copy cpu -25\u00a0% at the end"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on a machine whose copies are slower at the end."""
    folder = suite_in(tmp_path_factory.mktemp("workload"), "workload")
    brief = ("--benchmark-max-time=0.02", "--benchmark-json=out.json")
    return pytest_in(folder, *brief, "test_cells.py", COLUMNS="200")


def test_a_run_records_both_and_says_that_the_machine_changed(run: Run) -> None:
    assert run.code == 0, run.out
    assert run.document["sd_flux_bench"]["machine"]["workload"] == {
        "start": {"copy_cpu_bytes_per_s": 4e9},
        "end": {"copy_cpu_bytes_per_s": 3e9},
    }
    assert CHANGED in run.out


def test_show_says_what_the_run_said(run: Run) -> None:
    for file in ("out.json", ".benchmarks/journal.jsonl"):
        shown = python_in(run.folder, "-m", "bench", "show", file, COLUMNS="200")
        assert CHANGED in shown.out
        assert "watched during the rounds: other processes" in shown.out
