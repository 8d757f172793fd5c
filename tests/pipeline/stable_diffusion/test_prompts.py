"""A prompt that is longer than the model reads: what is cut off is said, and is not in the PNG."""

import logging

import pytest

from pipeline.stable_diffusion import diffusion
from pipeline.stable_diffusion.diffusion import Drawing

LONG = "a quiet lake " * 40


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_short_prompt_is_read_whole(caplog: pytest.LogCaptureFixture) -> None:
    drawing = Drawing("a red boat, 夕焼け", negative_prompt="rain")
    assert drawing.info(0)["prompt"] == "a red boat, 夕焼け"
    assert drawing.info(0)["negative prompt"] == "rain"
    assert warnings(caplog) == []


def test_the_end_of_a_long_prompt_is_named_and_not_claimed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "pipeline"):
        images = [
            diffusion.generate(LONG + end, 1, steps=1)[0] for end in ("a red boat", "a blue whale")
        ]
    assert images[0].tobytes() == images[1].tobytes()
    assert images[0].info == images[1].info
    part = images[0].info["prompt"]
    assert LONG.startswith(part)
    assert warnings(caplog)[0] == (
        "prompt: the model reads 77 tokens and cuts off the rest: "
        f"“{LONG[len(part) :].strip()[:80]}…”; shorten it"
    )


def test_what_is_kept_is_all_that_counts() -> None:
    """The cut prompt draws the same picture; one word less draws another."""
    (whole,) = diffusion.generate(LONG, 1, steps=1)
    part = whole.info["prompt"]
    (kept,) = diffusion.generate(part, 1, steps=1)
    (less,) = diffusion.generate(part.rsplit(" ", 1)[0], 1, steps=1)
    assert whole.tobytes() == kept.tobytes() != less.tobytes()


def test_a_negative_prompt_is_cut_too(caplog: pytest.LogCaptureFixture) -> None:
    drawing = Drawing("river", negative_prompt=LONG)
    assert LONG.startswith(drawing.info(0)["negative prompt"])
    (line,) = warnings(caplog)
    assert line.startswith("negative prompt: the model reads 77 tokens and cuts off the rest: “")
