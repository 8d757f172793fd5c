"""Preprocess: pictures → one float32 batch, by torchvision."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from operator import index
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

from pipeline import availability
from pipeline.contracts import SIZE
from pipeline.errors import PipelineError, UnavailableError, counted
from pipeline.preprocessing import decoding, fast, headers, pixels
from pipeline.preprocessing.decoding import WHITE, as_rgb, decode, flatten
from pipeline.preprocessing.opening import (
    Encoded,
    contents,
    name_of,
    opened,
    reading,
    refusing,
)
from pipeline.preprocessing.resizing import resize, takes_torchvision

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL.Image import Image

__all__ = [
    "INTERPOLATIONS",
    "Picture",
    "Settings",
    "decode",
    "empty",
    "fill",
    "is_picture",
    "load",
    "preprocess",
    "to_image",
    "whole",
]

INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "nearest-exact")
"""What torchvision calls them; `bilinear` with antialiasing is Pillow's."""

Picture: TypeAlias = "Encoded | Image | np.ndarray | torch.Tensor"
"""A path, bytes, an open binary file, an image, an array (H, W, C) or a tensor (C, H, W)."""

DEVICE = re.compile(r"cpu|cuda(:[0-9]+)?")

LUMA = (19595, 38470, 7471)
"""Weights of red, green and blue in gray: ITU-R 601-2, as Pillow's integers over 2**16."""

LUMA_BITS = 16

SHRUNK_ON_CUDA = 40
"""The largest shrink factor of a side on CUDA; the CPU does larger ones. torch keeps the filter's
weights in 48 KiB of shared memory, which the bicubic filter fills at a factor of 47, and refuses
more (ATen/native/cuda/UpSampleBilinear2d.cu)."""


@dataclass(frozen=True)
class Settings:
    """How pictures become a batch; a wrong value raises `PipelineError`."""

    size: int = SIZE
    """Side of the result in pixels; the aspect ratio is not kept."""
    grayscale: bool = False
    channels: int | None = None
    """3, or 1 with `grayscale`; 3 with `grayscale` makes three equal ones."""
    interpolation: str = "bilinear"
    antialias: bool = True
    device: str = "cpu"
    """`cpu`, or `cuda` to decode JPEG files and resize everything there."""
    background: tuple[int, int, int] = WHITE
    """The colour behind transparent pixels."""
    scaled: bool = False
    """Whether a JPEG file is decoded at a fraction of its size, at least twice `size`: faster, and
    a few levels of 255 different."""

    def __post_init__(self) -> None:
        """Refuse the first wrong value, and a device that is missing.

        A device of torch, an interpolation of torchvision, integers of numpy and a list as
        `background` are taken too.
        """
        for name in ("grayscale", "antialias", "scaled"):
            if not isinstance(value := getattr(self, name), bool):
                raise PipelineError(f"{name} {value!r}", "True or False", "change it")
        self._set("size", whole(self.size, "size", "at least 1 pixel", "use 224"))
        if self.channels not in (None, 1, 3) or (self.channels == 1 and not self.grayscale):
            raise PipelineError(
                f"channels {self.channels}", "3, or 1 with grayscale", "add grayscale=True"
            )
        self._set("interpolation", getattr(self.interpolation, "value", self.interpolation))
        if self.interpolation not in INTERPOLATIONS:
            known = " or ".join(INTERPOLATIONS)
            raise PipelineError(f"interpolation {self.interpolation}", known, "use bilinear")
        self._set("background", _colour(self.background))
        self._set("device", str(self.device))
        if not DEVICE.fullmatch(self.device):
            raise PipelineError(f"device {self.device}", "cpu or cuda", "use cpu")
        if self.device != "cpu" and (absent := availability.torch_cuda()) is not None:
            raise UnavailableError(f"device {self.device}", absent)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def shape(self, count: int) -> tuple[int, int, int, int]:
        """Return the shape of a batch of `count` pictures."""
        channels = self.channels or (1 if self.grayscale else 3)
        return (count, channels, self.size, self.size)


def preprocess(
    images: Iterable[Picture],
    size: int = SIZE,
    grayscale: bool = False,
    *,
    channels: int | None = None,
    interpolation: str = "bilinear",
    antialias: bool = True,
    device: str = "cpu",
    background: tuple[int, int, int] = WHITE,
    scaled: bool = False,
) -> "torch.Tensor":
    """Turn pictures into one batch `(N, C, size, size)`, float32 in [0, 1], contiguous.

    `images` may mix paths, bytes, open files, PIL images, arrays `(H, W, C)` and tensors
    `(C, H, W)`; arrays and tensors hold uint8 or floats in [0, 1]. `Settings` documents the
    keywords, `decoding.decode` how a file is read. Raises `PipelineError` for the first picture
    that cannot be read, and for an empty list.
    """
    settings = Settings(
        size, grayscale, channels, interpolation, antialias, device, background, scaled
    )
    if not isinstance(images, Iterable) and not is_picture(images):
        raise PipelineError(f"images {images!r}", "a list of images", "pass one image or more")
    if is_picture(images):
        raise PipelineError(f"{name_of(images)}, alone", "a list of images", "put it in a list")
    pictures = list(images)
    if not pictures:
        raise PipelineError("no image", "at least one", "pass one image or more")
    batch = empty(len(pictures), settings)
    for slot, picture in zip(batch, pictures, strict=True):
        fill(slot, picture, settings)
    return batch


def whole(value: Any, name: str, expected: str, remedy: str) -> int:
    """Return an option as an int of at least 1; refuse anything else, True included."""
    try:
        number = 0 if isinstance(value, bool) else index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise PipelineError(f"{name} {value}", expected, remedy)
    return number


def _colour(value: Any) -> tuple[int, int, int]:
    try:
        red, green, blue = map(index, value)
    except (TypeError, ValueError):
        red = green = blue = -1
    if not 0 <= min(red, green, blue) <= max(red, green, blue) <= 255:
        expected = "three levels from 0 to 255: red, green, blue"
        raise PipelineError(f"background {value!r}", expected, "use (255, 255, 255)")
    return red, green, blue


def empty(count: int, settings: Settings) -> "torch.Tensor":
    """Return an uninitialised batch; raise `PipelineError` if it does not fit into memory."""
    import torch

    try:
        return torch.empty(settings.shape(count), dtype=torch.float32, device=settings.device)
    except torch.OutOfMemoryError:  # of a device: the caller knows what else is in its memory
        raise
    except (RuntimeError, TypeError) as error:  # too much, or a size beyond 64 bits
        given = f"{counted(count, 'image')} of size {settings.size}"
        raise PipelineError(given, "a batch that fits into memory", "use 224") from error


def fill(slot: "torch.Tensor", picture: Picture, settings: Settings) -> None:
    """Write one picture into its `slot` of a batch.

    The levels stay uint8 and channels-last until after the resize: that is torchvision's fast
    path, within two levels of Pillow's own resize, rarely more than one.
    """
    levels = _pixels(picture, settings)
    if levels.is_meta and not slot.is_meta:  # validation fills a slot without values
        raise pixels.without_values(name_of(picture))
    if slot.device.type != "cpu":
        too_large = max(levels.shape[1:]) > SHRUNK_ON_CUDA * settings.size
        levels = levels.to("cpu" if too_large else slot.device)
        if not levels.is_floating_point():
            levels = levels[:3].float().div_(255)  # only the CPU resizes uint8
    resized = resize(levels, settings.size, settings.interpolation, settings.antialias)
    resized = resized[: 3 if len(resized) > 1 else 1]
    if resized.is_floating_point():
        gray = settings.grayscale and len(resized) > 1
        slot.copy_(_luma(resized)[None] / sum(LUMA) if gray else resized).clamp_(0, 1)
    else:
        _write_levels(slot, resized, settings.grayscale)


def load(usual: bool = False) -> None:
    """Import torch, torchvision and Pillow's decoders: seconds that no image should be charged for.

    With `usual`, torchvision (40 % of them) only where RGB pictures take it on this processor.
    """
    import torch  # noqa: F401

    if not usual or takes_torchvision():
        import torchvision.transforms.v2  # noqa: F401
    decoding.load()


def to_image(tensor: "torch.Tensor") -> "Image":
    """Turn one `(C, H, W)` tensor in [0, 1] back into an image, L or RGB, rounded to 8 bits."""
    levels = tensor.mul(255).round_().clamp_(0, 255).byte().permute(1, 2, 0)
    return fast.as_image(levels.cpu().numpy())


def _pixels(picture: Picture, settings: Settings) -> "torch.Tensor":
    """Return a picture as `(C, H, W)`, uint8 or float32; a fourth channel is to be ignored.

    Those of a file are valid until this thread's next file.
    """
    import numpy as np
    import torch
    from PIL import Image

    name = name_of(picture)
    if isinstance(picture, torch.Tensor):
        return pixels.of_tensor(picture, name)
    if isinstance(picture, np.ndarray):
        return pixels.of_array(picture, name)
    if isinstance(picture, Image.Image):
        return pixels.of_image(decode(picture, settings.background, name))
    if not is_picture(picture):
        expected = "a path, bytes, a file, a PIL image, an array or a tensor"
        raise PipelineError(name, expected, "convert it")
    data, size = contents(picture), settings.size if settings.scaled else 0
    header = None if data is None else headers.read(data)
    if (
        data is not None
        and header is not None
        and (settings.device == "cpu" or header.format == "PNG")
        and (levels := fast.decode(data, header, size, is_lent=True)) is not None
    ):
        return _flat(levels, header.mode, settings, name)
    with opened(picture if data is None else data, name) as image:
        if settings.device != "cpu" and (jpeg := fast.jpeg(image)) is not None:
            decoded = _decoded_on(settings.device, jpeg)
            if decoded is not None:
                return decoded
        levels = fast.levels(image, size)
        if levels is None:
            return pixels.of_image(as_rgb(image, settings.background, name))
        return _flat(levels, image.mode, settings, name)


def _flat(levels: "np.ndarray", mode: str, settings: Settings, name: str) -> "torch.Tensor":
    """Return levels as `_pixels` does: transparent ones on the background."""
    import torch

    if mode != "RGBA" or pixels.is_opaque(levels):
        return torch.from_numpy(levels).permute(2, 0, 1)
    with refusing(name), reading():
        return pixels.of_image(flatten(fast.as_image(levels), settings.background, name))


def _decoded_on(device: str, data: bytes) -> "torch.Tensor | None":
    """Decode a JPEG file on a CUDA device; None where nvJPEG or this torchvision cannot.

    Its rounding and chroma differ from those of libjpeg on the CPU. torchvision 0.29 deprecates
    its decoders: once they are gone, the CPU decodes.
    """
    import torch
    from torchvision import io

    if not hasattr(io, "decode_jpeg"):
        return None
    try:
        decoded: torch.Tensor = io.decode_jpeg(
            torch.frombuffer(bytearray(data), dtype=torch.uint8),
            mode=io.ImageReadMode.RGB,
            device=device,
        )
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, AttributeError):  # it cannot, or torchvision was built without nvJPEG
        return None  # the CPU reads the file, or says what is wrong with it
    return decoded


def _write_levels(slot: "torch.Tensor", levels: "torch.Tensor", grayscale: bool) -> None:
    """Write levels / 255 into `slot`, by numpy.

    numpy is as fast as torch on one thread. torch would split even these 50 000 pixels between
    threads, and wait milliseconds for them where other work keeps the cores busy.
    """
    import numpy as np

    array, batch = levels.numpy(), slot.numpy()
    if grayscale and len(array) > 1:  # rounded as in Pillow
        sums = _luma(array.astype(np.int32)) + (1 << LUMA_BITS - 1)
        array = sums[None] >> LUMA_BITS
    batch[:] = array  # numpy divides interleaved bytes more slowly
    np.divide(batch, np.float32(255), out=batch)


def _luma(levels: Any) -> Any:
    """Weigh red, green and blue of `(3, H, W)`, an array or a tensor."""
    red, green, blue = LUMA
    return levels[0] * red + levels[1] * green + levels[2] * blue


def is_picture(source: Any) -> bool:
    """Tell one picture from a list of them; an array or tensor of four dimensions is a list."""
    from PIL import Image

    if isinstance(source, str | PathLike | bytes | bytearray | memoryview | Image.Image):
        return True
    return hasattr(source, "read") or getattr(source, "ndim", 4) < 4
