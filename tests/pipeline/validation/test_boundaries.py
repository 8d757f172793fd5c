"""A walk writes down what it crosses, and ends where something does not hold."""

import pytest

from pipeline import contracts
from pipeline.contracts import Violation
from pipeline.validation.boundaries import Boundaries, Boundary, BrokenError


def test_what_holds_is_written_down_with_the_sizes_that_were_known() -> None:
    import torch

    boundaries = Boundaries({"scale": 8, "N": 2})
    boundaries.hold(torch.empty((2, 4, 8, 8), device="meta"), contracts.LATENTS)
    boundaries.hold(torch.empty((2, 3, 64, 64), device="meta"), contracts.DECODED)
    assert boundaries.crossed == [
        Boundary(
            "latents",
            "(2, latent_C, H/scale, W/scale) float16 or bfloat16 or float32",
            "(2, 4, 8, 8) float32",
        ),
        Boundary(
            "decoded image",
            "(2, 3, 64, 64) float16 or bfloat16 or float32",
            "(2, 3, 64, 64) float32",
        ),
    ]


def test_what_was_found_before_comes_first() -> None:
    import torch

    boundaries = Boundaries({})
    known = Violation("latents", "9 channels", "4", "mend it")
    with pytest.raises(BrokenError):
        boundaries.hold(torch.empty((2, 4), device="meta"), contracts.LATENTS, known)
    assert boundaries.crossed[-1].violation == known


@pytest.mark.parametrize(
    ("error", "given"),
    [(ValueError("two\nlines"), "two lines"), (KeyError(), "KeyError")],
)
def test_what_a_component_raises_is_one_line(error: Exception, given: str) -> None:
    boundaries = Boundaries({})
    with pytest.raises(BrokenError), boundaries.calling(contracts.SCORES, "mend it"):
        raise error
    assert boundaries.crossed == [
        Boundary(
            "scores",
            "(N, classes) float32",
            "an error",
            Violation("scores", given, "(N, classes) float32", "mend it"),
        )
    ]


def test_ctrl_c_is_no_violation() -> None:
    boundaries = Boundaries({})
    with pytest.raises(KeyboardInterrupt), boundaries.calling(contracts.SCORES):
        raise KeyboardInterrupt
    assert boundaries.crossed == []
