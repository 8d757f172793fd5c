"""The first contact with a GPU, on the simulated one: what it verifies, prints and leaves."""

import json
import os
from pathlib import Path

import pytest

from bench import first_contact
from support.runs import Run, copy_of_bench
from support.simulation import BRIEF, python_on_cuda

pytestmark = pytest.mark.skipif(
    "SIMULATED_CUDA_TESTS" not in os.environ,
    reason="minutes on a simulated device: SIMULATED_CUDA_TESTS=1 runs it",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return python_on_cuda(
        copy_of_bench(tmp_path_factory.mktemp("contact")),
        *("-m", "bench.first_contact", "--model=tiny", "--size=64", "--steps=1"),
        *("--large=--sd-batch 4", f"--pytest={' '.join(BRIEF)}"),
        *("--only", "contracts", "modes", "memory"),
        SIMULATED_FAULT="out of memory",
    )


def test_every_fact_holds_on_a_device_that_works(run: Run) -> None:
    assert (run.code, run.err) == (0, ""), run.out
    assert "FAIL" not in run.out
    titles = [line.split(":")[0] for line in run.out.splitlines() if line.startswith("== ")]
    assert titles == ["== contracts", "== modes", "== memory"]
    for words in (
        "ok   driver 580.65.06, torch ",
        "ok   tiny-cuda-float16-64x64-graph-1steps: at most 0 levels of 255 off eager",
        " × eager, ",
        "ok   out of memory: CUDA out of memory. Tried to allocate 20.00 GiB.",
        "ok   the cell after it was measured",
    ):
        assert words in run.out


def test_each_part_leaves_its_results(run: Run) -> None:
    outcomes = json.loads((run.folder / "first-contact" / "first-contact.json").read_text())
    assert [outcome["part"] for outcome in outcomes] == ["contracts", "modes", "memory"]
    assert all(outcome["ended"] == "exit code 0" for outcome in outcomes)
    for outcome in outcomes:
        assert (run.folder / "first-contact" / f"{outcome['part']}.json").exists()


def test_all_parts_together_end_within_nine_minutes() -> None:
    assert sum(part.limit_s for part in first_contact.PARTS) <= 9 * 60


def test_a_folder_that_is_a_file_is_a_wrong_question(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    assert first_contact.main(["--out", str(file)]) == 2
    assert capsys.readouterr().err == (
        f"--out {file}: expected a folder, but {file} is a file; change --out\n"
    )
