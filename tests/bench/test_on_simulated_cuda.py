"""The CUDA rows on a simulated device: every kind of cell, and what a device can do to a run."""

import os

import pytest

from bench.results import record
from bench.results.cell import FAILED, MEASURED, OUT_OF_MEMORY, UNAVAILABLE, Row
from support.runs import Run, copy_of_bench, python_in
from support.simulation import pytest_on_cuda

pytestmark = pytest.mark.skipif(
    "SIMULATED_CUDA_TESTS" not in os.environ,
    reason="minutes on a simulated device: SIMULATED_CUDA_TESTS=1 runs it",
)

TINY = ("--sd-model=tiny", "--sd-device=cuda", "--sd-size=64", "--sd-steps=1")
ILLEGAL = "CUDA error: an illegal memory access was encountered"


def rows_of(run: Run) -> dict[str, Row]:
    return {row.cell.id: row for row in record.load(run.folder / "out.json").rows}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Every CUDA cell that needs no Julia, on the tiny pipeline in three modes."""
    chosen = "cuda and not flux and not sd15 or transform-512x512-gray"
    return pytest_on_cuda(
        copy_of_bench(tmp_path_factory.mktemp("whole")),
        *("bench/", "--benchmark-only", "--cold", *TINY, "--sd-mode=eager,compile,graph"),
        "--flux-batch=1,8",
        *("-k", chosen),
    )


def test_every_cuda_cell_is_measured_but_for_a_peer_that_is_not_exact(whole: Run) -> None:
    rows = rows_of(whole)
    assert whole.code == 0, whole.out
    by_kornia = {name for name in rows if name.endswith("-kornia")}
    assert {rows[name].status for name in by_kornia} <= {FAILED, UNAVAILABLE}
    others = {name: row.status for name, row in rows.items() if name not in by_kornia}
    assert set(others.values()) == {MEASURED}, others
    assert {rows[name].cell.family for name in others} == {
        *("cold", "end_to_end", "forward", "generate", "preprocess")
    }


def test_a_row_on_cuda_has_memory_busy_time_energy_and_guards(whole: Run) -> None:
    for name, row in rows_of(whole).items():
        if row.cell.device != "cuda" or row.status != MEASURED:
            continue
        assert set(row.guards.values()) == {""}, name
        if row.cell.family == "cold":
            continue
        assert row.busy, name
        assert row.extra["peak_reserved_bytes"] > 0, name
        assert ("peak_allocated_bytes" in row.extra) == (row.cell.axes.get("mode") != "graph")
        assert row.extra["gpu_process_bytes"] == 2**30
        if row.cell.family == "generate":
            assert list(row.stages) == ["text encoder", "UNet", "scheduler", "VAE decode"]


def test_every_mode_draws_what_eager_draws(whole: Run) -> None:
    modes = {
        row.cell.axes["mode"]: row for row in rows_of(whole).values() if "mode" in row.cell.axes
    }
    assert set(modes) == {"compile", "graph"}
    assert all(row.extra["levels_off_eager"] == 0 for row in modes.values())


def test_memory_of_a_family_is_its_own(whole: Run) -> None:
    """The pipeline of another family was counted: 2 GB with sd15."""
    rows = rows_of(whole)
    weights = 2 * 700_000  # bytes of the tiny pipeline in half precision, at least
    [generated] = [
        row for row in rows.values() if row.cell.id.startswith("tiny-cuda-float16-64x64-1")
    ]
    assert generated.extra["peak_allocated_bytes"] > weights
    reference = rows["reference-cuda-batch1"].extra["peak_allocated_bytes"]
    features = 16 * 224 * 224 * 4
    assert features < reference < 4 * features


def test_rows_of_a_simulated_device_say_so_and_are_not_compared(whole: Run) -> None:
    for row in rows_of(whole).values():
        assert (row.cell.regime.get("device") == "simulated") == (row.cell.device == "cuda")
    assert "\nsimulated GPU · " in whole.out
    compared = python_in(whole.folder, "-m", "bench", "compare", "out.json", "out.json")
    assert (compared.code, compared.out) == (2, "")
    assert compared.err == (
        "out.json: expected results of a real device, not of the simulated GPU; "
        "measure on the device itself\n"
    )


@pytest.mark.parametrize(
    ("fault", "mode", "batch"),
    [("out of memory", "eager", "1,4"), ("out of memory in a capture", "graph", "1")],
)
def test_out_of_memory_is_a_row_and_the_run_goes_on(
    whole: Run, tmp_path_factory: pytest.TempPathFactory, fault: str, mode: str, batch: str
) -> None:
    run = pytest_on_cuda(
        copy_of_bench(tmp_path_factory.mktemp("memory")),
        *("bench/test_generate.py", "bench/test_preprocess.py", *TINY, f"--sd-mode={mode}"),
        *(f"--sd-batch={batch}", "-k", "tiny or transform-512x512-rgb-cuda and not kornia"),
        SIMULATED_FAULT=fault,
    )
    assert run.code == 0, run.out
    rows = list(rows_of(run).values())
    [row] = [row for row in rows if row.status == OUT_OF_MEMORY]
    assert row.reason.startswith("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has")
    assert {row.status for row in rows if row.status != OUT_OF_MEMORY} == {MEASURED}
    assert rows[-1].cell.family == "preprocess"


def test_after_a_fatal_error_no_finished_row_is_lost_and_the_rest_say_why(
    whole: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = pytest_on_cuda(
        copy_of_bench(tmp_path_factory.mktemp("fatal")),
        *("bench/test_forward.py", "bench/test_generate.py", "bench/test_preprocess.py", *TINY),
        *("-k", "reference-cuda-batch1 or tiny or transform-512x512 and not kornia"),
        SIMULATED_FAULT="illegal access",
        SIMULATED_FAULT_AT="60",
    )
    assert run.code == pytest.ExitCode.TESTS_FAILED, run.out
    assert "INTERNALERROR" not in run.out + run.err
    rows = rows_of(run)
    assert rows["reference-cuda-batch1"].status == MEASURED
    assert rows["transform-512x512-gray"].status == MEASURED  # on the CPU
    failed = {name: row.reason for name, row in rows.items() if row.status == FAILED}
    assert "transform-512x512-rgb-cuda" in failed
    assert all(reason.endswith(ILLEGAL) for reason in failed.values()), failed
    assert "= sd-flux-bench =" in run.out
    assert (
        "reference workload: copy_cuda_bytes_per_s"
        in run.document["sd_flux_bench"]["machine"]["guards"]
    )


def test_a_device_that_torch_cannot_use_costs_only_its_own_rows(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    run = pytest_on_cuda(
        copy_of_bench(tmp_path_factory.mktemp("driver")),
        *("bench/test_forward.py", "bench/test_harness.py", "--flux-batch=1"),
        *("-k", "reference or noop"),
        SIMULATED_CUDA="driver",
    )
    assert run.code == 0, run.out + run.err
    rows = rows_of(run)
    assert {name: row.status for name, row in rows.items()} == {
        "reference-cpu-batch1": MEASURED,
        "reference-cuda-batch1": UNAVAILABLE,
        "harness-noop": MEASURED,
    }
    absent = rows["reference-cuda-batch1"]
    assert absent.reason.startswith("no CUDA in PyTorch ")
    assert absent.remedy == "install a PyTorch build for this driver, or update the driver"
