"""Schedulers by name: each draws, the same every time; another name is refused in one line."""

from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.stable_diffusion import diffusion, schedulers

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
