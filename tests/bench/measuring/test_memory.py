"""The most that a call takes; memory that runs out is a row, and the run goes on."""

import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from bench.machine import sensors
from bench.measuring import memory
from bench.results.cell import MEASURED, OUT_OF_MEMORY
from support.runs import Run, pytest_in, suite_in
from support.simulated_nvml import process, raises, simulated

REASON = (
    "CUDA out of memory. Tried to allocate 96.00 GiB. GPU 0 has a total capacity of 80.00 GiB of "
    "which 41.00 GiB is free."
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = suite_in(tmp_path_factory.mktemp("memory") / "run", "memory")
    brief = ("--benchmark-max-time=0.1", "--benchmark-json=out.json")
    return pytest_in(folder, "test_cells.py", "--benchmark-only", *brief)


def test_what_was_estimated_before_is_said_beside_what_was_needed_and_free(run: Run) -> None:
    row = run.others["expected"]
    assert row["reason"] == f"{REASON} Estimated before: 7.58 GiB."
    assert row["extra"] == {"estimated_bytes": 8.14e9}


def test_what_a_call_held_when_memory_ran_out_is_let_go(run: Run) -> None:
    """The last cell asserts it, of the three before: no error keeps their frames alive."""
    assert run.measured["warned"]["extra_info"]["cell"]["status"] == MEASURED


@pytest.mark.parametrize("cell", ["large", "rounds"])
def test_memory_that_runs_out_is_a_row_without_a_number(run: Run, cell: str) -> None:
    row = run.others[cell]
    assert (row["status"], row["reason"], row["remedy"]) == (
        OUT_OF_MEMORY,
        REASON,
        "a smaller size or batch, float16, or a device with more memory",
    )
    assert row["samples"] == []


def test_the_run_goes_on_and_a_warning_fails_no_cell(run: Run) -> None:
    assert run.code == 0, run.out
    assert "1 passed, 3 skipped" in run.out
    assert list(run.measured) == ["warned"]
    assert run.measured["warned"]["extra_info"]["cell"]["status"] == MEASURED
    assert "FutureWarning: a library says that it will change" in run.out


def test_the_cells_share_their_reason_below_the_tables(run: Run) -> None:
    assert "\nout of memory: 2 cells of preprocess\n" in run.out


class Cuda:
    """A simulated `torch.cuda`, which holds 7 MB in tensors and a little more in its cache."""

    def __init__(self) -> None:
        self.order: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def call() -> int:
            self.order.append(name)
            return {"max_memory_allocated": 7_000_000, "max_memory_reserved": 9_000_000}.get(
                name, 1
            )

        return call

    def is_initialized(self) -> bool:
        return False


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    found, nvml = Cuda(), simulated()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=found))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return found


def test_the_peaks_of_a_call_on_a_gpu_are_those_of_torch_and_of_nvml(cuda: Cuda) -> None:
    assert memory.peaks(lambda: cuda.order.append("call"), "cuda", on_torch=True) == {
        "peak_allocated_bytes": 7_000_000,
        "peak_reserved_bytes": 9_000_000,
        "gpu_process_bytes": 2**30,
    }
    assert cuda.order[-5:] == [
        *("empty_cache", "reset_peak_memory_stats", "call"),
        *("max_memory_allocated", "max_memory_reserved"),
    ]


def test_a_replayed_graph_has_no_peak_of_tensors(cuda: Cuda) -> None:
    """It works in the memory of its capture, which torch counts as reserved alone."""
    peaks = memory.peaks(lambda: None, "cuda", on_torch=True, replayed=True)
    assert peaks == {"peak_reserved_bytes": 9_000_000, "gpu_process_bytes": 2**30}


def test_torch_is_not_asked_of_what_julia_holds(cuda: Cuda) -> None:
    found = memory.peaks(lambda: None, "cuda", on_torch=False)
    assert found == {"gpu_process_bytes": 2**30}
    assert cuda.order == []


def test_what_the_driver_does_not_tell_is_left_out(cuda: Cuda) -> None:
    nvml: Any = sys.modules["pynvml"]
    nvml.nvmlDeviceGetComputeRunningProcesses = lambda gpu: [process(os.getpid(), None)]
    assert memory.peaks(lambda: None, "cuda", on_torch=False) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is of Linux")
def test_on_the_cpu_it_is_what_the_call_added_to_what_stood_before() -> None:
    held = b"\1" * 50_000_000
    peaks = memory.peaks(lambda: b"\1" * 200_000_000, "cpu", on_torch=True)
    if not peaks:
        pytest.skip("the peak of resident memory cannot be reset here")
    assert 190_000_000 < peaks["added_rss_bytes"] < 260_000_000
    assert len(held) == 50_000_000


def test_a_call_that_adds_nothing_has_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "reset_peak_rss", lambda: None)
    monkeypatch.setattr(sensors, "peak_rss_bytes", lambda: 7)
    assert memory.peaks(lambda: None, "cpu", on_torch=True) == {}


def test_a_peak_that_cannot_be_reset_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "reset_peak_rss", raises(PermissionError(13, "denied")))
    assert memory.peaks(lambda: None, "cpu", on_torch=True) == {}


def test_nothing_is_recognised_where_torch_was_not_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert not memory.ran_out(RuntimeError("CUDA out of memory"))
    memory.give_back()


def chained(first: Exception, then: Exception, explicit: bool) -> Exception:
    """Return `then`, raised because of `first` or while it was handled."""
    try:
        try:
            raise first
        except Exception as error:
            if explicit:
                raise then from error
            raise then  # noqa: B904
    except Exception as error:
        return error


@pytest.mark.parametrize("explicit", [True, False])
def test_memory_that_ran_out_under_another_error_is_recognised(explicit: bool) -> None:
    """A compiler wraps what it meets; the end of a graph's capture has an error of its own."""
    import torch

    first = torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB "
        "of which 1.56 GiB is free. Process 4711 has 70.00 GiB memory in use. Of the allocated"
    )
    error = chained(first, RuntimeError("operation failed during capture"), explicit)
    assert memory.ran_out(error)
    assert memory.reason(error) == (
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB "
        "of which 1.56 GiB is free."
    ), "no record names a process"
    assert not memory.ran_out(chained(ValueError("a"), RuntimeError("b"), explicit))


def test_memory_of_the_cpu_that_runs_out_is_recognised() -> None:
    """`--sd-size 100000` failed with a traceback: torch has no class of its own for it."""
    import torch

    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**60, dtype=torch.uint8)
    assert memory.ran_out(refused.value)
    assert memory.reason(refused.value).startswith(
        f"DefaultCPUAllocator: can't allocate memory: you tried to allocate {2**60} bytes."
    )
    assert "memory). Estimated before: 7.45 GiB." in memory.reason(refused.value, 8e9)
    assert memory.ran_out(MemoryError())
    assert (
        memory.reason(MemoryError(), 8e9) == "Python ran out of memory. Estimated before: 7.45 GiB."
    )


@pytest.mark.parametrize(
    "line",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_a_library_of_cuda_that_gets_no_memory_is_recognised(line: str) -> None:
    import torch  # noqa: F401

    assert memory.ran_out(RuntimeError(line))
