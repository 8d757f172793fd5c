"""A thumbnail is a small JPEG with the settings of its image, and never more than that."""

from base64 import b64decode, b64encode
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.results import thumbnail
from bench.results.cell import Row
from support.results import small

COLOUR = (200, 40, 90)


def decoded(found: Any) -> Image.Image:
    return Image.open(BytesIO(b64decode(found["jpeg"])))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((512, 512), (128, 128)),
        ((768, 512), (128, 85)),
        ((64, 64), (64, 64)),
        ((2000, 4), (128, 1)),
    ],
)
def test_the_longer_side_is_at_most_128_pixels(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    found = thumbnail.of_image(Image.new("RGB", size, COLOUR))
    assert decoded(found).format == "JPEG"
    assert decoded(found).size == expected
    assert (found["width"], found["height"]) == size


def test_it_shows_the_image() -> None:
    shown = np.asarray(decoded(thumbnail.of_image(Image.new("RGB", (300, 300), COLOUR))))
    assert np.abs(shown.astype(int) - COLOUR).max() <= 3


def test_it_carries_the_settings_of_the_image() -> None:
    found = thumbnail.of_image(Image.new("L", (9, 9)), prompt="a <city>", seed=7)
    assert {**found, "jpeg": ""} == {
        "prompt": "a <city>", "seed": 7, "width": 9, "height": 9, "jpeg": ""
    }  # fmt: skip


def test_the_image_itself_stays_as_it_was() -> None:
    image = Image.new("RGB", (300, 300), COLOUR)
    thumbnail.of_image(image)
    assert image.size == (300, 300)


def test_pure_noise_is_small_enough() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    found = thumbnail.of_image(Image.fromarray(noise))
    assert 15_000 < len(str(found["jpeg"])) <= thumbnail.LARGEST
    assert thumbnail.is_jpeg(found["jpeg"])


@pytest.mark.parametrize("channels", [1, 3])
def test_of_a_batch_it_is_the_first_image(channels: int) -> None:
    import torch

    batch = torch.zeros((2, channels, 224, 224))
    batch[0] = 0.5
    found = thumbnail.of_batch(batch, source="x.png")
    assert decoded(found).size == (128, 128)
    assert decoded(found).getpixel((64, 64)) == (128, 128, 128)
    assert found["source"] == "x.png"


JPEG = str(thumbnail.of_image(Image.new("RGB", (8, 8)))["jpeg"])


def sized(width: int, height: int) -> str:
    """The small JPEG with another size in its header (the segment SOF0)."""
    data = bytearray(b64decode(JPEG))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return b64encode(data).decode()


@pytest.mark.parametrize(
    "text",
    [
        None,
        7,
        "",
        "x",
        JPEG[:-4],
        JPEG[: len(JPEG) // 8 * 4],
        sized(65500, 65500),
        sized(9500, 9500),
        sized(129, 8),
        JPEG + '"',
        "javascript:alert(1)",
        b64encode(b"<svg onload=alert(1)>").decode(),
        b64encode(b"\xff\xd8\xff" + bytes(thumbnail.LARGEST) + b"\xff\xd9").decode(),
    ],
)
def test_what_is_no_small_jpeg_is_refused_with_its_place(text: Any) -> None:
    data = replace(small()[0], thumbnail={"jpeg": JPEG}).as_dict()
    assert Row.from_dict(data).thumbnail == {"jpeg": JPEG}
    data["thumbnail"] = {"seed": 0} if text is None else {"jpeg": text}
    with pytest.raises(ValueError, match=r"^a small JPEG in base64 at row\.thumbnail\.jpeg$"):
        Row.from_dict(data)
