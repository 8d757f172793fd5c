"""Schedulers by name: each draws, the same every time; another name is refused in one line."""

from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.stable_diffusion import components, diffusion, models, schedulers

TINY = models.resolve("tiny")

NUMPY = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
"""diffusers' schedulers of sigmas, with numpy 2."""


@pytest.mark.filterwarnings(NUMPY)
@pytest.mark.parametrize("name", schedulers.NAMES)
def test_every_scheduler_draws_the_same_picture_twice(name: str) -> None:
    pipe = diffusion.load("tiny", "cpu")
    schedulers.replace(pipe, name)
    assert type(pipe.scheduler).__name__ == schedulers.NAMES[name]
    told: list[int] = []
    (first,) = diffusion.sample(pipe, "river", [3], (64, 64), 4, told.append)
    (second,) = diffusion.sample(pipe, "river", [3], (64, 64), 4)
    assert first.tobytes() == second.tobytes()
    assert told == sorted(told)
    assert told[-1] == 4


def test_a_class_of_diffusers_is_a_name_too() -> None:
    pipe = diffusion.load("tiny", "cpu")
    schedulers.replace(pipe, "PNDMScheduler")
    assert type(pipe.scheduler).__name__ == "PNDMScheduler"
    assert pipe.scheduler.config.beta_end == 0.012


@pytest.mark.parametrize("name", ["eular", "Euler", "LMSDiscreteScheduler", "DummyScheduler"])
def test_another_name_is_refused_with_those_that_are_known(name: str) -> None:
    with pytest.raises(PipelineError) as refused:
        schedulers.check(name)
    assert str(refused.value) == (
        f"--scheduler {name}: expected one of ddim, ddpm, dpm++, dpm++-single, euler, "
        "euler-ancestral, heun, pndm, unipc; change --scheduler"
    )


def test_a_scheduler_that_cannot_stand_in_for_the_models_is_refused() -> None:
    class Flow:
        compatibles: tuple[Any, ...] = ()

    class Pipe:
        scheduler = Flow()

    with pytest.raises(PipelineError) as refused:
        schedulers.replace(Pipe(), "ddim")
    assert str(refused.value) == ("--scheduler ddim: expected the model's own; change --scheduler")


def tiny_scheduler(name: str = "ddim", **settings: Any) -> Any:
    """The scheduler of tiny, with the timesteps of Stable Diffusion 1.5."""
    settings = {"timestep_spacing": "leading"} | settings
    scheduler = schedulers.replacement(components.on_meta(TINY, "float32").scheduler, name)
    return type(scheduler).from_config(scheduler.config, **settings)


@pytest.mark.parametrize("name", ["ddim", "ddpm", "pndm"])
def test_the_last_legal_number_of_steps_is_found(name: str) -> None:
    """Timesteps are 1 to 1000 with an offset of 1, and tables end at 999."""
    scheduler = tiny_scheduler(name)
    schedulers.check_steps(scheduler, 999)
    for steps in (1000, 1001, 10**12):
        with pytest.raises(PipelineError) as refused:
            schedulers.check_steps(scheduler, steps)
        assert str(refused.value) == (
            f"steps {steps}: expected at most 999 with {schedulers.NAMES[name]}; "
            "ask for fewer steps"
        )


@pytest.mark.parametrize(
    ("settings", "steps", "line"),
    [
        (
            {"num_train_timesteps": 2},
            30,
            "steps 30: expected at most 1 with DDIMScheduler; ask for fewer steps",
        ),
        (
            {"prediction_type": "noise"},
            30,
            "the scheduler: expected settings that DDIMScheduler can run with (prediction_type "
            "given as noise must be one of `epsilon`, `sample`, or `v_prediction`); "
            "check scheduler_config.json, or choose another --scheduler",
        ),
        (
            {"num_train_timesteps": 1},
            1,
            "the scheduler: expected settings that DDIMScheduler can run with (index 1 is out of "
            "bounds for dimension 0 with size 1); "
            "check scheduler_config.json, or choose another --scheduler",
        ),
        (
            {"num_train_timesteps": 1},
            2,
            "the scheduler: expected settings that DDIMScheduler can run with (index 1 is out of "
            "bounds for dimension 0 with size 1); "
            "check scheduler_config.json, or choose another --scheduler",
        ),
        ({}, 0, "steps 0: expected at least 1 with DDIMScheduler; ask for more steps"),
    ],
)
def test_steps_and_settings_that_do_not_fit_are_told_apart(
    settings: dict[str, Any], steps: int, line: str
) -> None:
    with pytest.raises(PipelineError) as refused:
        schedulers.check_steps(tiny_scheduler(**settings), steps)
    assert str(refused.value) == line


def test_pndm_with_prk_takes_four_steps_at_least() -> None:
    scheduler = tiny_scheduler("pndm", skip_prk_steps=False)
    schedulers.check_steps(scheduler, 4)
    with pytest.raises(PipelineError, match="expected at least 4 with PNDMScheduler"):
        schedulers.check_steps(scheduler, 2)


@pytest.mark.filterwarnings(NUMPY)
@pytest.mark.parametrize("name", schedulers.NAMES)
def test_what_is_checked_is_what_a_call_takes(name: str) -> None:
    """Against real calls, at the ends of what people ask for."""
    pipe = diffusion.load("tiny", "cpu")
    schedulers.replace(pipe, name)
    for steps in (1, 2, 3):
        schedulers.check_steps(pipe.scheduler, steps)
        assert diffusion.sample(pipe, "river", [0], (64, 64), steps)
