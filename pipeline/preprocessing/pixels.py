"""Pixels: an image, an array or a tensor as one tensor (C, H, W), without a copy where possible."""

import ctypes
import math
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError
from pipeline.preprocessing.opening import no_pixels

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL.Image import Image

__all__ = ["is_opaque", "of_array", "of_image", "of_tensor", "without_values"]


CLOSE = 2
"""Floats up to here have run over 1, as after a bicubic resize; 8-bit levels go higher."""


class _ArrowArray(ctypes.Structure):
    """`struct ArrowArray` of Arrow's C data interface, by which Pillow lends its pixels."""


_ArrowArray._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_ArrowArray))),
    ("dictionary", ctypes.c_void_p),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]

_pointer_in = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def of_image(image: "Image") -> "torch.Tensor":
    """Return an RGB image's own memory as uint8 `(4, H, W)`, channels last; do not write to it.

    Pillow stores four bytes a pixel; ignore the fourth. torchvision resizes four channels faster
    than three, and copying three of them takes as long as the resize. An image that Pillow cannot
    lend in this layout (its memory is not contiguous) is copied: `(3, H, W)`.
    """
    import numpy as np
    import torch

    lent = _lent(image)
    if lent is None:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)
    levels = torch.frombuffer(lent, dtype=torch.uint8)
    return levels.view(image.height, image.width, 4).permute(2, 0, 1)


def is_opaque(levels: "np.ndarray") -> bool:
    """Whether all pixels of RGBA levels `(H, W, 4)` have an alpha of 255."""
    import numpy as np

    return bool(np.bitwise_and.reduce(levels.reshape(-1).view("<u4")) >> 24 == 255)


def of_array(array: "np.ndarray", name: str) -> "torch.Tensor":
    """Return an array `(H, W, C)` or `(H, W)`, uint8 or floats in [0, 1], as `(C, H, W)`.

    Floats become float32. Raises `PipelineError` for another shape, dtype or range.
    """
    import numpy as np
    import torch

    is_float = array.dtype.kind == "f"
    _check_layout(name, array.dtype, is_float, array.shape, array.shape[2:], "(H, W, {})")
    if is_float:
        array = array.astype(np.float32)
    elif not array.flags.writeable or min(array.strides) < 0:  # torch accepts neither
        array = array.copy()
    pixels = torch.from_numpy(array)
    return _checked(pixels.permute(2, 0, 1) if pixels.ndim == 3 else pixels[None], name)


def of_tensor(tensor: "torch.Tensor", name: str) -> "torch.Tensor":
    """Return a tensor `(C, H, W)` or `(H, W)`, uint8 or floats in [0, 1], as `(C, H, W)`.

    Floats become float32. Raises `PipelineError` for another shape, dtype or range.
    """
    import torch

    is_float = tensor.is_floating_point()
    if tensor.layout is not torch.strided:
        raise PipelineError(f"{name}, sparse", "a dense tensor", "call to_dense()")
    if tensor.is_meta and is_float:
        raise without_values(name)
    _check_layout(name, tensor.dtype, is_float, tensor.shape, tensor.shape[:-2], "({}, H, W)")
    if is_float:
        tensor = tensor.detach().to(torch.float32)
    return _checked(tensor if tensor.ndim == 3 else tensor[None], name)


def without_values(name: str) -> PipelineError:
    """Return the error of a tensor on the meta device."""
    return PipelineError(f"{name}, meta", "a tensor with values", "make it on a real device")


def _lent(image: "Image") -> Any:
    """Return an image's own bytes, four a pixel, row after row; None if in any doubt.

    Pillow 11.3 crashes if asked for an image without pixels, and lends rows that are aligned
    (`PILLOW_ALIGNMENT`) as if they were not.
    """
    from PIL import Image

    size = 4 * image.width * image.height
    if not size or Image.core.get_alignment() != 1:  # type: ignore[attr-defined]
        return None
    try:
        schema, capsule = image.__arrow_c_array__()
    except ValueError:
        return None
    array = _ArrowArray.from_address(_pointer_in(capsule, b"arrow_array"))
    levels = array.children[0].contents if array.n_children == 1 else array
    if (levels.n_buffers, levels.offset, levels.length) != (2, 0, size):
        return None
    lent: Any = (ctypes.c_uint8 * size).from_address(levels.buffers[1])
    lent.owner = (schema, capsule)  # they own the memory, and live as long as the tensor
    return lent


def _check_layout(
    name: str, dtype: Any, is_float: bool, shape: Any, channels: Any, layout: str
) -> None:
    """Refuse another dtype or shape; `channels` is the shape without height and width."""
    kind = str(dtype).removeprefix("torch.")
    if not is_float and kind != "uint8":
        raise PipelineError(f"{name} of {kind}", "uint8, or floats in [0, 1]", "convert it")
    if len(shape) not in (2, 3) or tuple(channels) not in ((), (1,), (3,)):
        expected = f"(H, W), {layout.format(1)} or {layout.format(3)}"
        remedy = "an array is (H, W, C), a tensor (C, H, W)"
        raise PipelineError(f"{name} of shape {tuple(shape)}", expected, remedy)


def _advice(low: float, high: float) -> str:
    """Return what to do about floats from `low` to `high`."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "replace what is not a finite number"
    if low < 0:
        return "scale them"
    if high <= CLOSE:
        return "clamp them"
    return "divide 8-bit levels by 255" if high <= 255 else "divide them by their highest level"


def _checked(pixels: "torch.Tensor", name: str) -> "torch.Tensor":
    if 0 in pixels.shape:
        raise no_pixels(name)
    if pixels.is_floating_point():
        low, high = pixels.min().item(), pixels.max().item()
        if not (low >= 0.0 and high <= 1.0):  # NaN fails this too
            given = f"{name} of values from {low:.4g} to {high:.4g}"
            raise PipelineError(given, "floats in [0, 1], or uint8", _advice(low, high))
    return pixels
