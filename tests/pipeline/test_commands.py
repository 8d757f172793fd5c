"""The commands of `python -m pipeline`: what each leaves and prints."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from pipeline import availability, doctor, pregenerated
from pipeline.errors import Missing
from pipeline.flux import julia
from pipeline.needs import NEEDS
from pipeline.stable_diffusion.diffusion import PROMPT
from pipeline.stable_diffusion.models import TINY
from support.commands import GENERATED, PHOTO, PREPROCESSED, Command, files, opened
from support.helpers import HIDDEN, NO_CUDA

# generate


@pytest.mark.parametrize(
    ("size", "worse"), [("", ""), ("128", ""), ("64x72", " (other sizes come out worse)")]
)
def test_generate_without_a_model_draws_with_tiny_and_says_so(
    command: Command, size: str, worse: str
) -> None:
    sized = ("--size", size) if size else ()
    code, out, err = command("generate", "--steps", "1", "--count", "1", *sized)
    assert (code, err, out[0]) == (0, ["generate: 1 step"], f"run/{GENERATED[0]}")
    assert out[1:] == [
        "drawn by tiny, a small Stable Diffusion trained on rendered scenes of 64x64 and 128x128"
        f"{worse}, as there is no CUDA and no --sd-model; --sd-model ID --device cpu runs a "
        "full-size one"
    ]
    assert opened(Path("run", GENERATED[0])).text["model"] == "tiny, trained"


def test_generate_copies_the_pregenerated_images_when_asked_and_says_so(command: Command) -> None:
    assert command("generate", "--pregenerated") == (
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


QUESTION = ("generate", "--sd-model", "tiny", "--steps", "2", "--count", "2")


def bytes_in(folder: str) -> list[bytes]:
    return [Path(folder, name).read_bytes() for name in files(folder)]


@pytest.mark.parametrize(
    "option",
    [
        (),
        ("--seed", "8"),
        ("--negative-prompt", "rain"),
        ("--guidance", "1"),
        ("--scheduler", "pndm"),
        ("--dtype", "bfloat16"),
        ("--prompt", "river"),
    ],
    ids=lambda option: " ".join(option) or "none",
)
def test_the_same_command_draws_the_same_and_every_option_another(
    command: Command, option: tuple[str, ...]
) -> None:
    assert command(*QUESTION, "--out", "a")[0] == 0
    assert command(*QUESTION, *option, "--out", "b")[0] == 0
    for one, other in zip(bytes_in("a"), bytes_in("b"), strict=True):
        assert (one == other) == (not option)


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


def test_options_default_to_the_models_own(command: Command) -> None:
    code, _, said = command("generate", "--sd-model", "tiny", "--count", "1")
    assert (code, said) == (0, ["generate: 8 steps"])
    image = opened(Path("run", GENERATED[0]))
    assert image.size == (64, 64)
    text = image.text
    assert (text["prompt"], text["negative prompt"], text["seed"]) == (PROMPT, "", "0")
    assert (text["steps"], text["guidance"], text["size"]) == ("8", "7.5", "64x64")
    assert (text["scheduler"], text["dtype"]) == ("DDIMScheduler", "float32")


HIDDEN_CUDA = "expected a CUDA device; no CUDA: this test hides it"


@pytest.mark.parametrize(
    ("model", "device", "line"),
    [
        (
            "arch:sd15",
            (),
            f"--sd-model arch:sd15: {HIDDEN_CUDA}; add --device cpu to run it on the CPU, slowly",
        ),
        ("tiny", ("--device", "cuda"), f"--device cuda: {HIDDEN_CUDA}; run another test"),
        ("", ("--device", "cuda"), f"--device cuda: {HIDDEN_CUDA}; run another test"),
    ],
)
def test_a_device_that_is_missing_is_exit_code_1(
    command: Command, model: str, device: tuple[str, ...], line: str
) -> None:
    assert command("generate", "--sd-model", model, *device) == (1, [], [line])
    assert files() == []


@pytest.mark.parametrize(
    "option",
    [
        "--size 768",
        "--size 768x512",
        "--steps 7",
        "--negative-prompt rain",
        "--guidance 3",
        "--guidance 0",
        "--scheduler ddim",
        "--dtype float32",
        "--sd-model tiny",
        "--prompt sea",
        "--seed 5",
    ],
)
def test_an_option_that_pre_generated_images_cannot_honour_is_refused(
    command: Command, option: str
) -> None:
    line = f"{option} with --pregenerated: expected one of them; leave one out"
    assert command("generate", "--pregenerated", *option.split()) == (2, [], [line])
    assert files() == []


def test_weights_that_are_missing_are_exit_code_1(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = Missing("weights", "weights", "no weights: this test hides them", "run another test")
    monkeypatch.setattr(availability, "weights", lambda name: missing)
    line = f"--sd-model owner/name: expected weights; {missing}"
    assert command("generate", "--sd-model", "owner/name", "--device", "cpu") == (1, [], [line])
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


REFERENCE = "scores by the PyTorch reference, which has the same weights"


def test_forward_without_julia_scores_by_the_reference_and_says_so(command: Command) -> None:
    code, out, err = command("forward", PHOTO)
    assert (code, err, out[0]) == (0, [], f"{REFERENCE} ({HIDDEN})")
    assert out[1].startswith(f"{PHOTO}: ")
    assert command("forward", PHOTO, "--engine", "reference") == (0, [REFERENCE, out[1]], [])


@pytest.mark.parametrize(
    ("question", "code", "line"),
    [
        (
            "--engine flux",
            1,
            f"Flux.jl: expected Julia; {HIDDEN}, or choose --engine reference",
        ),
        ("--flux-weights mine", 1, f"Flux.jl: expected Julia; {HIDDEN}"),
        (
            "--flux-weights mine --engine reference",
            2,
            "--flux-weights with --engine reference: expected Flux.jl, which alone reads it; "
            "leave one out",
        ),
    ],
)
def test_what_only_flux_can_do_is_refused_without_it(
    command: Command, question: str, code: int, line: str
) -> None:
    assert command("forward", PHOTO, *question.split()) == (code, [], [line])


def test_forward_looks_at_the_images_before_it_starts_julia(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(julia, "_start", lambda: pytest.fail("Julia was started"))
    line = "image nowhere.png: expected a file that exists; check the path"
    assert command("forward", PHOTO, "nowhere.png") == (2, [], [line])


# run


def test_run_without_julia_leaves_six_images_and_scores_by_the_reference(
    command: Command,
) -> None:
    code, out, err = command("run", "--pregenerated", "--out", "here", "--top", "1")
    assert (code, err) == (0, ["preprocess: 3 images"])
    assert out[:9] == [
        pregenerated.NOTICE,
        *(f"here/{name}" for name in GENERATED + PREPROCESSED),
        "the network was trained on other scenes: its names for these images mean little",
        f"{REFERENCE} ({HIDDEN})",
    ]
    for line, name in zip(out[9:], PREPROCESSED, strict=True):
        assert re.fullmatch(rf"{name}: [a-z ]+ \d+\.\d%", line)
    assert files("here") == GENERATED + PREPROCESSED
    assert {opened(Path("here", name)).size for name in PREPROCESSED} == {(224, 224)}


def test_run_with_a_model_preprocesses_what_it_generated(command: Command) -> None:
    from pipeline.preprocessing import preprocess as preprocessing

    code, _, said = command(
        "run", "--sd-model", "tiny", "--count", "1", "--steps", "1", "--grayscale"
    )
    assert (code, said) == (0, ["generate: 1 step", "preprocess: 1 image"])
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
    monkeypatch.setitem(NEEDS, "cuda", lambda: NO_CUDA)
    assert command("run", "--require", need) == (1, [], [f"{line}; run another test"])
    assert files() == []


# doctor


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "network", lambda: None)
    monkeypatch.setattr(availability, "compiler", lambda: None)


@pytest.mark.usefixtures("online")
def test_doctor_says_what_is_missing_and_what_to_do(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.metadata import version

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


@pytest.mark.usefixtures("online")
def test_without_bench_doctor_prints_its_own_half(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, doctor.MEASURING, None)  # as if it could not be found
    code, lines, said = command("doctor")
    assert (code, said) == (0, [])
    assert len(lines) == 11


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("columns", [80, 120])
def test_what_doctor_says_fits_the_terminal(
    columns: int, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    code, lines, _ = command("doctor")
    assert code == 0
    assert max(map(len, lines)) <= columns
    assert not any("…" in line for line in lines)


@pytest.mark.usefixtures("online")
def test_on_a_very_narrow_terminal_doctor_still_says_why_and_what_to_do(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    code, lines, _ = command("doctor")
    said = " ".join(line[37:].strip() for line in lines)
    assert code == 0
    assert "no Julia: this test hides it → run another test" in said
