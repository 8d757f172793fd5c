"""Preprocess: images → one float32 batch, by torchvision."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

__all__ = ["SIZE", "decode", "preprocess", "scale", "to_image", "transform"]

SIZE = 224
"""Side of a preprocessed image in pixels."""


def preprocess(
    images: "Sequence[Image | str | PathLike[str]]", size: int = SIZE, grayscale: bool = False
) -> "torch.Tensor":
    """Turn images into one batch `(N, C, size, size)`, float32 in [0, 1], contiguous.

    `images` are PIL images or paths, mixed. C is 3, or 1 with `grayscale` (ITU-R 601 luma). The
    resize is bilinear with antialiasing, and does not keep the aspect ratio. Raises `PipelineError`
    at the first image that cannot be read, or for no image at all.
    """
    import torch

    if not images:
        raise PipelineError("no image", "at least one", "pass one image or more")
    if size < 1:
        raise PipelineError(f"size {size}", "at least 1 pixel", "use 224")
    batch = torch.empty((len(images), 1 if grayscale else 3, size, size), dtype=torch.float32)
    for slot, image in zip(batch, images, strict=True):
        opened = decode(image) if isinstance(image, str | PathLike) else image
        slot.copy_(transform(opened, size, grayscale))
    return batch


def decode(path: "str | PathLike[str]") -> "Image":
    """Read one image file as RGB, upright by its EXIF orientation.

    Raises `PipelineError`, with the file in it, for one that is missing, empty, truncated, a folder
    or not an image.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    file = Path(path)
    try:
        if file.is_file() and file.stat().st_size == 0:
            raise PipelineError(f"image {file}", "an image, but it is empty", "make it again")
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16"):  # Pillow clips these at 255
                upright = upright.point(lambda level: level / 257).convert("L")
            return upright.convert("RGB")
    except FileNotFoundError as error:
        raise PipelineError(f"image {file}", "a file that exists", "check the path") from error
    except UnidentifiedImageError as error:
        raise PipelineError(
            f"image {file}", "a format that Pillow reads, such as PNG or JPEG", "convert it"
        ) from error
    except (OSError, SyntaxError, RuntimeError, ValueError, Image.DecompressionBombError) as error:
        raise PipelineError(
            f"image {file}", f"a whole image file ({error})", "make or copy it again"
        ) from error


def transform(image: "Image", size: int = SIZE, grayscale: bool = False) -> "torch.Tensor":
    """Turn one decoded image into `(C, size, size)`, float32 in [0, 1], contiguous.

    The pixels stay uint8 in their interleaved (channels-last) order until after the resize: that
    is torchvision's fast path.
    """
    import numpy as np
    import torch

    pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    return scale(pixels, size, grayscale)


def scale(pixels: "torch.Tensor", size: int = SIZE, grayscale: bool = False) -> "torch.Tensor":
    """Turn pixels (3, H, W), uint8, into `(C, size, size)`, float32 in [0, 1], contiguous."""
    import torch
    from torchvision.transforms.v2 import functional

    resized: torch.Tensor = functional.resize(pixels, [size, size], antialias=True)
    if grayscale:
        resized = functional.rgb_to_grayscale(resized)
    return resized.to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def to_image(tensor: "torch.Tensor") -> "Image":
    """Turn one `(C, H, W)` tensor in [0, 1] back into an image, L or RGB, rounded to 8 bits."""
    from PIL import Image

    levels: Any = tensor.mul(255).round_().clamp_(0, 255).byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels)
