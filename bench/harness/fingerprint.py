"""An output box-averaged to 8×8×3 bytes, in hex: comparable with a tolerance."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["of_batch", "of_image"]

SIDE = 8


def of_image(image: "Image") -> str:
    """Return the fingerprint of an image, as RGB."""
    from PIL.Image import Resampling

    return image.convert("RGB").resize((SIDE, SIDE), Resampling.BOX).tobytes().hex()


def of_batch(batch: Any) -> str:
    """Return the fingerprint of the first image of a tensor (N, C, H, W) in [0, 1]."""
    from pipeline.preprocessing import to_image

    return of_image(to_image(batch[0]))
