"""`generate` writes each picture as it is drawn, and what is already there is not drawn again."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.stable_diffusion import diffusion, models
from pipeline.stable_diffusion.models import TINY
from support.commands import GENERATED, PREPROCESSED, Command, files, opened
from support.models import configure, without_weights

QUESTION = ("generate", "--sd-model", "tiny", "--steps", "1")


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds that are drawn."""
    seeds: list[int] = []
    sample = diffusion.sample

    def noted(pipe: Any, prompt: str, drawn: Any, *others: Any, **options: Any) -> Any:
        seeds.extend(drawn)
        return sample(pipe, prompt, drawn, *others, **options)

    monkeypatch.setattr(diffusion, "sample", noted)
    return seeds


def spoil(monkeypatch: pytest.MonkeyPatch, seed: int, error: Callable[[], BaseException]) -> None:
    """Let one seed give NaN, or raise what `error` makes."""
    sample = diffusion.sample

    def spoilt(pipe: Any, prompt: str, seeds: Any, *others: Any, **options: Any) -> Any:
        if seeds == [seed]:
            raise error()
        return sample(pipe, prompt, seeds, *others, **options)

    monkeypatch.setattr(diffusion, "sample", spoilt)


def nan_in_the_unet(monkeypatch: pytest.MonkeyPatch, calls: range) -> None:
    """Let the UNet give NaN in these calls of it: a step is one."""
    load = models.load

    def broken(*question: Any) -> Any:
        pipe = load(*question)
        forward, count = pipe.unet.forward, iter(range(10**6))

        def spoilt(*inputs: Any, **options: Any) -> Any:
            (noise,) = forward(*inputs, **options)
            return (noise * float("nan") if next(count) in calls else noise,)

        pipe.unet.forward = spoilt
        return pipe

    monkeypatch.setattr(models, "load", broken)


def test_one_broken_picture_costs_itself_alone(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    nan_in_the_unet(monkeypatch, range(1, 2))
    assert command(*QUESTION, "--seed", "40") == (
        1,
        [f"run/{GENERATED[0]}", f"run/{GENERATED[2]}"],
        [
            "image 2 (seed 41): NaN in 100% of its levels: expected finite levels; "
            "check the weights and the configurations, such as scaling_factor",
            "generate: 3 steps",
            "not written: 1 of 3 images",
        ],
    )
    assert files("run") == [GENERATED[0], GENERATED[2]]


def test_a_run_scores_the_pictures_that_hold(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    nan_in_the_unet(monkeypatch, range(1, 2))
    assert command("run", *QUESTION[1:])[0] == 1
    assert files("run") == [GENERATED[0], GENERATED[2], PREPROCESSED[0], PREPROCESSED[2]]
    nan_in_the_unet(monkeypatch, range(3))
    code, out, _ = command("run", *QUESTION[1:], "--out", "none")
    assert (code, out, Path("none").exists()) == (1, [], False)


def test_ctrl_c_keeps_the_finished_pictures(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, 2, KeyboardInterrupt)
    code, out, said = command(*QUESTION)
    assert (code, out) == (130, [f"run/{name}" for name in GENERATED[:2]])
    assert said[-1] == "interrupted: every file that was written is whole"
    assert files("run") == GENERATED[:2]


def test_the_same_command_draws_what_is_missing_and_nothing_else(
    command: Command, sampled: list[int]
) -> None:
    assert command(*QUESTION, "--seed", "5")[0] == 0
    whole = [Path("run", name).read_bytes() for name in GENERATED]
    Path("run", GENERATED[0]).write_bytes(whole[0][:-40])  # cut off
    Path("run", GENERATED[1]).unlink()
    sampled.clear()
    assert command(*QUESTION, "--seed", "5") == (
        0,
        [f"run/{name}" for name in (GENERATED[2], *GENERATED[:2])],
        ["1 image was drawn before", "generate: 2 steps"],
    )
    assert sampled == [5, 6]
    assert [Path("run", name).read_bytes() for name in GENERATED] == whole


def test_where_nothing_is_missing_no_weights_are_loaded(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(*QUESTION)[0] == 0
    monkeypatch.setattr(models, "load", lambda *question: pytest.fail("weights were loaded"))
    paths = [f"run/{name}" for name in GENERATED]
    assert command(*QUESTION) == (0, paths, ["3 images were drawn before"])
    unnamed = [word for word in QUESTION if word not in ("--sd-model", "tiny")]
    assert command(*unnamed) == (0, paths, ["3 images were drawn before"])


@pytest.mark.parametrize(
    "option",
    [
        ("--seed", "1"),
        ("--prompt", "river"),
        ("--negative-prompt", "rain"),
        ("--guidance", "3"),
        ("--steps", "2"),
        ("--scheduler", "pndm"),
        ("--size", "72"),
        ("--dtype", "bfloat16"),
        ("--sd-model", str(TINY), "--device", "cpu"),
    ],
    ids=lambda option: option[0],
)
def test_another_question_draws_everything_again(
    command: Command, sampled: list[int], option: tuple[str, ...]
) -> None:
    assert command(*QUESTION, "--count", "2")[0] == 0
    sampled.clear()
    code, out, _ = command(*QUESTION, "--count", "2", *option)
    assert (code, out) == (0, [f"run/{name}" for name in GENERATED[:2]])
    assert len(sampled) == 2


def test_a_picture_that_somebody_else_made_is_drawn_over(
    command: Command, sampled: list[int]
) -> None:
    from PIL import Image

    Path("run").mkdir()
    Image.linear_gradient("L").convert("RGB").save(Path("run", GENERATED[0]))
    Path("run", GENERATED[1]).write_text("no picture")
    assert command(*QUESTION, "--count", "2")[0] == 0
    assert sampled == [0, 1]
    assert opened(Path("run", GENERATED[0])).text["seed"] == "0"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
@pytest.mark.parametrize("verb", ["generate", "run"])
def test_a_pipe_and_a_link_in_the_place_of_pictures_are_replaced_and_no_target_is_touched(
    command: Command, verb: str
) -> None:
    Path("run").mkdir()
    Path("precious").write_text("precious")
    places = [*GENERATED[:2], *(PREPROCESSED[:2] if verb == "run" else [])]
    for name in places[::2]:
        os.mkfifo(Path("run", name))
    for name in places[1::2]:
        Path("run", name).symlink_to("../precious")
    assert command(verb, *QUESTION[1:], "--count", "2")[0] == 0
    assert Path("precious").read_text() == "precious"
    for name in places:
        assert stat.S_ISREG(Path("run", name).lstat().st_mode)
        assert opened(Path("run", name)).format == "PNG"


def test_the_time_that_is_printed_is_that_of_drawing(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading and imports are apart: nothing is told before the pipeline is there."""
    from pipeline import commands

    events: list[str] = []
    load, progress = diffusion.load, commands.progress
    monkeypatch.setattr(
        diffusion, "load", lambda *question: (load(*question), events.append("loaded"))[0]
    )
    monkeypatch.setattr(
        commands,
        "progress",
        lambda label, total, unit: (events.append(label), progress(label, total, unit))[1],
    )
    assert command(*QUESTION, "--count", "1")[0] == 0
    assert events == ["loaded", "generate"]


@pytest.mark.parametrize(
    ("edit", "options", "line"),
    [
        (
            configure("unet/config.json", in_channels=9),
            "",
            "latents: 9 channels, the UNet's: expected 4, the VAE's latent_channels; "
            "take UNet and VAE from one text-to-image model",
        ),
        (
            configure("unet/config.json", sample_size=None),
            "",
            "--sd-model FOLDER: expected a size: its unet has no sample_size; add --size",
        ),
        (
            configure("scheduler/scheduler_config.json", prediction_type="noise"),
            "",
            "the scheduler: expected settings that DDIMScheduler can run with (prediction_type "
            "given as noise must be one of `epsilon`, `sample`, or `v_prediction`); "
            "check scheduler_config.json, or choose another --scheduler",
        ),
        (
            configure("scheduler/scheduler_config.json", timestep_spacing="leading"),
            "--steps 1000",
            "steps 1000: expected at most 999 with DDIMScheduler; ask for fewer steps",
        ),
        (
            lambda folder: None,
            "--prompt caf\udce9",
            "prompt 'caf\\udce9': expected UTF-8; encode prompt as UTF-8",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_weights_are_read(
    command: Command, tmp_path: Path, edit: Callable[[Path], Any], options: str, line: str
) -> None:
    folder = without_weights(tmp_path / "model")
    edit(folder)
    question = ("--sd-model", str(folder), "--device", "cpu", *options.split())
    code, out, said = command("generate", *question)
    assert (code in (1, 2), out, said) == (True, [], [line.replace("FOLDER", str(folder))])


def test_a_size_beyond_the_machines_memory_is_refused(command: Command) -> None:
    code, out, (line,) = command(*QUESTION, "--size", "100000")
    assert (code, out) == (2, [])
    assert line.startswith("size 100000x100000: expected at most the ")
    assert line.endswith(" GB; ask for a smaller size, or half precision")


def test_a_size_beyond_what_torch_can_count_is_one_line(command: Command) -> None:
    code, out, (line,) = command(*QUESTION, "--size", "1000000")
    assert (code, out) == (1, [])
    assert line.endswith("expected (2, 4, 125000, 125000) float32; check what feeds it")
