"""python -m pipeline: what each command leaves and says, and how it refuses."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import __main__ as command_line
from pipeline import availability, pregenerated
from pipeline.errors import Missing
from pipeline.flux import julia
from pipeline.stable_diffusion.diffusion import PROMPT
from pipeline.stable_diffusion.models import TINY
from support.helpers import NO_CUDA, ROOT, fresh_python, hide_julia

GENERATED = [f"generated_image_{number}.png" for number in (1, 2, 3)]
PREPROCESSED = [f"preprocessed_image_{number}.png" for number in (1, 2, 3)]
PHOTO = str(pregenerated.paths()[0])

Answer = tuple[int, list[str], list[str]]
Command = Callable[..., Answer]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run a command in an empty folder, with no CUDA and no Julia; return its code and lines.

    How long something took is cut from the lines.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(availability, "cuda", lambda: NO_CUDA)
    monkeypatch.setattr(availability, "torch_cuda", lambda: NO_CUDA)
    hide_julia(monkeypatch)

    def run(*arguments: str) -> Answer:
        capsys.readouterr()
        try:
            code = command_line.main(arguments)
        except SystemExit as left:
            code = int(str(left.code))
        out, err = capsys.readouterr()
        return code, out.splitlines(), re.sub(r" in \d+\.\d s\n", "\n", err).splitlines()

    return run


def files(folder: str = ".") -> list[str]:
    """Every file and folder below `folder`."""
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*"))


def opened(path: Path) -> Any:
    from PIL import Image

    with Image.open(path) as image:
        image.load()
        return image


# generate


def test_generate_without_a_model_copies_the_pregenerated_images_and_says_so(
    command: Command,
) -> None:
    assert command("generate") == (
        0,
        [pregenerated.NOTICE, *(f"run/{name}" for name in GENERATED)],
        [],
    )
    assert files("run") == GENERATED
    for path in pregenerated.paths():
        assert Path("run", path.name).read_bytes() == path.read_bytes()


def test_generate_writes_what_the_model_makes(command: Command) -> None:
    from pipeline.stable_diffusion import diffusion

    question = ("--sd-model", "tiny", "--count", "2", "--steps", "2", "--seed", "7")
    assert command("generate", *question, "--size", "64x72", "--out", "a/b") == (
        0,
        ["a/b/generated_image_1.png", "a/b/generated_image_2.png"],
        ["generate: 4 steps"],
    )
    assert files("a/b") == GENERATED[:2]
    expected = diffusion.generate(PROMPT, 2, 7, (64, 72), 2, "tiny", "cpu")
    for name, image in zip(GENERATED, expected, strict=False):
        assert opened(Path("a/b", name)).tobytes() == image.tobytes()


def test_a_model_defaults_to_its_own_size_and_steps(command: Command) -> None:
    code, _, said = command("generate", "--sd-model", "tiny", "--count", "1")
    assert (code, said) == (0, ["generate: 4 steps"])
    assert opened(Path("run", GENERATED[0])).size == (64, 64)


QUESTION = ("generate", "--sd-model", "tiny", "--steps", "2", "--count", "2")


def bytes_in(folder: str) -> list[bytes]:
    return [Path(folder, name).read_bytes() for name in files(folder)]


def test_the_same_command_writes_the_same_bytes_and_another_seed_others(command: Command) -> None:
    for seed, out in (("7", "a"), ("7", "b"), ("8", "c")):
        assert command(*QUESTION, "--seed", seed, "--out", out)[0] == 0
    assert bytes_in("a") == bytes_in("b")
    for one, other in zip(bytes_in("a"), bytes_in("c"), strict=True):
        assert one != other


def test_a_png_says_what_made_it_and_names_no_folder(command: Command, tmp_path: Path) -> None:
    shutil.copytree(TINY, tmp_path / "mine")
    model = str(tmp_path / "mine")
    others = ("--negative-prompt", "雨", "--guidance", "3.5", "--dtype", "bfloat16")
    question = (*QUESTION, "--sd-model", model, "--device", "cpu", "--size", "64x72", *others)
    assert command(*question, "--scheduler", "pndm", "--prompt", "a river", "--seed", "7")[0] == 0
    assert opened(Path("run", GENERATED[1])).text == {
        "prompt": "a river",
        "negative prompt": "雨",
        "seed": "8",
        "steps": "2",
        "guidance": "3.5",
        "size": "64x72",
        "scheduler": "PNDMScheduler",
        "model": "folder mine",
        "dtype": "bfloat16",
        "device": "cpu",
    }


def test_what_is_not_asked_for_is_the_models_own(command: Command) -> None:
    command("generate", "--sd-model", "tiny", "--count", "1")
    text = opened(Path("run", GENERATED[0])).text
    assert (text["prompt"], text["negative prompt"], text["seed"]) == (PROMPT, "", "0")
    assert (text["steps"], text["guidance"], text["size"]) == ("4", "7.5", "64x64")
    assert (text["scheduler"], text["dtype"]) == ("DDIMScheduler", "float32")


@pytest.mark.parametrize(
    "option",
    [
        ("--negative-prompt", "rain"),
        ("--guidance", "1"),
        ("--scheduler", "pndm"),
        ("--dtype", "bfloat16"),
        ("--prompt", "river"),
    ],
    ids=lambda option: option[0],
)
def test_every_option_changes_the_picture(command: Command, option: tuple[str, str]) -> None:
    command(*QUESTION, "--out", "a")
    command(*QUESTION, *option, "--out", "b")
    one, other = (opened(Path(folder, GENERATED[0])).tobytes() for folder in "ab")
    assert one != other


def test_a_picture_that_breaks_its_contract_is_exit_code_1_and_not_written(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    from pipeline.stable_diffusion import diffusion

    black = [Image.new("RGB", (64, 64))]
    monkeypatch.setattr(diffusion, "generate", lambda *question, **others: black)
    code, out, said = command("generate", "--sd-model", "tiny", "--count", "1")
    assert (code, out) == (1, [])
    assert said[1:] == [
        "image 1: one flat colour (standard deviation 0.00 of 255): expected a picture; "
        "try float32, another seed, or no safety checker"
    ]
    assert files() == []


def test_a_full_size_model_needs_cuda_or_a_word(command: Command) -> None:
    assert command("generate", "--sd-model", "arch:sd15") == (
        1,
        [],
        [
            "--sd-model arch:sd15: expected a CUDA device; no CUDA: this test hides it; "
            "add --device cpu to run it on the CPU, slowly"
        ],
    )
    assert files() == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("size", "768"),
        ("steps", "7"),
        ("negative-prompt", "rain"),
        ("guidance", "3"),
        ("scheduler", "ddim"),
        ("dtype", "float32"),
    ],
)
def test_what_pre_generated_images_cannot_honour_is_refused(
    command: Command, option: str, value: str
) -> None:
    assert command("generate", f"--{option}", value) == (
        2,
        [],
        [
            f"--{option} {value}: expected a model to use it, and there is no CUDA; "
            "add --sd-model tiny"
        ],
    )
    assert files() == []


def test_a_device_that_is_missing_is_exit_code_1(command: Command) -> None:
    assert command("generate", "--sd-model", "tiny", "--device", "cuda") == (
        1,
        [],
        ["--device cuda: expected a CUDA device; no CUDA: this test hides it; run another test"],
    )
    assert files() == []


def test_weights_that_are_missing_are_exit_code_1(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = Missing("weights", "weights", "no weights: this test hides them", "run another test")
    monkeypatch.setattr(availability, "weights", lambda name: missing)
    assert command("generate", "--sd-model", "owner/name", "--device", "cpu") == (
        1,
        [],
        [
            "--sd-model owner/name: expected weights; "
            "no weights: this test hides them; run another test"
        ],
    )
    assert files() == []


# preprocess


def test_preprocess_writes_one_image_for_each_in_order(command: Command) -> None:
    from pipeline.preprocessing import preprocess as preprocessing

    sources = [str(path) for path in pregenerated.paths()]
    assert command("preprocess", *sources) == (
        0,
        [f"run/{name}" for name in PREPROCESSED],
        ["preprocess: 3 images"],
    )
    assert files("run") == PREPROCESSED
    for name, source in zip(PREPROCESSED, sources, strict=True):
        image = opened(Path("run", name))
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (224, 224))
        expected = preprocessing.to_image(preprocessing.preprocess([source])[0])
        assert image.tobytes() == expected.tobytes()


def test_preprocess_takes_a_size_and_gray(command: Command) -> None:
    code, _, _ = command("preprocess", PHOTO, "--size", "100", "--grayscale", "--out", ".")
    image = opened(Path(PREPROCESSED[0]))
    assert (code, image.mode, image.size) == (0, "L", (100, 100))


# forward


def test_forward_without_julia_is_exit_code_1(command: Command) -> None:
    assert command("forward", PHOTO) == (
        1,
        [],
        ["Flux.jl: expected Julia; no Julia: this test hides it; run another test"],
    )


def test_forward_looks_at_the_images_before_it_starts_julia(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(julia, "_start", lambda: pytest.fail("Julia was started"))
    assert command("forward", PHOTO, "nowhere.png") == (
        2,
        [],
        ["image nowhere.png: expected a file that exists; check the path"],
    )


def test_scores_read_by_class_and_the_highest_first_when_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import numpy as np

    scores = np.float32([[0.5, -1.25, 2], [0, 3, 1]])
    command_line._print_scores(["a.png", "b.png"], scores, None)
    command_line._print_scores(["a.png", "b.png"], scores, 2)
    assert capsys.readouterr().out.splitlines() == [
        "a.png: 0: +0.5000  1: -1.2500  2: +2.0000",
        "b.png: 0: +0.0000  1: +3.0000  2: +1.0000",
        "a.png: 2: +2.0000  0: +0.5000",
        "b.png: 1: +3.0000  2: +1.0000",
    ]


# run


def test_run_without_julia_leaves_six_images_and_says_why_there_are_no_scores(
    command: Command,
) -> None:
    assert command("run", "--out", "here") == (
        0,
        [
            pregenerated.NOTICE,
            *(f"here/{name}" for name in GENERATED + PREPROCESSED),
            "no scores: no Julia: this test hides it; run another test",
        ],
        ["preprocess: 3 images"],
    )
    assert files("here") == GENERATED + PREPROCESSED
    assert {opened(Path("here", name)).size for name in PREPROCESSED} == {(224, 224)}


def test_run_with_a_model_preprocesses_what_it_generated(command: Command) -> None:
    from pipeline.preprocessing import preprocess as preprocessing

    code, _, said = command(
        "run", "--sd-model", "tiny", "--count", "1", "--steps", "1", "--grayscale"
    )
    assert (code, said) == (0, ["generate: 1 steps", "preprocess: 1 images"])
    batch = preprocessing.preprocess([Path("run", GENERATED[0])], grayscale=True)
    image = opened(Path("run", PREPROCESSED[0]))
    assert image.tobytes() == preprocessing.to_image(batch[0]).tobytes()


@pytest.mark.parametrize(
    ("need", "line"),
    [
        ("cuda", "--require cuda: expected a CUDA device; no CUDA: this test hides it"),
        ("julia", "--require julia: expected Julia; no Julia: this test hides it"),
    ],
)
def test_what_is_required_and_missing_is_exit_code_1_before_any_work(
    command: Command, monkeypatch: pytest.MonkeyPatch, need: str, line: str
) -> None:
    monkeypatch.setitem(availability.NEEDS, "cuda", lambda: NO_CUDA)
    assert command("run", "--require", need) == (1, [], [f"{line}; run another test"])
    assert files() == []


# doctor


def test_doctor_says_what_is_missing_and_what_to_do(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.metadata import version

    monkeypatch.setattr(availability, "network", lambda: None)
    monkeypatch.setattr(availability, "compiler", lambda: None)
    monkeypatch.setenv("COLUMNS", "120")
    code, lines, said = command("doctor")
    assert (code, said) == (0, [])
    shown = [line.rstrip() for line in lines]
    assert shown[: shown.index("")] == [
        "CUDA                   missing       no CUDA: this test hides it",
        "                                     → run another test",
        "Julia and Flux.jl      missing       no Julia: this test hides it",
        "                                     → run another test",
        "C++ compiler           here",
        "model hub              here",
        *(
            f"{name:<23}here          {version(name)}"
            for name in ("torch", "torchvision", "diffusers", "transformers", "juliacall")
        ),
    ]
    assert "While measuring, these are watched:" in shown
    assert "For steadier numbers:" in shown


@pytest.mark.parametrize("columns", [80, 120])
def test_what_doctor_says_fits_the_terminal(
    columns: int, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(availability, "network", lambda: None)
    monkeypatch.setenv("COLUMNS", str(columns))
    code, lines, _ = command("doctor")
    assert code == 0
    assert max(map(len, lines)) <= columns
    assert not any("…" in line for line in lines)


# validate.


def test_validate_prints_boundaries_and_its_own_time(command: Command) -> None:
    code, out, err = command("validate", "--size", "72x40", "--batch", "2", "--memory", "1GB")
    assert (code, err) == (0, [])
    assert out[0] == "tiny · 72x40 · batch 2 · float32 · RGB"
    assert [line.rsplit(maxsplit=1)[1] for line in out[1:13]] == ["verdict"] + ["holds"] * 11
    assert out[-2] == "shape of scores: by the PyTorch reference (no Julia: this test hides it)"
    assert re.fullmatch(r"checked in \S+ s, after \S+ s of imports", out[-1])


def test_validate_names_the_first_broken_boundary_last(command: Command) -> None:
    code, out, err = command("validate", "--size", "64,513", "--batch", "2")
    assert (code, err) == (1, [])
    assert out[-1] == (
        "does not hold: tiny · 513x513 · batch 2 · float32 · RGB: "
        "size: 513x513, expected sides divisible by 8; try 512x512 or 520x520"
    )


def test_validate_prints_nothing_but_json_when_asked(command: Command) -> None:
    code, out, err = command("validate", "--size", "513", "--json")
    document = json.loads("\n".join(out))
    assert code == 1
    assert err == [document["first_broken"]]
    assert err == [
        "does not hold: size: 513x513, expected sides divisible by 8; try 512x512 or 520x520"
    ]
    assert document["seconds"] > 0
    code, out, err = command("validate", "--json")
    assert (code, err, json.loads("\n".join(out))["holds"]) == (0, [], True)


def test_validate_needs_julia_for_a_flux_model_of_ones_own(command: Command) -> None:
    Path("mine.jl").touch()
    assert command("validate", "--flux-model", "mine.jl:deep") == (
        1,
        [],
        [
            "--flux-model mine.jl:deep: expected Julia; "
            "no Julia: this test hides it; run another test"
        ],
    )


# Questions that are wrong.

UNKNOWN_MODEL = "tiny, arch:NAME, an existing folder, or a hub id such as owner/name"
COUNT = "a whole number of at least 1"

WRONG = [
    (
        ("validate", "--size", "0"),
        "--size 0: expected at least 1 pixel a side; change --size",
    ),
    (
        ("validate", "--size", "lots"),
        "--size lots: expected 512 or 768x512 (width × height); change --size",
    ),
    (("validate", "--batch", "0"), f"--batch 0: expected {COUNT}; change --batch"),
    (
        ("validate", "--memory", "lots"),
        "--memory lots: expected a size such as 8GB or 8GiB; change --memory",
    ),
    (
        ("validate", "--dtype", "int8"),
        "--dtype int8: expected float16 or bfloat16 or float32; change --dtype",
    ),
    (("validate", "--channels", "2"), "--channels 2: expected 1 or 3; change --channels"),
    (
        ("validate", "--sd-model", "."),
        "--sd-model .: expected a folder with a model_index.json; "
        "name the folder that save_pretrained wrote",
    ),
    (
        ("validate", "--size", "64,,72"),
        "list '64,,72': expected values separated by commas; remove the empty one",
    ),
    (
        ("generate", "--sd-model", "nonsense"),
        f"--sd-model nonsense: expected {UNKNOWN_MODEL}; check the spelling",
    ),
    (
        ("generate", "--sd-model", "arch:sd99"),
        "--sd-model arch:sd99: expected one of arch:sd15, arch:sd21, arch:sdxl; choose one of them",
    ),
    (
        ("run", "--sd-model", "."),
        "--sd-model .: expected a folder with a model_index.json; "
        "name the folder that save_pretrained wrote",
    ),
    (
        ("generate", "--sd-model", "tiny", "--size", "100"),
        "--size 100: expected sides divisible by 8; try 96x96 or 104x104",
    ),
    (
        ("generate", "--sd-model", "tiny", "--guidance", "-1"),
        "--guidance -1: expected a number from 0; change --guidance",
    ),
    (
        ("generate", "--sd-model", "tiny", "--scheduler", "eular"),
        "--scheduler eular: expected one of ddim, ddpm, dpm++, dpm++-single, euler, "
        "euler-ancestral, heun, pndm, unipc; change --scheduler",
    ),
    (
        ("generate", "--sd-model", "tiny", "--size", "wide"),
        "--size wide: expected 512 or 768x512 (width × height); change --size",
    ),
    (
        ("generate", "--sd-model", "tiny", "--steps", "0"),
        f"--steps 0: expected {COUNT}; change --steps",
    ),
    (
        ("run", "--sd-model", "tiny", "--steps", "-3"),
        f"--steps -3: expected {COUNT}; change --steps",
    ),
    (("generate", "--count", "0"), f"--count 0: expected {COUNT}; change --count"),
    (
        ("generate", "--count", "4"),
        "--count 4: expected at most 3 without a model; --sd-model tiny",
    ),
    (("preprocess", PHOTO, "--size", "0"), f"--size 0: expected {COUNT}; change --size"),
    (("preprocess", PHOTO, "--workers", "0"), f"--workers 0: expected {COUNT}; change --workers"),
    (("forward", PHOTO, "--top", "0"), f"--top 0: expected {COUNT}; change --top"),
    (
        ("forward", PHOTO, "--flux-model", "nowhere.jl"),
        "--flux-model nowhere.jl: expected a file that exists; check the path",
    ),
    (
        ("run", "--require", "gpu"),
        "--require gpu: expected cuda or compiler or julia or peers; change --require",
    ),
    (
        ("run", "--require", "cuda,"),
        "list 'cuda,': expected values separated by commas; remove the empty one",
    ),
    # A wrong size or number of steps is wrong without a model too.
    (
        ("generate", "--size", "100"),
        "--size 100: expected sides divisible by 8; try 96x96 or 104x104",
    ),
    (("run", "--steps", "0"), f"--steps 0: expected {COUNT}; change --steps"),
]


@pytest.mark.parametrize(
    ("question", "line"),
    WRONG,
    ids=[" ".join(question).replace(PHOTO, "IMAGE") for question, _ in WRONG],
)
def test_a_wrong_question_is_one_line_and_exit_code_2(
    command: Command, question: tuple[str, ...], line: str
) -> None:
    code, _, said = command(*question)
    assert (code, said) == (2, [line])
    assert files() == []


@pytest.mark.parametrize(
    "question",
    [("--steps", "1001"), ("--seed", "99999999999999999999")],
    ids=" ".join,
)
def test_a_number_that_is_too_large_for_the_library_is_exit_code_2(
    command: Command, question: tuple[str, str]
) -> None:
    code, out, said = command("generate", "--sd-model", "tiny", *question)
    assert (code, out, len(said)) == (2, [], 1)
    assert files() == []


@pytest.mark.parametrize(
    ("question", "line"),
    [
        ((), r"python -m pipeline: the following arguments are required: COMMAND"),
        (("paint",), r"python -m pipeline: argument COMMAND: invalid choice: 'paint' .*"),
        (("generate", "--sed", "1"), r"python -m pipeline: unrecognized arguments: --sed 1"),
        (
            ("generate", "--seed", "x"),
            r"python -m pipeline generate: argument --seed: invalid int value: 'x'",
        ),
        (
            ("run", "--device", "tpu"),
            r"python -m pipeline run: argument --device: invalid choice: 'tpu' .*",
        ),
        (
            ("preprocess",),
            r"python -m pipeline preprocess: the following arguments are required: PATH",
        ),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
def test_a_wrong_option_is_one_line_and_exit_code_2(
    command: Command, question: tuple[str, ...], line: str
) -> None:
    code, out, said = command(*question)
    assert (code, out, len(said)) == (2, [], 1)
    assert re.fullmatch(rf"{line}; see python -m pipeline\b.* --help", said[0])


def content(kind: str) -> bytes:
    whole = Path(PHOTO).read_bytes()
    return {"empty": b"", "text": b"no image", "truncated": whole[:9999]}[kind]


@pytest.mark.parametrize("before", [[], [PHOTO]], ids=["alone", "second"])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("empty", r"an image, but it is empty; make it again"),
        ("text", r"a format that Pillow reads, such as PNG or JPEG; convert it"),
        ("truncated", r"a whole image file \(.+\); make or copy it again"),
    ],
)
def test_an_image_that_cannot_be_read_is_skipped_and_leaves_nothing_half_written(
    command: Command, before: list[str], kind: str, expected: str
) -> None:
    Path("in.png").write_bytes(content(kind))
    code, out, said = command("preprocess", *before, "in.png", "--out", "out")
    count = len(before) + 1
    assert (code, said[0], said[2]) == (
        1,
        f"preprocess: {count} images",
        f"skipped 1 of {count} images",
    )
    assert re.fullmatch(f"image in.png: expected {expected}", said[1])
    assert out == [f"out/{name}" for name in PREPROCESSED[: len(before)]]
    assert set(files()) - {"in.png", "out"} == set(out)


def test_an_image_that_is_missing_is_skipped_beside_one_that_is_there(command: Command) -> None:
    code, out, said = command("preprocess", PHOTO, "nowhere.png")
    assert (code, out) == (1, [f"run/{PREPROCESSED[0]}"])
    assert said == [
        "preprocess: 2 images",
        "image nowhere.png: expected a file that exists; check the path",
        "skipped 1 of 2 images",
    ]


def test_where_no_image_is_there_the_question_is_wrong(command: Command) -> None:
    assert command("preprocess", "nowhere.png", "nothing.png") == (
        2,
        [],
        [
            "image nowhere.png, nothing.png: expected a file that exists, or a folder of images; "
            "check the path"
        ],
    )
    assert files() == []


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
    code, out, said = command("generate")
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


def test_a_run_leaves_six_images_and_scores_or_the_reason_why_not(tmp_path: Path) -> None:
    from pipeline.flux import reference
    from pipeline.preprocessing import preprocess as preprocessing

    out = tmp_path / "run"
    done = fresh_python("-m", "pipeline", "run", "--out", str(out), CUDA_VISIBLE_DEVICES="")
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[:7] == [
        pregenerated.NOTICE,
        *(str(out / name) for name in GENERATED + PREPROCESSED),
    ]
    assert files(str(out)) == GENERATED + PREPROCESSED
    if len(lines) == 8:
        assert re.fullmatch(r"no scores: no (Julia|Flux\.jl): .+; .+", lines[7])
        return
    batch = preprocessing.preprocess([out / name for name in GENERATED])
    for line, name, row in zip(lines[7:], PREPROCESSED, reference.forward(batch), strict=True):
        scores = [float(score) for score in re.findall(r"[+-]\d+\.\d{4}", line)]
        assert line.startswith(f"{name}: 0: ")
        assert scores == pytest.approx(row.tolist(), abs=2e-4)


@pytest.mark.parametrize(
    ("question", "code", "line"),
    [
        (("run", "--require", "cuda"), 1, "--require cuda: expected a CUDA device; no CUDA: .+"),
        (("generate", "--size", "8x", "--sd-model", "tiny"), 2, r"--size 8x: expected 512 or .+"),
    ],
)
def test_a_process_ends_with_the_code_and_without_a_traceback(
    tmp_path: Path, question: tuple[str, ...], code: int, line: str
) -> None:
    out = str(tmp_path / "run")
    done = fresh_python("-m", "pipeline", *question, "--out", out, CUDA_VISIBLE_DEVICES="")
    assert (done.returncode, done.stdout) == (code, "")
    assert re.fullmatch(f"{line}\n", done.stderr)
    assert files(str(tmp_path)) == []


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_a_reader_that_goes_away_leaves_no_traceback(tmp_path: Path) -> None:
    """As `| head` does: shells give 141 to what a closed pipe ended."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", "generate", "--out", "run"],
            env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
            cwd=tmp_path,
            stdout=closed,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_terminal_without_the_signs_gets_others_for_them(tmp_path: Path) -> None:
    done = fresh_python(
        *("-m", "pipeline", "generate", "--count", "1", "--out", str(tmp_path / "\u00fc")),
        CUDA_VISIBLE_DEVICES="",
        PYTHONIOENCODING="ascii",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == str(tmp_path / "?" / "generated_image_1.png")
