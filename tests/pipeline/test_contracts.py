"""What must hold at a boundary, and the line that says what does not."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline import contracts
from pipeline.contracts import Violation
from pipeline.errors import ContractError

FED = "check what was fed to this stage"
TO_FLOAT = "expected float32; convert it to float32"


def lines(violations: list[Violation]) -> list[str]:
    return [str(violation) for violation in violations]


def picture(mode: str = "RGB", size: tuple[int, int] = (16, 8)) -> Any:
    """A picture that is not flat: a ramp from black to white."""
    return Image.linear_gradient("L").resize(size).convert(mode)


def flat(level: int, spots: int = 0) -> Any:
    """A picture of one level in which `spots` of 100 pixels are ten levels brighter."""
    image = Image.new("RGB", (10, 10), (level,) * 3)
    for spot in range(spots):
        image.putpixel((spot % 10, spot // 10), (level + 10,) * 3)
    return image


def test_pictures_of_the_size_that_was_asked_for_hold() -> None:
    assert contracts.check_images([picture(), picture()], 2, (16, 8)) == []
    assert contracts.check_images([picture()], 1, None) == []


def test_pictures_that_differ_from_the_question_are_named() -> None:
    images = [picture(), picture("L"), picture("RGBA"), picture(size=(8, 16))]
    assert lines(contracts.check_images(images, 5, (16, 8))) == [
        "images: 4 of them, expected 5; check the count",
        "image 2: mode L, expected mode RGB; convert it",
        "image 3: mode RGBA, expected mode RGB; convert it",
        "image 4: 8x16, expected 16x8; check the size that was asked for",
    ]


@pytest.mark.parametrize(("level", "spots"), [(0, 0), (128, 0), (245, 0), (0, 1)])
def test_one_flat_colour_is_no_picture(level: int, spots: int) -> None:
    # With a share p of pixels ten levels brighter the deviation is 10 √(p (1 − p)).
    deviation = "0.99" if spots else "0.00"
    assert lines(contracts.check_images([flat(level, spots)], 1, (10, 10))) == [
        f"image 1: one flat colour (standard deviation {deviation} of 255), expected a picture; "
        "try float32, another seed, or no safety checker"
    ]
    assert contracts.check_images([flat(level, spots=2)], 1, (10, 10)) == []


def batch(kind: str) -> Any:
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
        ("short", f"shape (1, 3, 4, 4), expected shape (2, 3, 4, 4); {FED}"),
        ("nhwc", f"shape (2, 4, 4, 3), expected shape (2, 3, 4, 4); {FED}"),
        ("half", f"dtype float16, {TO_FLOAT}"),
        ("double", f"dtype float64, {TO_FLOAT}"),
        ("channels_last", "strides (48, 1, 12, 3), expected contiguous NCHW; call .contiguous()"),
        *(
            (
                kind,
                f"values from {span}, expected finite values in [0, 1]; divide 8-bit levels by 255",
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
    assert lines(contracts.check_batch(batch(kind), (2, 3, 4, 4))) == [f"batch: {line}"]


def test_flux_takes_any_number_of_images_of_its_type_and_side() -> None:
    array = np.zeros((5, 3, 4, 4), np.float32)
    assert contracts.check_input(array, ("N", 3, 4, 4), "float32") == []
    assert contracts.check_input(batch("whole"), ("N", 3, 4, 4), "float32") == []


def test_what_flux_does_not_take_is_named() -> None:
    assert lines(contracts.check_input(batch("half"), ("N", 3, 4, 4), "float32")) == [
        f"batch: dtype float16, {TO_FLOAT}"
    ]
    assert lines(contracts.check_input(batch("nhwc"), ("N", 3, 4, 4), "float32")) == [
        "batch: shape (2, 4, 4, 3), expected shape (N, 3, 4, 4); preprocess the images first"
    ]


def test_scores_that_differ_hold() -> None:
    assert contracts.check_scores(np.float32([[0, 1], [2, 3]]), (2, 2)) == []


INFINITE = "a value that is not finite, expected finite; check the weights"


@pytest.mark.parametrize(
    ("values", "dtype", "line"),
    [
        ([[0, 1, 2]], "float32", f"shape (1, 3), expected shape (2, 2); {FED}"),
        ([[0, 1], [2, 3]], "float64", f"dtype float64, {TO_FLOAT}"),
        ([[0, 1], [2, float("nan")]], "float32", INFINITE),
        ([[0, 1], [2, float("-inf")]], "float32", INFINITE),
        ([[7, 7], [7, 7]], "float32", "all equal, expected scores that differ; check the weights"),
    ],
)
def test_scores_that_break_their_contract_are_named(
    values: list[list[float]], dtype: str, line: str
) -> None:
    found = contracts.check_scores(np.array(values, dtype), (2, 2))
    assert lines(found) == [f"scores: {line}"]


def test_a_fault_leaves_the_remedy_out() -> None:
    violation = Violation("batch", "dtype float16", "float32", "convert it to float32")
    assert violation.fault == "batch: dtype float16, expected float32"


def test_the_first_violation_is_raised() -> None:
    contracts.require([])
    first, second = (Violation(name, "given", "wanted", "mend it") for name in ("one", "two"))
    with pytest.raises(ContractError) as broken:
        contracts.require([first, second])
    assert str(broken.value) == "one: given: expected wanted; mend it"


def test_nan_in_an_image_is_found_before_it_is_rounded_to_black() -> None:
    drawn = np.full((2, 4, 4, 3), 0.5, np.float32)
    assert contracts.check_drawn(drawn) == []
    drawn[1, :2] = np.nan
    remedies = {
        "float16": "try float32 or bfloat16: half precision overflows in some VAEs",
        "bfloat16": "try float32, then check the weights and the configurations",
        "float32": "check the weights and the configurations, such as scaling_factor",
    }
    assert remedies.keys() == set(contracts.DTYPES)
    for dtype, remedy in remedies.items():
        assert lines(contracts.check_drawn(drawn, dtype=dtype)) == [
            f"image 2: NaN in 50% of its levels, expected finite levels; {remedy}"
        ]


def test_an_image_that_a_safety_checker_blanked_is_no_picture() -> None:
    drawn = np.zeros((2, 4, 4, 3), np.float32)
    assert contracts.check_drawn(drawn, [False, False]) == []
    assert lines(contracts.check_drawn(drawn, [False, True])) == [
        "image 2: blanked by the safety checker, expected a picture; "
        "try another prompt or seed, or a model without a safety checker"
    ]


# A spec: names that agree from one boundary to the next.


def test_a_batch_needs_nothing_but_its_spec() -> None:
    good = torch.rand((2, 1, 224, 224))
    assert contracts.check(good, contracts.BATCH) == []
    assert contracts.check(good.numpy(), contracts.BATCH) == []
    assert lines(contracts.check(good.double()[:, :, :5], contracts.BATCH)) == [
        f"batch: shape (2, 1, 5, 224), expected shape (N, C, 224, 224); {FED}",
        f"batch: dtype float64, {TO_FLOAT}",
    ]


def test_a_picture_is_checked_as_an_image() -> None:
    assert contracts.check(picture(), contracts.IMAGE) == []
    assert lines(contracts.check(picture("L"), contracts.IMAGE)) == [
        "image: mode L, expected mode RGB; convert it"
    ]
    assert lines(contracts.check(picture(), contracts.IMAGE, {"W": 16, "H": 16})) == [
        "image: 16x8, expected 16x16; check the size that was asked for"
    ]


@pytest.mark.parametrize("value", [[1, 2], None, "batch"])
def test_what_is_no_array_is_named(value: Any) -> None:
    assert lines(contracts.check(value, contracts.BATCH)) == [
        f"batch: of type {type(value).__name__}, expected a tensor or an array; {FED}"
    ]


def test_dimensions_agree_from_one_boundary_to_the_next() -> None:
    dims = {"scale": 8, "copies": 2}
    assert contracts.check(torch.zeros((3, 4, 9, 5)), contracts.LATENTS, dims) == []
    assert dims == {"scale": 8, "copies": 2, "N": 3, "latent_C": 4, "H": 72, "W": 40}
    assert contracts.check(torch.zeros((6, 4, 9, 5)), contracts.UNET_OUTPUT, dims) == []
    assert contracts.check(torch.zeros((3, 3, 72, 40)), contracts.DECODED, dims) == []
    assert lines(contracts.check(torch.zeros((3, 3, 72, 48)), contracts.DECODED, dims)) == [
        "decoded image: shape (3, 3, 72, 48), expected shape (3, 3, 72, 40); "
        "check the VAE's configuration"
    ]
    assert lines(contracts.check(torch.zeros((3, 4, 9, 5)), contracts.UNET_OUTPUT, dims)) == [
        f"UNet output: shape (3, 4, 9, 5), expected shape (6, 4, 9, 5); {FED}"
    ]


def test_a_product_gives_its_unknown_factor_a_size() -> None:
    spec, dims = contracts.TEXT_EMBEDDINGS, {"copies": 2}
    assert contracts.check(torch.zeros((6, 77, 32)), spec, dims) == []
    assert dims["N"] == 3
    assert lines(contracts.check(torch.zeros((5, 77, 32)), spec, {"copies": 2})) == [
        "text embeddings: shape (5, 77, 32), expected shape (copies*N, tokens, text_width); "
        "check the text encoder"
    ]


def test_a_shape_that_does_not_hold_names_nothing_and_no_dimension_is_empty() -> None:
    dims: dict[str, int] = {}
    contracts.check(torch.zeros((2, 3, 224, 225)), contracts.BATCH, dims)
    assert dims == {}
    assert lines(contracts.check(torch.zeros((0, 3, 224, 224)), contracts.BATCH)) == [
        f"batch: shape (0, 3, 224, 224), expected shape (N, C, 224, 224); {FED}"
    ]


@pytest.mark.parametrize(
    ("ids", "line"),
    [
        ([[0, 653]], None),
        ([[0, 654]], "token ids: values from 0 to 654, expected finite values in [0, 653]; "),
        ([[-1, 3]], "token ids: values from -1 to 3, expected finite values in [0, 653]; "),
    ],
)
def test_token_ids_lie_in_the_vocabulary(ids: list[list[int]], line: str | None) -> None:
    found = contracts.check(torch.tensor(ids), replace(contracts.TOKEN_IDS, high=653))
    remedy = "use the tokenizer that the text encoder was trained with"
    assert lines(found) == ([] if line is None else [line + remedy])


def test_julias_view_of_a_batch_is_the_same_memory_reversed() -> None:
    whole = torch.rand((2, 3, 224, 224))
    assert contracts.check(whole.permute(3, 2, 1, 0), contracts.WHCN) == []
    assert contracts.check(whole.numpy().T, contracts.WHCN) == []
    copied = np.ascontiguousarray(whole.numpy().T)
    assert lines(contracts.check(copied, contracts.WHCN)) == [
        "WHCN batch: strides (1344, 6, 2, 1), expected contiguous WHCN; "
        "reverse the dimensions of a contiguous NCHW batch"
    ]


def test_a_strided_array_says_how_to_copy_it() -> None:
    array = np.zeros((2, 3, 224, 448), np.float32)[..., ::2]
    assert lines(contracts.check(array, contracts.BATCH)) == [
        "batch: strides (301056, 100352, 448, 2), expected contiguous NCHW; "
        "call numpy.ascontiguousarray"
    ]


def test_a_device_is_held_to() -> None:
    spec = replace(contracts.LATENTS, device="meta")
    assert lines(contracts.check(torch.zeros((1, 4, 8, 8)), spec)) == [
        "latents: on cpu, expected on meta; move it to meta"
    ]
    assert contracts.check(torch.empty((1, 4, 8, 8), device="meta"), spec) == []


def test_one_switch_turns_the_checks_of_values_off(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = torch.full((1, 3, 224, 224), 255.0)
    assert len(contracts.check(bad, contracts.BATCH)) == 1
    assert contracts.check(bad, contracts.BATCH, values=False) == []
    monkeypatch.setenv(contracts.VALUES_VARIABLE, "0")
    assert contracts.check(bad, contracts.BATCH) == []
    assert contracts.check_images([flat(0)], 1, (10, 10)) == []
    assert len(contracts.check(bad, contracts.BATCH, values=True)) == 1
    assert len(contracts.check(bad.half(), contracts.BATCH)) == 1  # not a matter of values


def test_latents_must_be_finite() -> None:
    latents = torch.zeros((1, 4, 8, 8), dtype=torch.bfloat16)
    latents[0, 0, 0, 0] = torch.inf
    assert lines(contracts.check(latents, contracts.LATENTS)) == [
        "latents: a value that is not finite, expected finite; "
        "try float32 or bfloat16, or check the weights"
    ]
