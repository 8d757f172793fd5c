"""The reference workload: real rates of this machine, and what a run says where they changed."""

import sys
from typing import Any

import pytest

from bench.measuring import workload
from bench.reporting import tables
from bench.results.cell import MEASURED
from support.results import MACHINE, generate
from support.runs import Run, pytest_in, suite_in

START = {
    "python_loop_steps_per_s": 5.1e7,
    "copy_cpu_bytes_per_s": 4.5e10,
    "matrix_cuda_float16_flop_per_s": 6.61e14,
}
ROW = generate("tiny", "cpu", "64x64", 4, MEASURED, samples=(1.0,) * 7)


def records(start: Any = START, end: Any = START) -> dict[str, Any]:
    return {**MACHINE, "workload": {"start": start, "end": end}}


def under(found: dict[str, Any], width: int = 300) -> list[str]:
    lines = tables.render([ROW], found, width).split("\n")
    return lines[len(lines) - lines[::-1].index("") + 1 :]


def test_each_dtype_that_is_used_has_a_matrix_product_and_the_machine_a_copy_and_a_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workload, "SECONDS", {"cpu": 0.0})
    monkeypatch.setattr(workload, "SIDES", {"cpu": 64})
    found = workload.measured([("cpu", "float32"), ("cpu", "bfloat16"), ("cpu", "float32")])
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


def test_a_product_too_large_for_memory_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(workload, "_matrix", full)
    assert "matrix_cpu_float32_flop_per_s" not in workload.measured([("cpu", "float32")])


def test_a_run_without_torch_does_not_import_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert len(workload.measured([])) == 2


def test_a_steady_machine_is_one_line() -> None:
    end = {name: rate * 1.049 for name, rate in START.items()}
    assert under(records(end=end)) == [
        "reference workload: Python loop 51.0 M steps/s, copy cpu 45.0 GB/s, "
        "matrix cuda float16 661 TFLOP/s; at the end within 5\u00a0%"
    ]


def test_a_machine_that_changed_says_what_and_what_to_do() -> None:
    end = START | {"copy_cpu_bytes_per_s": 3.6e10, "matrix_cuda_float16_flop_per_s": 7.1e14}
    assert under(records(end=end))[1] == (
        "the machine changed while it measured: at the end copy cpu -20\u00a0%, "
        "matrix cuda float16 +7\u00a0%; end other work, let it cool, and measure again"
    )


def test_a_run_that_was_cut_short_has_a_start_alone() -> None:
    assert under(records(end={})) == [
        "reference workload: Python loop 51.0 M steps/s, copy cpu 45.0 GB/s, "
        "matrix cuda float16 661 TFLOP/s"
    ]
    assert under({**MACHINE, "workload": {}}) == []
    assert under(MACHINE) == []


# A whole run.


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
    assert "the machine changed while it measured: at the end copy cpu -25\u00a0%" in run.out


def test_show_says_what_the_run_said(run: Run) -> None:
    from support.runs import python_in

    for file in ("out.json", ".benchmarks/journal.jsonl"):
        shown = python_in(run.folder, "-m", "bench", "show", file, COLUMNS="200")
        assert "at the end copy cpu -25\u00a0%" in shown.out
        assert "watched meanwhile: other processes" in shown.out
