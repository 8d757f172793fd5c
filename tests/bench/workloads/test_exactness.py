"""A batch too far from Pillow's resize is a violation that says how far."""

from typing import Any

import pytest

from bench.workloads import exactness
from pipeline import pregenerated
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.preprocessing.decoding import decode


def images() -> list[Any]:
    return [decode(path) for path in pregenerated.paths()[:2]]


@pytest.mark.parametrize("gray", [False, True])
def test_what_preprocess_makes_holds(gray: bool) -> None:
    expected = exactness.reference(images(), 224, gray)
    batch = preprocessing.preprocess(images(), grayscale=gray)
    assert batch.shape == expected.shape
    assert exactness.check(batch, expected) == []


def test_a_resize_without_antialiasing_does_not() -> None:
    expected = exactness.reference(images(), 224, False)
    batch = preprocessing.preprocess(images(), antialias=False)
    lines = [str(violation) for violation in exactness.check(batch, expected, boundary="opencv")]
    assert len(lines) == 2
    assert lines[0].startswith("opencv: largest difference ")
    assert lines[0].endswith(
        "/255 from Pillow's antialiased bilinear resize, expected at most 2/255; "
        "no number is given for other pixels"
    )


@pytest.mark.parametrize(
    ("levels", "faults"), [(0.5, 0), (0.51, 1), (2.0, 1), (2.1, 2), (float("nan"), 2)]
)
def test_the_tolerance_is_two_levels_and_half_a_level(levels: float, faults: int) -> None:
    import torch

    expected = torch.zeros((1, 3, 4, 4))
    assert len(exactness.check(expected + levels / 255, expected)) == faults
    one = expected.clone()
    one[0, 0, 0, 0] = 2 / 255
    assert exactness.check(one, expected) == []
