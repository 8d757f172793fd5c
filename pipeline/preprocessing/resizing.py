"""Resizing: pixels (C, H, W) to a square, by torch as torchvision calls it."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["resize", "takes_torchvision"]

NATIVE = ("AVX2", "AVX512")
"""Instructions of a processor on which torch resizes levels as they are; torchvision knows more."""


def resize(
    pixels: "torch.Tensor", size: int, interpolation: str, antialias: bool
) -> "torch.Tensor":
    """Return `(C, size, size)` in the dtype and the layout of `pixels`.

    Levels in the layout of a decoder go to torch directly, with the same result: after a decoder
    has filled the caches, the resize takes a quarter longer by way of torchvision.
    """
    is_plain = interpolation == "bilinear" and antialias and pixels.dtype.itemsize == 1
    channels, height, width = pixels.shape
    is_usual = pixels.stride() == (1, channels * width, channels) and pixels.device.type == "cpu"
    if (
        is_plain
        and is_usual
        and channels > 1
        and (height, width) != (size, size)
        and not takes_torchvision()
    ):
        from torch.nn.functional import interpolate

        # torch keeps the layout only if the stride of the one image says that it is interleaved
        # (github.com/pytorch/pytorch/issues/68430).
        strides = (channels * height * width, *pixels.stride())
        image = pixels.as_strided((1, channels, height, width), strides)
        return interpolate(image, (size, size), mode=interpolation, antialias=True)[0]
    from torchvision.transforms.v2 import InterpolationMode, functional

    resized: torch.Tensor = functional.resize(
        pixels, [size, size], InterpolationMode(interpolation), antialias=antialias
    )
    return resized


@cache
def takes_torchvision() -> bool:
    """Return whether this processor lacks what torch resizes levels with."""
    import torch

    return torch.backends.cpu.get_cpu_capability() not in NATIVE
