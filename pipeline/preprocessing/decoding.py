"""Decoding: an image file, or an image in memory, becomes an upright RGB image."""

import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

__all__ = ["WHITE", "Encoded", "decode", "jpeg", "name_of", "no_pixels", "reading"]

WHITE = (255, 255, 255)
"""The default colour behind transparent pixels."""

Encoded: TypeAlias = "str | PathLike[str] | bytes | bytearray | memoryview | IO[bytes]"
"""An image file: its path, its bytes, or an open binary file."""

ORIENTATION = 0x0112
UPRIGHT = 1

JPEG_END = b"\xff\xd9"

DEEPEST = 65535
"""The highest level of a 16-bit image; Pillow returns some of them as 32-bit integers."""

READERS = r"(PIL|torchvision|pipeline)\."
"""Modules whose warnings are about an image that is then read, or refused with an error."""


def decode(
    source: "Encoded | Image", background: tuple[int, int, int] = WHITE, name: str = ""
) -> "Image":
    """Return one image as RGB, upright by its EXIF orientation.

    Transparency is composited over `background`. 16-bit levels are scaled to 8 bits; an image of
    floats must hold values in [0, 1]. Only the first frame of an animation is read. Embedded colour
    profiles are ignored. An upright RGB image in memory is returned as it is.
    Raises `PipelineError`, naming the file or `name`, if the source is missing, empty, truncated,
    damaged, too large, without pixels, not a regular file, or not an image.
    """
    from PIL import Image

    name = name or name_of(source)
    with _refusing(name), reading():
        if isinstance(source, Image.Image):
            if 0 in source.size:
                raise no_pixels(name)
            return _as_rgb(source, background)
        with Image.open(_opened(source, name)) as image:
            return _as_rgb(image, background)


def jpeg(source: Any, name: str = "") -> bytes | None:
    """Return the bytes of an upright gray or RGB JPEG file; None for any other image.

    None also for a file without a JPEG's end marker: it may be truncated, and `decode` says so.
    Raises `PipelineError` as `decode` does, for a bad header.
    """
    from PIL import Image

    is_path_or_bytes = isinstance(source, str | PathLike | bytes | bytearray | memoryview)
    if not is_path_or_bytes and not hasattr(source, "read"):
        return None
    name = name or name_of(source)
    with _refusing(name), reading():
        opened = _opened(source, name)
        if isinstance(opened, Path):
            data = opened.read_bytes()
        else:
            data = opened.read()
            opened.seek(0)
        with Image.open(BytesIO(data)) as image:
            plain = image.format == "JPEG" and image.mode in ("L", "RGB")
            whole = data.rstrip(b"\0").endswith(JPEG_END)
            return data if plain and whole and _orientation(image) == UPRIGHT else None


def name_of(source: Any) -> str:
    """Return the name that an error gives an image: `image photo.png`, `image of 12 bytes`."""
    if isinstance(source, str | PathLike):
        return f"image {os.fspath(source)}"
    if isinstance(source, bytes | bytearray | memoryview):
        return f"image of {memoryview(source).nbytes} bytes"
    file = getattr(source, "filename", "") or getattr(source, "name", "")
    if isinstance(file, str) and file:
        return f"image {file}"
    return f"image in a {type(source).__name__}"


def no_pixels(name: str) -> PipelineError:
    """Return the error for an image whose width or height is 0."""
    return PipelineError(f"{name} of no pixels", "at least one pixel", "check what it holds")


def _opened(source: Encoded, name: str) -> Path | IO[bytes]:
    """Return the argument of `Image.open`; refuse, unopened, what may block, such as a FIFO."""
    opened: Path | IO[bytes]
    if isinstance(source, bytes | bytearray | memoryview):
        opened, size = BytesIO(source), len(source)
    elif isinstance(source, str | PathLike):
        opened = Path(source)
        status = opened.stat()
        size, kind = status.st_size, stat.S_IFMT(status.st_mode)
        if kind != stat.S_IFREG:
            kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}
            expected = f"a file, not a {kinds.get(kind, 'device')}"
            raise PipelineError(name, expected, "check the path")
    else:
        return source
    if size == 0:
        raise PipelineError(name, "an image, but it is empty", "make it again")
    return opened


def _as_rgb(image: "Image", background: tuple[int, int, int]) -> "Image":
    from PIL import Image, ImageOps

    image.load()
    if _orientation(image) != UPRIGHT:
        image = ImageOps.exif_transpose(image)
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode == "F" or image.mode.startswith("I"):
        image = Image.fromarray(_eight_bits(image))
    if not image.has_transparency_data:
        return image.convert("RGB")
    over = image.convert("RGBA")
    flat = Image.new("RGB", image.size, background)
    flat.paste(over, mask=over.getchannel("A"))
    return flat


def _orientation(image: "Image") -> int:
    """Return EXIF's orientation, 1 to 8; 1 where the tag is missing or invalid."""
    orientation = image.getexif().get(ORIENTATION, UPRIGHT)
    return orientation if orientation in range(1, 9) else UPRIGHT


def _eight_bits(image: "Image") -> "np.ndarray":
    """Scale 16-bit levels and floats in [0, 1] to 0–255; Pillow would clip them at 255."""
    import numpy as np

    levels = np.asarray(image)
    top = 1 if image.mode == "F" else DEEPEST
    low, high = levels.min(), levels.max()
    if not (low >= 0 and high <= top):  # NaN fails this too
        raise ValueError(f"levels from 0 to {top}, not from {low:.6g} to {high:.6g}")
    scaled: np.ndarray = np.multiply(levels, 255 / top, dtype=np.float32, casting="unsafe")
    np.rint(scaled, out=scaled)
    return scaled.astype(np.uint8)


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Turn whatever Pillow raises into a `PipelineError`."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except PipelineError:
        raise
    except FileNotFoundError as error:
        raise PipelineError(name, "a file that exists", "check the path") from error
    except UnidentifiedImageError as error:
        expected = "a format that Pillow reads, such as PNG or JPEG"
        raise PipelineError(name, expected, "convert it") from error
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise PipelineError(name, f"at most {limit} pixels", "make it smaller") from error
    except Exception as error:  # damaged bytes can make a parser raise anything
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise PipelineError(name, f"a whole image file ({why})", "make or copy it again") from error


_lock, _restore = threading.Lock(), ExitStack()
_readers = 0


@contextmanager
def reading() -> Iterator[None]:
    """Change two settings of the process while any thread reads an image; then restore them."""
    global _readers
    with _lock:
        if _readers == 0:
            _mute()
            _allocate_whole()
        _readers += 1
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0:
                _restore.close()


def _mute() -> None:
    """Ignore warnings of the modules that read images: an image is read, or refused with an error.

    Only this filter is removed again: `warnings.catch_warnings` would restore the whole list, and
    undo what other threads have changed meanwhile, such as the loop that consumes a stream.
    """
    muted = ("ignore", None, Warning, re.compile(READERS), 0)
    warnings.filterwarnings("ignore", module=READERS)

    def undo() -> None:
        with suppress(ValueError):  # another thread has restored filters without it
            warnings.filters.remove(muted)  # type: ignore[attr-defined]

    _restore.callback(undo)


def _allocate_whole() -> None:
    """Let Pillow allocate each image as one block, or images beyond 16 MiB cannot be lent.

    See "Arrow support" in Pillow's documentation.
    """
    from PIL import Image

    core: Any = Image.core  # type: ignore[attr-defined]
    _restore.callback(core.set_use_block_allocator, core.get_use_block_allocator())
    core.set_use_block_allocator(1)
