"""An output box-averaged to 8×8×3 bytes, in hex: comparable with a tolerance."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["TOLERANCE", "distance", "of_batch", "of_image"]

SIDE = 8

TOLERANCE = 2
"""Largest `distance` of two that count as one output: noise of ±4 in every pixel stays below it."""


def of_image(image: "Image") -> str:
    """Return the fingerprint of an image, as RGB."""
    from PIL.Image import Resampling

    return image.convert("RGB").resize((SIDE, SIDE), Resampling.BOX).tobytes().hex()


def of_batch(batch: Any) -> str:
    """Return the fingerprint of the first image of a tensor (N, C, H, W) in [0, 1]."""
    from pipeline.preprocessing.preprocess import to_image

    return of_image(to_image(batch[0]))


def distance(one: str, other: str) -> int:
    """Return the largest difference of two bytes: 0 where one is missing, 255 where one is bad."""
    if not one or not other or one == other:
        return 0
    try:
        pairs = list(zip(bytes.fromhex(one), bytes.fromhex(other), strict=True))
    except ValueError:
        return 255
    return max(abs(a - b) for a, b in pairs)
