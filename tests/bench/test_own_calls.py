"""`--preprocess-call` and `--generate-call`: a stage of one's own in the same tables."""

import re
from pathlib import Path

import pytest

from bench.results import record
from bench.results.cell import FAILED, JUDGED, MEASURED, OFF_EXACT
from support.runs import Run, copy_of_bench, pytest_in

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
    """All of these functions, measured in one run beside the stages of this project."""
    folder = copy_of_bench(tmp_path_factory.mktemp("own"))
    (folder / "mine.py").write_text(CODE)
    calls = ",".join(f"mine.py:{name}" for name in ("fast", "nothing", "wide", "levels"))
    ask = f"--preprocess-call {calls} --preprocess-regime file --preprocess-color rgb "
    ask += "--preprocess-format jpeg --preprocess-peer none --preprocess-device cpu "
    ask += "--generate-call mine.py:draw,mine.py:draw_nothing "
    ask += "--sd-model tiny --sd-size 64 --sd-steps 2 --benchmark-max-time 0.2 --benchmark-only "
    ask += "--sd-agreement 10"
    files = ("bench/test_preprocess.py", "bench/test_generate.py", "--benchmark-json=out.json")
    return pytest_in(folder, *files, *ask.split())


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
        if row.status == FAILED
    }
    given = "--preprocess-call mine.py:"
    assert reasons == {
        "nothing": f"{given}nothing: expected a tensor (3, 224, 224), not a NoneType; return one",
        "wide": f"{given}wide: expected a tensor (3, 224, 224), not (3, 10, 10); return one",
        "levels": "batch: values from 27 to 255, expected finite values in [0, 1]",
        "draw_nothing": "image: a NoneType, expected one of Pillow",
    }


def test_a_file_that_is_not_there_is_refused_before_anything_is_collected(tmp_path: Path) -> None:
    for option in ("--preprocess-call", "--generate-call"):
        asked = pytest_in(copy_of_bench(tmp_path / option[2:]), "bench/", option, "no.py:x")
        assert asked.code == pytest.ExitCode.USAGE_ERROR
        line = f"ERROR: {option} no.py:x: expected a file that exists; check the path"
        assert asked.err.strip() == line
