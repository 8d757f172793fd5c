"""What must hold at a boundary, and the line that says what does not."""

from typing import Any

import pytest

from pipeline import contracts
from pipeline.contracts import Violation
from pipeline.errors import ContractError


def lines(violations: list[Violation]) -> list[str]:
    return [str(violation) for violation in violations]


def picture(mode: str = "RGB", size: tuple[int, int] = (16, 8)) -> Any:
    """A picture that is not flat: a ramp from black to white."""
    from PIL import Image

    return Image.linear_gradient("L").resize(size).convert(mode)


def flat(level: int, spots: int = 0) -> Any:
    """A picture of one level in which `spots` of 100 pixels are ten levels brighter."""
    from PIL import Image

    image = Image.new("RGB", (10, 10), (level,) * 3)
    for spot in range(spots):
        image.putpixel((spot % 10, spot // 10), (level + 10,) * 3)
    return image


def test_pictures_of_the_size_that_was_asked_for_hold() -> None:
    assert contracts.check_images([picture(), picture()], 2, (16, 8)) == []
    assert contracts.check_images([picture()], 1, None) == []


@pytest.mark.parametrize(
    ("mode", "size", "count", "line"),
    [
        ("RGB", (16, 8), 3, "images: 1 of them, expected 3; check the count"),
        ("L", (16, 8), 1, "image 1: mode L, expected mode RGB; convert it"),
        ("RGBA", (16, 8), 1, "image 1: mode RGBA, expected mode RGB; convert it"),
        (
            "RGB",
            (8, 16),
            1,
            "image 1: 8x16, expected 16x8; check the size that was asked for",
        ),
    ],
)
def test_pictures_that_differ_from_the_question_are_named(
    mode: str, size: tuple[int, int], count: int, line: str
) -> None:
    assert lines(contracts.check_images([picture(mode, size)], count, (16, 8))) == [line]


def test_every_picture_is_checked() -> None:
    images = [picture(), picture("L"), picture(size=(8, 8))]
    assert lines(contracts.check_images(images, 4, (16, 8))) == [
        "images: 3 of them, expected 4; check the count",
        "image 2: mode L, expected mode RGB; convert it",
        "image 3: 8x8, expected 16x8; check the size that was asked for",
    ]


@pytest.mark.parametrize("level", [0, 128, 245])
def test_one_flat_colour_is_no_picture(level: int) -> None:
    assert lines(contracts.check_images([flat(level)], 1, (10, 10))) == [
        "image 1: one flat colour (standard deviation 0.00 of 255), expected a picture; "
        "try float32, another seed, or no safety checker"
    ]


def test_a_picture_has_more_than_one_level_of_contrast() -> None:
    # With a share p of pixels ten levels brighter the deviation is 10 √(p (1 − p)).
    assert lines(contracts.check_images([flat(0, spots=1)], 1, (10, 10))) == [
        "image 1: one flat colour (standard deviation 0.99 of 255), expected a picture; "
        "try float32, another seed, or no safety checker"
    ]
    assert contracts.check_images([flat(0, spots=2)], 1, (10, 10)) == []


def batch(kind: str) -> Any:
    import torch

    ramp = torch.linspace(0, 1, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
    if kind in ("nan", "inf", "above", "below"):
        ramp[1, 2, 3, 3] = {"nan": torch.nan, "inf": torch.inf, "above": 1.5, "below": -0.25}[kind]
    return {
        "short": ramp[:1],
        "nhwc": ramp.permute(0, 2, 3, 1).contiguous(),
        "half": ramp.half(),
        "double": ramp.double(),
        "channels_last": ramp.contiguous(memory_format=torch.channels_last),
    }.get(kind, ramp)


def test_a_batch_of_floats_from_0_to_1_holds() -> None:
    assert contracts.check_batch(batch("whole"), (2, 3, 4, 4)) == []


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (
            "short",
            "batch: shape (1, 3, 4, 4), expected shape (2, 3, 4, 4); "
            "check what was fed to this stage",
        ),
        (
            "nhwc",
            "batch: shape (2, 4, 4, 3), expected shape (2, 3, 4, 4); "
            "check what was fed to this stage",
        ),
        ("half", "batch: dtype float16, expected float32; convert it to float32"),
        ("double", "batch: dtype float64, expected float32; convert it to float32"),
        (
            "channels_last",
            "batch: strides (48, 1, 12, 3), expected contiguous NCHW; call .contiguous()",
        ),
        *(
            (
                kind,
                f"batch: values from {span}, expected finite values in [0, 1]; "
                "divide 8-bit levels by 255",
            )
            for kind, span in {
                "nan": "nan to nan",
                "inf": "0 to inf",
                "above": "0 to 1.5",
                "below": "-0.25 to 0.9895",
            }.items()
        ),
    ],
)
def test_a_batch_that_breaks_its_contract_is_named(kind: str, line: str) -> None:
    assert lines(contracts.check_batch(batch(kind), (2, 3, 4, 4))) == [line]


def test_flux_takes_any_number_of_images_of_its_type_and_side() -> None:
    import numpy as np

    array = np.zeros((5, 3, 4, 4), np.float32)
    assert contracts.check_input(array, ("N", 3, 4, 4), "float32") == []
    assert contracts.check_input(batch("whole"), ("N", 3, 4, 4), "float32") == []


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("half", "batch: dtype float16, expected float32; convert it to float32"),
        (
            "nhwc",
            "batch: shape (2, 4, 4, 3), expected shape (N, 3, 4, 4); preprocess the images first",
        ),
    ],
)
def test_what_flux_does_not_take_is_named(kind: str, line: str) -> None:
    assert lines(contracts.check_input(batch(kind), ("N", 3, 4, 4), "float32")) == [line]


def test_scores_that_differ_hold() -> None:
    import numpy as np

    assert contracts.check_scores(np.float32([[0, 1], [2, 3]]), (2, 2)) == []


@pytest.mark.parametrize(
    ("values", "dtype", "line"),
    [
        (
            [[0, 1, 2]],
            "float32",
            "scores: shape (1, 3), expected shape (2, 2); check what was fed to this stage",
        ),
        (
            [[0, 1], [2, 3]],
            "float64",
            "scores: dtype float64, expected float32; convert it to float32",
        ),
        (
            [[0, 1], [2, float("nan")]],
            "float32",
            "scores: a value that is not finite, expected finite; check the weights",
        ),
        (
            [[0, 1], [2, float("-inf")]],
            "float32",
            "scores: a value that is not finite, expected finite; check the weights",
        ),
        (
            [[7, 7], [7, 7]],
            "float32",
            "scores: all equal, expected scores that differ; check the weights",
        ),
    ],
)
def test_scores_that_break_their_contract_are_named(
    values: list[list[float]], dtype: str, line: str
) -> None:
    import numpy as np

    assert lines(contracts.check_scores(np.array(values, dtype), (2, 2))) == [line]


def test_a_fault_leaves_the_remedy_out() -> None:
    violation = Violation("batch", "dtype float16", "float32", "convert it to float32")
    assert violation.fault == "batch: dtype float16, expected float32"


def test_the_first_violation_is_raised() -> None:
    first, second = (Violation(name, "given", "wanted", "mend it") for name in ("one", "two"))
    with pytest.raises(ContractError) as broken:
        contracts.require([first, second])
    assert str(broken.value) == "one: given: expected wanted; mend it"


def test_nothing_is_raised_where_all_holds() -> None:
    contracts.require([])


def test_nan_in_an_image_is_found_before_it_is_rounded_to_black() -> None:
    import numpy as np

    drawn = np.full((2, 4, 4, 3), 0.5, np.float32)
    assert contracts.check_drawn(drawn) == []
    drawn[1, :2] = np.nan
    assert [str(each) for each in contracts.check_drawn(drawn)] == [
        "image 2: NaN in 50% of its levels, expected finite levels; "
        "try float32 or bfloat16: half precision overflows in some VAEs"
    ]


def test_an_image_that_a_safety_checker_blanked_is_no_picture() -> None:
    import numpy as np

    drawn = np.zeros((2, 4, 4, 3), np.float32)
    assert contracts.check_drawn(drawn, [False, False]) == []
    assert [str(each) for each in contracts.check_drawn(drawn, [False, True])] == [
        "image 2: blanked by the safety checker, expected a picture; "
        "try another prompt or seed, or a model without a safety checker"
    ]
