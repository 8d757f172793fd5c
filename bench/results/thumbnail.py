"""A small copy of a cell's image, with its settings, for the report."""

import warnings
from base64 import b64decode, b64encode
from collections.abc import Mapping
from functools import lru_cache
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


@lru_cache(maxsize=1024)  # cells of one regime, and their peers, often make the same image
def is_jpeg(text: str | int | None) -> bool:
    """Return whether `text` is one of these images: short, base64, a whole JPEG, small."""
    if not isinstance(text, str) or len(text) > LARGEST:
        return False
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(BytesIO(b64decode(text, validate=True)), formats=("JPEG",))
        if max(image.size) > SIDE:
            return False
        image.load()
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError):
        return False
    return True
