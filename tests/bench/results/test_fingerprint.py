"""A fingerprint is the same for the same image, and close for one that is nearly the same."""

import numpy as np
import pytest
from PIL import Image

from bench.results import fingerprint

SIZE = (512, 384)


def picture(seed: int) -> np.ndarray:
    """Smooth colours of 384×512 pixels, uint8."""
    corners = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(corners).resize(SIZE, Image.Resampling.BICUBIC))


def of(pixels: np.ndarray) -> str:
    return fingerprint.of_image(Image.fromarray(pixels))


def test_one_colour_is_that_colour_64_times() -> None:
    assert fingerprint.of_image(Image.new("RGB", (50, 30), (10, 20, 30))) == "0a141e" * 64


def test_it_averages_boxes_from_the_top_left_to_the_right() -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[0, 0] = (200, 100, 0)  # a quarter of the first box
    pixels[:2, 2:4] = 255  # the second box
    assert of(pixels) == "321900" + "ffffff" + "000000" * 62


def test_a_slightly_changed_image_is_within_a_tolerance_of_two() -> None:
    original = picture(2)
    noise = np.random.default_rng(0).integers(-4, 5, original.shape)
    noisy = np.clip(original + noise, 0, 255).astype(np.uint8)
    assert fingerprint.distance(of(original), of(noisy)) <= 2
    assert (noisy != original).mean() > 0.8


def test_another_image_is_far_beyond_that_tolerance() -> None:
    assert fingerprint.distance(of(picture(3)), of(picture(4))) > 40


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_images_of_other_modes_count_as_rgb(mode: str) -> None:
    image = Image.fromarray(picture(5)).convert(mode)
    assert fingerprint.of_image(image) == fingerprint.of_image(image.convert("RGB"))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_has_the_fingerprint_of_its_first_image(channels: int) -> None:
    import torch

    batch = torch.zeros((2, channels, 224, 224))
    batch[0, :, :, 112:] = 1.0
    half = "000000" * 4 + "ffffff" * 4
    assert fingerprint.of_batch(batch) == half * 8
