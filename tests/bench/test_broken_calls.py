"""Calls that break their contract: a row with the reason, no number, and the others go on.

They are functions of one's own (`--preprocess-call`, `--generate-call`), and the tiny pipeline with
a fault that spoils its picture without an error; all are measured in one run.
"""

import re
import shutil
from pathlib import Path

import pytest

from bench.results import record
from bench.results.cell import FAILED, JUDGED, MEASURED, OFF_EXACT
from support.runs import SUITES, Run, copy_of_bench, pytest_in

CODE = """\
import numpy as np
from PIL import Image


def fast(path):
    with Image.open(path) as image:
        small = image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    return np.asarray(small, np.float32).transpose(2, 0, 1).copy() / 255


def nothing(path):
    return None


def wide(path):
    return np.zeros((3, 10, 10), np.float32)


def levels(path):
    return fast(path) * 255


def draw(width, height, seeds):
    shape = height, width, 3
    drawn = (np.random.default_rng(seed).integers(0, 255, shape, np.uint8) for seed in seeds)
    return [Image.fromarray(levels) for levels in drawn]


def draw_nothing(prompt):
    return None
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All of these functions, beside the stages of this project, and the faults."""
    folder = copy_of_bench(tmp_path_factory.mktemp("own"))
    (folder / "mine.py").write_text(CODE)
    faults = shutil.copy(SUITES / "silent_failures.py", folder / "test_faults.py").name
    calls = ",".join(f"mine.py:{name}" for name in ("fast", "nothing", "wide", "levels"))
    ask = f"--preprocess-call {calls} --preprocess-regime file --preprocess-color rgb "
    ask += "--preprocess-format jpeg --preprocess-peer none --preprocess-device cpu "
    ask += "--generate-call mine.py:draw,mine.py:draw_nothing "
    ask += "--sd-model tiny --sd-size 64 --sd-steps 2 --benchmark-max-time 0.2 --benchmark-only "
    ask += "--sd-agreement 10"
    files = ("bench/test_preprocess.py", "bench/test_generate.py", faults)
    return pytest_in(folder, *files, "--benchmark-json=out.json", *ask.split())


def test_what_holds_is_measured_beside_ours_with_its_ratio(run: Run) -> None:
    rows = {row.cell.id: row for row in record.load(run.folder / "out.json").rows}
    measured = {name for name, row in rows.items() if row.status == MEASURED}
    assert measured == {
        "file-jpeg-512x512-rgb",
        "file-jpeg-512x512-rgb-mine.fast",
        "tiny-cpu-float32-64x64-2steps",
        "tiny-cpu-float32-64x64-2steps-mine.draw",
    }
    assert rows["file-jpeg-512x512-rgb-mine.fast"].extra[OFF_EXACT] == 0
    assert rows["tiny-cpu-float32-64x64-2steps-mine.draw"].weights == "of mine.draw"
    text = " ".join(run.out.split())
    assert rows["tiny-cpu-float32-64x64-2steps"].extra[JUDGED] == 10
    assert "no agreement of mine.draw: the network that judges was trained on" in text
    for name in ("mine.fast", "mine.draw"):
        assert re.search(rf"{name}\S*: [\d. ]+ × the speed of this project's", text), run.out


def test_what_breaks_the_contract_is_one_line_and_no_number(run: Run) -> None:
    assert run.code == pytest.ExitCode.TESTS_FAILED
    assert "Traceback" not in run.out
    rows = {row.cell.id: row for row in record.load(run.folder / "out.json").rows}
    reasons = {
        name.rpartition("mine.")[2]: row.reason
        for name, row in rows.items()
        if row.status == FAILED and "mine." in name
    }
    given = "--preprocess-call mine.py:"
    assert reasons == {
        "nothing": f"{given}nothing: expected a tensor (3, 224, 224), not a NoneType; return one",
        "wide": f"{given}wide: expected a tensor (3, 224, 224), not (3, 10, 10); return one",
        "levels": "batch: values from 27 to 255, expected finite values in [0, 1]",
        "draw_nothing": "image: a NoneType, expected one of Pillow",
    }


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (
            "nan",
            "image 1: NaN in 25% of its levels: expected finite levels; "
            "check the weights and the configurations, such as scaling_factor",
        ),
        ("smaller", "image 1: 32x64, expected 64x64"),
        (
            "black",
            "image 1: one flat colour (standard deviation 0.00 of 255), expected a picture",
        ),
        (
            "blanked",
            "image 1: blanked by the safety checker: expected a picture; "
            "try another prompt or seed, or a model without a safety checker",
        ),
    ],
)
def test_a_picture_that_failed_silently_is_a_row_that_says_how(
    run: Run, fault: str, reason: str
) -> None:
    row = run.others[f"{fault}-64x64-1steps"]
    assert row["status"] == FAILED
    assert row["reason"] == reason
    assert row["samples"] == []


def test_a_file_that_is_not_there_is_refused_before_anything_is_collected(tmp_path: Path) -> None:
    for option in ("--preprocess-call", "--generate-call"):
        asked = pytest_in(copy_of_bench(tmp_path / option[2:]), "bench/", option, "no.py:x")
        assert asked.code == pytest.ExitCode.USAGE_ERROR
        line = f"ERROR: {option} no.py:x: expected a file that exists; check the path"
        assert asked.err.strip() == line
