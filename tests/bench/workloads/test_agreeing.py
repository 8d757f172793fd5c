"""Agreement sees what spoils pictures, and not what leaves them alone."""

from typing import Any

import pytest

from bench.comparing.agreement import CHANCE
from bench.statistics.proportion import drop_by_chance
from bench.workloads import agreement
from pipeline.stable_diffusion import diffusion

COUNT, STEPS, SIZE = 30, 8, (64, 64)


@pytest.fixture(scope="module")
def agreed() -> int:
    return agreement.of_pipeline(diffusion.load("tiny", "cpu"), SIZE, STEPS, COUNT)


def test_the_network_calls_most_pictures_of_tiny_what_their_prompt_says(agreed: int) -> None:
    assert agreed >= 0.8 * COUNT


def test_pictures_drawn_one_by_one_agree_as_often(agreed: int) -> None:
    pipe = diffusion.load("tiny", "cpu")
    apart = agreement.of_pipeline(pipe, SIZE, STEPS, 10, together=1)
    assert apart == pytest.approx(agreement.of_pipeline(pipe, SIZE, STEPS, 10), abs=1)


@pytest.mark.parametrize(
    "name", ["wrong betas", "wrong prediction", "noise in the weights", "prompts ignored"]
)
def test_a_fault_that_spoils_pictures_is_no_chance(name: str, agreed: int) -> None:
    from fixtures import show_tiny

    pipe: Any = diffusion.load("tiny", "cpu")
    spoil, guidance = show_tiny.FAULTS[name]
    spoil(pipe)
    spoiled = agreement.of_pipeline(pipe, SIZE, STEPS, COUNT, guidance=guidance)
    assert drop_by_chance((agreed, COUNT), (spoiled, COUNT)) < CHANCE
