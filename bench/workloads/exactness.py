"""Exactness: how far a batch may differ from the reference, Pillow's resize of the same pixels."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.contracts import Violation
from pipeline.preprocessing.decoding import WHITE, as_rgb
from pipeline.preprocessing.opening import name_of, opened

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

__all__ = ["CUDA_JPEG", "SCALED", "TOLERANCE", "check", "decoded", "difference", "reference"]

Tolerance = tuple[float, float]
"""Levels of 255: the largest difference of one value, and the mean of all."""

TOLERANCE: Tolerance = (2.0, 0.5)

CUDA_JPEG: Tolerance = (32.0, 3.0)
"""For files decoded by nvJPEG: its inverse transform rounds differently from libjpeg's, and it
repeats chroma where libjpeg-turbo interpolates it. Not measured yet."""

SCALED: Tolerance = (16.0, 1.0)
"""For JPEG files decoded at a fraction of their size; a row states what it measured."""

ROUNDING = 1e-3
"""Levels that float32 may add to a difference of whole levels."""


def decoded(path: "str | Path") -> "Image":
    """Return the RGB pixels of a file, by Pillow alone."""
    name = name_of(path)
    with opened(path, name) as image:
        return as_rgb(image, WHITE, name)


def difference(batch: "torch.Tensor", expected: "torch.Tensor") -> tuple[float, float]:
    """Return the largest and the mean difference of two batches, in levels of 255."""
    levels = (batch.cpu() - expected).abs() * 255
    return levels.max().item(), levels.mean().item()


def reference(images: "Sequence[Image]", size: int, gray: bool) -> "torch.Tensor":
    """Return RGB images as a batch: Pillow's bilinear resize with antialiasing, levels / 255."""
    import numpy as np
    import torch
    from PIL.Image import Resampling

    resized = [image.resize((size, size), Resampling.BILINEAR) for image in images]
    arrays = [np.array(image.convert("L" if gray else "RGB"), np.float32) for image in resized]
    batch = torch.from_numpy(np.stack(arrays)).div_(255)
    return batch[:, None] if gray else batch.permute(0, 3, 1, 2)


def check(
    batch: "torch.Tensor",
    expected: "torch.Tensor",
    tolerance: Tolerance = TOLERANCE,
    boundary: str = "batch",
) -> list[Violation]:
    """Check that a batch lies within `tolerance` of `expected`, a batch of the same shape.

    `boundary` is what a violation calls the batch, such as the name of a peer.
    """
    measured = zip(("largest", "mean"), difference(batch, expected), tolerance, strict=True)
    return [
        Violation(
            boundary,
            f"{name} difference {levels:.3g}/255 from Pillow's antialiased bilinear resize",
            f"at most {limit:g}/255",
            "no number is given for other pixels",
        )
        for name, levels, limit in measured
        if not levels <= limit + ROUNDING  # NaN fails this too
    ]
