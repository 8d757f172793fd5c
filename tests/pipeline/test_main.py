"""python -m pipeline: wrong questions, exit codes, and what a process leaves behind."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline import pregenerated
from support.commands import GENERATED, PHOTO, PREPROCESSED, Command, files
from support.helpers import fresh_python

# Questions that are wrong.

COUNT = "expected a whole number of at least 1"
SIZE = "expected 512 or 768x512 (width × height)"
NO_FOLDER = "expected a folder with a model_index.json; name the folder that save_pretrained wrote"

WRONG = {
    "validate --size 0": "--size 0: expected at least 1 pixel a side; change --size",
    "validate --size lots": f"--size lots: {SIZE}; change --size",
    "validate --batch 0": f"--batch 0: {COUNT}; change --batch",
    "validate --memory lots": "--memory lots: expected a size such as 8GB or 8GiB; change --memory",
    "validate --dtype int8": (
        "--dtype int8: expected float16 or bfloat16 or float32; change --dtype"
    ),
    "validate --channels 2": "--channels 2: expected 1 or 3; change --channels",
    "validate --sd-model .": f"--sd-model .: {NO_FOLDER}",
    "validate --size 64,,72": (
        "list '64,,72': expected values separated by commas; remove the empty one"
    ),
    "generate --sd-model nonsense": (
        "--sd-model nonsense: expected tiny, arch:NAME, an existing folder, or a hub id such as "
        "owner/name; check the spelling"
    ),
    "generate --sd-model arch:sd99": (
        "--sd-model arch:sd99: expected one of arch:sd15, arch:sd21, arch:sdxl, arch:sd35-medium; "
        "choose one of them"
    ),
    "run --sd-model .": f"--sd-model .: {NO_FOLDER}",
    "generate --size 100": "--size 100: expected sides divisible by 8; try 96x96 or 104x104",
    "generate --sd-model tiny --size wide": f"--size wide: {SIZE}; change --size",
    "generate --sd-model tiny --guidance -1": (
        "--guidance -1: expected a number from 0; change --guidance"
    ),
    "generate --sd-model tiny --scheduler eular": (
        "--scheduler eular: expected one of ddim, ddpm, dpm++, dpm++-single, euler, "
        "euler-ancestral, heun, pndm, unipc; change --scheduler"
    ),
    "generate --sd-model tiny --steps 0": f"--steps 0: {COUNT}; change --steps",
    "run --steps -3": f"--steps -3: {COUNT}; change --steps",
    "generate --count 0": f"--count 0: {COUNT}; change --count",
    "generate --pregenerated --count 4": (
        "--count 4: expected at most 3 without a model; leave --pregenerated out"
    ),
    "preprocess IMAGE --size 0": f"--size 0: {COUNT}; change --size",
    "preprocess IMAGE --workers 0": f"--workers 0: {COUNT}; change --workers",
    "preprocess nowhere.png nothing.png": (
        "image nowhere.png, nothing.png: expected a file that exists, or a folder of images; "
        "check the path"
    ),
    "forward IMAGE --top 0": f"--top 0: {COUNT}; change --top",
    "forward IMAGE --flux-model nowhere.jl": (
        "--flux-model nowhere.jl: expected a file that exists; check the path"
    ),
    "run --require gpu": (
        "--require gpu: expected cuda or compiler or julia or peers; change --require"
    ),
    "run --require cuda,": (
        "list 'cuda,': expected values separated by commas; remove the empty one"
    ),
}


@pytest.mark.parametrize("question", WRONG)
def test_a_wrong_question_is_one_line_and_exit_code_2(command: Command, question: str) -> None:
    code, _, said = command(*question.replace("IMAGE", PHOTO).split())
    assert (code, said) == (2, [WRONG[question]])
    assert files() == []


@pytest.mark.parametrize("question", ["--steps 1001", "--seed 99999999999999999999"])
def test_a_number_that_is_too_large_for_the_library_is_exit_code_2(
    command: Command, question: str
) -> None:
    code, out, said = command("generate", "--sd-model", "tiny", *question.split())
    assert (code, out, len(said)) == (2, [], 1)
    assert files() == []


@pytest.mark.parametrize(
    ("question", "line"),
    [
        ("", r": the following arguments are required: COMMAND"),
        ("paint", r": argument COMMAND: invalid choice: 'paint' .*"),
        ("generate --sed 1", r": unrecognized arguments: --sed 1"),
        ("generate --seed x", r" generate: argument --seed: invalid int value: 'x'"),
        ("run --device tpu", r" run: argument --device: invalid choice: 'tpu' .*"),
        ("preprocess", r" preprocess: the following arguments are required: PATH"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(
    command: Command, question: str, line: str
) -> None:
    code, out, said = command(*question.split())
    assert (code, out, len(said)) == (2, [], 1)
    assert re.fullmatch(rf"python -m pipeline{line}; see python -m pipeline\b.* --help", said[0])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", r"an image, but it is empty; make it again"),
        (b"no image", r"a format that Pillow reads, such as PNG or JPEG; convert it"),
        (
            Path(PHOTO).read_bytes()[:9999],
            r"a whole image file \(.+\); make or copy it again",
        ),
        (None, "a file that exists; check the path"),
    ],
    ids=["empty", "text", "truncated", "missing"],
)
def test_an_image_that_cannot_be_read_is_skipped_and_leaves_nothing_half_written(
    command: Command, content: bytes | None, expected: str
) -> None:
    if content is not None:
        Path("in.png").write_bytes(content)
    code, out, said = command("preprocess", PHOTO, "in.png", "--out", "out")
    assert (code, out) == (1, [f"out/{PREPROCESSED[0]}"])
    assert (said[0], said[2]) == ("preprocess: 2 images", "skipped 1 of 2 images")
    assert re.fullmatch(f"image in.png: expected {expected}", said[1])
    assert set(files()) - {"in.png", "out"} == set(out)


def test_a_second_run_does_nothing_twice(command: Command) -> None:
    assert command("preprocess", PHOTO)[0] == 0
    assert command("preprocess", PHOTO) == (
        0,
        [],
        ["1 image was preprocessed before", "preprocess: 0 images"],
    )


# Places that cannot be written.


@pytest.mark.parametrize("question", [("generate",), ("run",), ("preprocess", PHOTO)])
@pytest.mark.parametrize("out", ["file", "file/run"])
def test_an_output_folder_at_or_below_a_file_is_refused_before_any_work(
    command: Command, question: tuple[str, ...], out: str
) -> None:
    Path("file").write_text("mine")
    assert command(*question, "--out", out) == (
        2,
        [],
        [f"--out {out}: expected a folder, but file is a file; change --out"],
    )
    assert files() == ["file"]
    assert Path("file").read_text() == "mine"


def test_a_file_that_cannot_be_written_is_refused_and_leaves_no_other(command: Command) -> None:
    Path("run", GENERATED[0]).mkdir(parents=True)
    code, _, said = command("generate")
    assert (code, said) == (
        2,
        [
            f"output run/{GENERATED[0]}: expected a place that can be written (Is a directory); "
            "choose another folder"
        ],
    )
    assert files("run") == [GENERATED[0]]


# Leaving early, and help.


def test_an_interrupt_is_one_line_and_exit_code_130(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    code, out, said = command("generate", "--pregenerated")
    assert (code, out) == (130, [pregenerated.NOTICE])
    assert said == ["interrupted: every file that was written is whole"]
    assert files("run") == []


@pytest.mark.parametrize("question", [("--help",), ("forward", "--help")])
def test_help_says_which_flux_is_meant(command: Command, question: tuple[str, ...]) -> None:
    code, out, _ = command(*question)
    words = " ".join(" ".join(out).split())
    assert code == 0
    assert "Flux.jl, the Julia library (not the FLUX.1 image model)" in words


# The same in processes of their own, with what this machine has; only CUDA is hidden.


def test_a_run_leaves_six_images_and_scores(tmp_path: Path) -> None:
    from pipeline.flux import network as reference
    from pipeline.flux import scoring
    from pipeline.preprocessing import preprocess as preprocessing

    out = tmp_path / "run"
    done = fresh_python("-m", "pipeline", "run", "--out", str(out), CUDA_VISIBLE_DEVICES="")
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    said = lines.pop(3)
    assert said.startswith("drawn by tiny, a small Stable Diffusion")
    assert lines[:6] == [str(out / name) for name in GENERATED + PREPROCESSED]
    assert files(str(out)) == GENERATED + PREPROCESSED
    by_reference = len(lines) == 10
    if by_reference:
        assert re.fullmatch(r"scores by the PyTorch .+ \(no (Julia|Flux\.jl): .+\)", lines[6])
    batch = preprocessing.preprocess([out / name for name in GENERATED])
    names = reference.class_names(reference.weights_path(3))
    shares = scoring.probabilities(reference.forward(batch))
    for line, name, row in zip(lines[6 + by_reference :], PREPROCESSED, shares, strict=True):
        assert line.startswith(f"{name}: {names[row.argmax()]} ")
        printed = [float(share) for share in re.findall(r"(\d+\.\d)%", line)]
        assert printed == pytest.approx(sorted(100 * row)[:-4:-1], abs=0.11)


def test_a_terminal_without_the_signs_gets_others_for_them(tmp_path: Path) -> None:
    done = fresh_python(
        *("-m", "pipeline", "generate", "--pregenerated", "--count", "1"),
        *("--out", str(tmp_path / "\u00fc")),
        CUDA_VISIBLE_DEVICES="",
        PYTHONIOENCODING="ascii",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == str(tmp_path / "?" / "generated_image_1.png")
