"""Bulk runs in this process: what they leave, what they continue, and how they end."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline import files
from pipeline.bulk import dataset, stages
from pipeline.errors import PipelineError
from support import warm
from support.bulk import REFERENCE, TINY, images, pictures, prompts, rows
from support.commands import Command
from support.helpers import ROOT

pytest.importorskip("pyarrow")

OUT = Path("out")


def test_prompts_become_rows_with_scores_and_pictures_by_id(command: Command) -> None:
    Path("p.jsonl").write_text('{"prompt": "a", "id": "x/1", "seed": 7}\n{"prompt": "b"}\n')
    code, out, err = command(*TINY, "--prompts", "p.jsonl", "--out", "out")
    assert (code, err) == (0, ["run: 2 items"])
    assert [line.split()[0] for line in out[:4]] == ["stage", "generate", "preprocess", "forward"]
    assert out[4].startswith("2 items in ")
    [other, named] = rows(OUT)
    assert (named["id"], named["seed"], named["steps"], named["error"]) == ("x/1", 7, 2, None)
    assert (named["width"], named["height"], len(named["scores"])) == (64, 64, 10)
    assert named["top_class"] == max(range(10), key=named["scores"].__getitem__)
    assert json.loads(named["made_by"])["seed"] == "7"
    assert other["prompt"] == "b"
    assert set(images(OUT)) == {named["image"], other["image"]}


def test_a_picture_is_the_one_that_generate_draws(command: Command) -> None:
    Path("p.jsonl").write_text('{"prompt": "a river", "id": "x", "seed": 7}\n')
    command(*TINY, "--prompts", "p.jsonl", "--out", "out")
    question = ("--prompt", "a river", "--seed", "7", "--count", "1", "--sd-model", "tiny")
    command("generate", *question, "--steps", "2", "--out", "one")
    [picture] = images(OUT).values()
    assert picture == Path("one/generated_image_1.png").read_bytes()


def test_pictures_may_be_in_the_dataset(command: Command) -> None:
    prompts(Path("p.txt"), 1)
    for store in ("files", "parquet"):
        command(*TINY, "--prompts", "p.txt", "--out", store, "--store", store)
    [row] = rows(Path("parquet"))
    assert row["image"] is None
    assert [row["image_bytes"]] == list(images(Path("files")).values())
    assert not images(Path("parquet"))


def test_images_are_scored_as_run_scores_them(command: Command) -> None:
    import numpy as np

    from pipeline import preprocess
    from pipeline.flux import network

    folder = pictures(Path("photos"), 5)
    question = ("--images", "photos", "--out", "out", "--batch", "2", "--workers", "2")
    assert command(*REFERENCE, *question)[0] == 0
    paths = sorted(folder.iterdir())
    expected = network.forward(preprocess(paths))
    found = sorted(rows(OUT), key=lambda row: str(row["image"]))
    assert [row["image"] for row in found] == [str(path.absolute()) for path in paths]
    scores = np.array([row["scores"] for row in found])
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert {(row["width"], row["height"]) for row in found} == {(48, 48)}


def test_a_bad_image_is_a_row_with_its_error_and_the_code_is_1(command: Command) -> None:
    pictures(Path("photos"), 3)
    Path("photos/bad.png").write_bytes(b"no image")
    question = (*REFERENCE, "--images", "photos", "--out", "out")
    code, out, err = command(*question)
    assert code == 1
    [bad] = [row for row in rows(OUT) if row["error"]]
    path = Path("photos/bad.png").absolute()
    expected = "expected a format that Pillow reads, such as PNG or JPEG; convert it"
    assert bad["error"] == f"image {path}: {expected}"
    assert (bad["scores"], bad["image"]) == (None, None)
    assert err == ["run: 4 items", f"{bad['id']}: {bad['error']}"]
    assert out[-1] == "failed: 1 row of the dataset; see the column error"
    assert command(*question)[0] == 1
    assert len(rows(OUT)) == 4


def test_a_prompt_that_fails_is_a_row_with_its_error(command: Command) -> None:
    Path("p.jsonl").write_text('{"prompt": "a", "steps": 5000}\n{"prompt": "b"}\n')
    code, _, _ = command(*TINY, "--prompts", "p.jsonl", "--out", "out")
    assert code == 1
    errors = {row["prompt"]: row["error"] for row in rows(OUT)}
    assert errors["b"] is None
    assert errors["a"].startswith("steps 5000: expected at most 1000")


def test_too_many_errors_end_a_run_and_the_same_command_goes_on(command: Command) -> None:
    pictures(Path("photos"), 8)
    for number in range(3):
        Path(f"photos/a{number}.png").write_bytes(b"no image")
    question = (*REFERENCE, "--images", "photos", "--out", "out", "--batch", "1")
    code, _, err = command(*question, "--max-errors", "1")
    assert code == 1
    assert err[-1] == "stopped: 2 errors, more than --max-errors 1; the same command goes on"
    assert len(rows(OUT)) == 2
    code, _, err = command(*question, "--max-errors", "20%")
    assert (code, err[0]) == (1, "2 items were done before")
    assert len(rows(OUT)) == 11


def test_the_same_command_does_only_what_is_missing(command: Command) -> None:
    prompts(Path("p.txt"), 3)
    question = (*TINY, "--prompts", "p.txt", "--out", "out", "--batch", "1")
    command(*question)
    whole, pictures_ = rows(OUT), images(OUT)
    first = sorted(Path("out/dataset").iterdir())[0]
    first.unlink()
    Path("out/dataset/.part-1.parquet.x.part").write_bytes(b"half")
    code, _, err = command(*question)
    assert (code, err) == (0, ["2 items were done before", "run: 1 item"])
    assert (rows(OUT), images(OUT)) == (whole, pictures_)
    assert not list(Path("out/dataset").glob(".*"))
    code, out, err = command(*question)
    assert (code, out, err) == (0, ["nothing is missing"], ["3 items were done before"])


def test_a_part_of_another_dataset_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    (tmp_path / "dataset").mkdir()
    part = tmp_path / "dataset" / "part-1.parquet"
    for columns in ({"a": [1]}, {"id": [1], "error": [""]}):
        parquet.write_table(pa.table(columns), part)
        with pytest.raises(PipelineError, match=r"part-1.parquet: expected a part of a dataset \("):
            dataset.read(tmp_path)


def test_other_settings_are_refused_naming_the_difference(command: Command) -> None:
    prompts(Path("p.txt"), 1)
    command(*TINY, "--prompts", "p.txt", "--out", "out")
    question = (*TINY, "--prompts", "p.txt", "--out", "out", "--guidance", "2", "--steps", "3")
    assert command(*question) == (
        2,
        [],
        [
            "--out out: expected the settings of the run that it holds: steps 2, not 3; guidance "
            "unset, not 2.0; repeat that command, or choose another --out"
        ],
    )


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            ("--prompts", "p.txt", "--images", "p.txt"),
            "--prompts and --images: expected one of them; leave one out",
        ),
        (
            ("--prompts", "p.txt", "--count", "5"),
            "--count with --prompts: expected one of them; leave one out",
        ),
        (
            ("--images", "photos", "--steps", "5"),
            "--steps with --images: expected one of them; leave one out",
        ),
        (
            ("--images", "none"),
            "image none: expected a file that exists, or a folder of images; check the path",
        ),
        (
            ("--prompts", "none.txt"),
            "--prompts none.txt: expected a file that exists; check the path",
        ),
        (
            ("--prompts", "p.txt", "--workers", "generate=2"),
            "--workers generate=2 in one process: expected 1: one process holds one; add --ray "
            "local",
        ),
        (
            ("--prompts", "p.txt", "--workers", "draw=2"),
            "--workers draw=2: expected a number, or generate=N, preprocess=N, forward=N; change "
            "--workers",
        ),
        (
            ("--prompts", "p.txt", "--max-errors", "101%"),
            "--max-errors 101%: expected a number such as 10, or 5%; change --max-errors",
        ),
        (
            ("--prompts", "p.txt", "--ray", "nowhere"),
            "--ray nowhere: expected auto, local, or an address such as 10.0.0.1:6379; change "
            "--ray",
        ),
        (
            ("--ray", "local"),
            "--ray without --prompts or --images: expected many items; add --prompts FILE or "
            "--images FOLDER",
        ),
    ],
)
def test_a_wrong_question_is_one_line(
    command: Command, options: tuple[str, ...], error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: Any) -> None:
        raise AssertionError("a model is loaded")

    monkeypatch.setattr("pipeline.stable_diffusion.models.load", load)
    prompts(Path("p.txt"), 1)
    pictures(Path("photos"), 1)
    assert command(*REFERENCE, *options) == (2, [], [error])


def test_prompts_without_a_model_are_refused(command: Command) -> None:
    prompts(Path("p.txt"), 1)
    code, _, [line] = command(*REFERENCE, "--prompts", "p.txt")
    assert (code, line.startswith("--prompts without a model: expected CUDA (no CUDA")) == (2, True)


def test_without_julia_there_are_rows_without_scores_and_a_line_says_why(command: Command) -> None:
    pictures(Path("photos"), 1)
    code, _, err = command("run", "--images", "photos", "--out", "out")
    assert code == 0
    assert err[0].startswith("no scores: no Julia")
    [row] = rows(OUT)
    assert (row["scores"], row["error"]) == (None, None)


@pytest.mark.parametrize(("name", "extra"), [("pyarrow", "bulk"), ("ray", "cluster")])
def test_without_an_extra_one_line_says_what_to_install(
    command: Command, monkeypatch: pytest.MonkeyPatch, name: str, extra: str
) -> None:
    from importlib import util

    from pipeline.bulk import needs

    def absent(module: str) -> Any:
        return None if module == name else util.find_spec(module)

    monkeypatch.setattr(needs, "find_spec", absent)
    code, _, [line] = command("run", "--images", "photos", "--ray", "local")
    assert code == 2
    assert line.endswith(f'which is not installed; pip install -e ".[{extra}]"')


def test_a_full_disk_ends_the_run_and_keeps_what_is_whole(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts(Path("p.txt"), 4)
    question = (*TINY, "--prompts", "p.txt", "--out", "out", "--batch", "1")
    written = []
    replacing = files._replacing

    def full(path: Path) -> Any:
        if path.suffix == ".parquet":
            written.append(path)
            if len(written) == 3:
                raise OSError(28, "No space left on device")
        return replacing(path)

    monkeypatch.setattr(files, "_replacing", full)
    code, _, [line] = command(*question)
    assert code == 2
    assert "expected a place that can be written (No space left on device)" in line
    assert len(rows(OUT)) == 2


def test_a_folder_that_another_run_writes_to_is_refused(command: Command) -> None:
    pictures(Path("photos"), 1)
    with dataset.locked(OUT):
        code, _, err = command(*REFERENCE, "--images", "photos", "--out", "out")
    expected = "--out out: expected a folder that no other run writes to; wait for it, or choose"
    assert (code, err) == (2, [f"{expected} another"])


def test_a_picture_that_was_drawn_before_is_not_drawn_again(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts(Path("p.txt"), 2)
    question = (*TINY, "--prompts", "p.txt", "--out", "out")
    command(*question)
    whole = rows(OUT)
    for part in Path("out/dataset").iterdir():
        part.unlink()

    def draw(*_: Any) -> None:
        raise PipelineError("a picture", "one from before", "look")

    monkeypatch.setattr(stages.diffusion.Drawing, "draw", draw)
    assert command(*question)[0] == 0
    assert rows(OUT) == whole


# Processes of their own: what a signal leaves.


def interrupted(question: tuple[str, ...], parts: int, sent: signal.Signals) -> tuple[int, str]:
    """Send a run a signal once it has written parts; return its code, and what it says of it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = warm.start(Path.cwd(), "pipeline", *question, environment=environment)
    while len(list(Path("out/dataset").glob("*.parquet"))) < parts:
        assert psutil.pid_exists(process.pid), process.wait()
        time.sleep(0.02)
    process.send(sent)
    code, _, err = process.wait()
    return code, err


def test_a_run_that_is_ended_twice_is_continued_to_the_same_dataset(command: Command) -> None:
    prompts(Path("p.txt"), 40)
    question = (*TINY, "--prompts", "p.txt", "--batch", "1", "--out")
    code, err = interrupted((*question, "out"), 3, signal.SIGINT)
    assert code == 130
    assert err.splitlines()[-1] == "interrupted: every file that was written is whole"
    before = len(rows(OUT))
    assert 3 <= before < 40
    code, err = interrupted((*question, "out"), before + 3, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert err.splitlines()[0] == f"{before} items were done before"
    before = len(rows(OUT))
    code, _, err_lines = command(*question, "out")
    assert (code, err_lines[0]) == (0, f"{before} items were done before")
    command(*question, "undisturbed")
    assert images(OUT) == images(Path("undisturbed"))
    assert rows(OUT) == rows(Path("undisturbed"))
