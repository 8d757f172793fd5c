"""A small copy of a cell's image, with its settings, for the report."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["LARGEST", "SIDE", "is_jpeg", "of_batch", "of_image"]

SIDE = 128
"""Pixels of the longer side, at most; a smaller image keeps its size."""

LARGEST = 16_384
"""Characters of one in base64, at most: pure noise of 128×128 takes 15 400, a picture 5000."""

QUALITY = 80

_BEGIN, _END = b"\xff\xd8\xff", b"\xff\xd9"
"""How every JPEG begins and ends."""


def of_image(image: "Image", **settings: str | int) -> Mapping[str, str | int]:
    """Return `jpeg` (base64), `width` and `height` of the image itself, and its settings."""
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    file = BytesIO()
    small.save(file, "jpeg", quality=QUALITY)
    jpeg = b64encode(file.getvalue()).decode("ascii")
    return {**settings, "width": image.width, "height": image.height, "jpeg": jpeg}


def of_batch(batch: Any, **settings: str | int) -> Mapping[str, str | int]:
    """Return the same of the first image of a tensor (N, C, H, W) in [0, 1]."""
    from pipeline.preprocessing.preprocess import to_image

    return of_image(to_image(batch[0]), **settings)


def is_jpeg(text: str | int | None) -> bool:
    """Return whether `text` is short enough, base64, and begins and ends as a JPEG."""
    if not isinstance(text, str) or len(text) > LARGEST:
        return False
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        return False
    return data.startswith(_BEGIN) and data.endswith(_END)
