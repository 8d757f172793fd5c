"""The simulated device: what it refuses, what it can do to a run, and what is said of it."""

import json

import pytest

from bench.results import record
from bench.results.cell import FAILED, MEASURED, OUT_OF_MEMORY, UNAVAILABLE, Row
from simulated_cuda.plugin import CAPTURED, ILLEGAL, ILLEGAL_IMAGES, LARGE
from support.commands import runner
from support.runs import SUITES, Run, copy_of_bench
from support.simulation import pytest_on_cuda, pytest_on_driver, python_on_cuda


def rows_of(run: Run) -> dict[str, Row]:
    return {row.cell.id: row for row in record.load(run.folder / "out.json").rows}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Cells in this order: one that works, three that run into a fault, two that follow."""
    return pytest_on_cuda(
        copy_of_bench(tmp_path_factory.mktemp("faulty")),
        *("bench/test_forward.py", "bench/test_generate.py", "bench/test_preprocess.py"),
        *("--sd-model=tiny", "--sd-device=cuda", "--sd-size=32", "--sd-steps=1"),
        *(
            "--sd-mode=graph",
            f"--sd-batch={LARGE},{CAPTURED},1,{ILLEGAL_IMAGES}",
            "--sd-agreement=0",
        ),
        *("-k", "reference-cuda-batch1 or tiny or transform-512x512 and not kornia"),
    )


def test_out_of_memory_is_a_row_and_the_run_goes_on(faulty: Run) -> None:
    """At a call of the UNet, and inside a capture."""
    rows = rows_of(faulty)
    for images in (LARGE, CAPTURED):
        row = rows[f"tiny-cuda-float16-32x32-batch{images}-graph-1steps"]
        assert row.status == OUT_OF_MEMORY, row.reason
        assert row.reason.startswith("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has")
    assert rows["tiny-cuda-float16-32x32-graph-1steps"].status == MEASURED


def test_after_a_fatal_error_no_finished_row_is_lost_and_the_rest_say_why(faulty: Run) -> None:
    assert faulty.code == pytest.ExitCode.TESTS_FAILED, faulty.out
    assert "INTERNALERROR" not in faulty.out + faulty.err
    rows = rows_of(faulty)
    assert rows["reference-cuda-batch1"].status == MEASURED
    assert rows["transform-512x512-gray"].status == MEASURED  # on the CPU
    failed = {name: row.reason for name, row in rows.items() if row.status == FAILED}
    assert set(failed) == {
        f"tiny-cuda-float16-32x32-batch{ILLEGAL_IMAGES}-graph-1steps",
        "transform-512x512-rgb-cuda",
    }
    assert all(reason.endswith(ILLEGAL) for reason in failed.values()), failed


def test_after_a_fatal_error_the_tables_and_the_rest_of_the_record_are_there(faulty: Run) -> None:
    assert "= sd-flux-bench =" in faulty.out
    guards = faulty.document["sd_flux_bench"]["machine"]["guards"]
    assert guards["reference workload: copy_cuda_bytes_per_s"] == ILLEGAL


def test_it_refuses_what_a_device_refuses_and_no_call_copies_more_than_it_must() -> None:
    """One copy a picture; per step PNDM reads its schedule on the host, whatever the mode."""
    run = python_on_cuda(SUITES, str(SUITES / "simulated_device.py"))
    assert run.code == 0, run.err
    answer = json.loads(run.out)
    expected = {
        "another device": "Expected all tensors to be on the same device, but found at least two",
        "its generator": "Expected a 'cuda' device type for generator but found 'cpu'",
        "numpy": "can't convert cuda:0 device type tensor to numpy.",
        "a copy in a capture": "CUDA error: operation not permitted when stream is capturing",
        "a wait in a capture": "CUDA error: operation not permitted when stream is capturing",
        "a clock read early": "the clock was read with 1 operations pending",
    }
    refused = answer["refused"]
    assert {name: refused[name][: len(text)] for name, text in expected.items()} == expected
    assert answer["copies"] == {
        "eager": 15,
        "eager, a step more": 21,
        "graph": 15,
        "graph, a step more": 21,
        "preprocess": 3,
        "reference": 2,
    }


def test_the_doctor_finds_the_device_and_watches_it() -> None:
    without_julia = {"PYTHON_JULIACALL_EXE": "julia"}  # else it would start, and add CUDA.jl
    run = python_on_cuda(SUITES, "-m", "pipeline", "doctor", **without_julia)
    assert run.code == 0, run.err
    states = dict(line.split(maxsplit=1) for line in run.out.splitlines() if line.startswith("C"))
    assert states["CUDA"].strip() == "here"
    of_gpu = [line for line in run.out.splitlines() if line.startswith(("GPU", "foreign GPU"))]
    assert len([line for line in of_gpu if " watched " in line]) == 6
    assert not [line for line in of_gpu if "not watched" in line]


def test_validate_answers_on_it_as_without_a_device(capsys: pytest.CaptureFixture[str]) -> None:
    question = ("validate", "--sd-model=tiny", "--size=64", "--dtype=float16")
    without_julia = {"PYTHON_JULIACALL_EXE": "julia"}
    run = python_on_cuda(SUITES, "-m", "pipeline", *question, **without_julia)
    code, out, err = runner(capsys)(*question)
    assert (run.code, run.err) == (code, "\n".join(err))

    def boundaries(lines: list[str]) -> list[str]:
        return [line.rstrip() for line in lines if line.rstrip().endswith(" holds")]

    assert boundaries(run.out.splitlines()) == boundaries(out)
    assert len(boundaries(out)) == 10


def test_a_device_that_torch_cannot_use_costs_only_its_own_rows(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    run = pytest_on_driver(
        copy_of_bench(tmp_path_factory.mktemp("driver")),
        *("bench/test_forward.py", "bench/test_harness.py", "bench/test_end_to_end.py"),
        "--flux-batch=1",
        *("-k", "reference or noop"),
    )
    assert run.code == 0, run.out + run.err
    rows = rows_of(run)
    assert {name: row.status for name, row in rows.items()} == {
        "reference-cpu-batch1": MEASURED,
        "reference-cuda-batch1": UNAVAILABLE,
        "reference-cpu": MEASURED,
        "reference-cuda": UNAVAILABLE,
        "harness-noop": MEASURED,
    }
    assert rows["reference-cpu"].cell.regime["images"] == "pregenerated"
    absent = rows["reference-cuda-batch1"]
    assert absent.reason.startswith("no CUDA in PyTorch ")
    assert absent.remedy == "install a PyTorch build for this driver, or update the driver"
