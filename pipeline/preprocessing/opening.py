"""Opening: an image file, whatever its source, with Pillow; what cannot be opened is refused."""

import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from io import BytesIO, TextIOBase
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from pipeline.errors import PipelineError, with_article
from pipeline.preprocessing.headers import JPEG_START, PNG_START

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

__all__ = [
    "FORMATS",
    "Encoded",
    "contents",
    "is_allowed",
    "is_upright",
    "name_of",
    "no_pixels",
    "opened",
    "orientation",
    "reading",
    "refusing",
]

Encoded: TypeAlias = "str | PathLike[str] | bytes | bytearray | memoryview | IO[bytes]"
"""An image file: its path, its bytes, or an open binary file."""

FORMATS = {
    *("AVIF", "BLP", "BMP", "CUR", "DCX", "DDS", "DIB", "FITS", "FLI", "FTEX", "GBR", "GIF"),
    *("ICNS", "ICO", "IM", "IMT", "IPTC", "JPEG", "JPEG2000", "MCIDAS", "MPO", "MSP", "PCD"),
    *("PCX", "PIXAR", "PNG", "PPM", "PSD", "QOI", "SGI", "SPIDER", "SUN", "TGA", "TIFF", "WEBP"),
    *("XBM", "XPM", "XVTHUMB"),
}
"""The formats that Pillow reads by itself. Not EPS, for which it starts Ghostscript, and none that
needs another library: GRIB, HDF5, MPEG and the like."""

MANY_KINDS = ("AVIF", "BMP", "GIF", "JPEG2000", "PSD", "TIFF", "WEBP")
"""Formats with kinds that Pillow does not read, such as TIFF of 16 bits whose white is zero."""

READERS = r"(PIL|torchvision|pipeline)\."
"""Modules whose warnings are about an image that is then read, or refused with an error."""

SIGNATURES = (JPEG_START, PNG_START)
LONGEST_SIGNATURE = len(PNG_START)

ORIENTATION = 0x0112
UPRIGHT = 1

DAMAGED = "make or copy it again"


@contextmanager
def opened(source: Encoded, name: str) -> "Iterator[ImageFile]":
    """Open an image file, so that its header is known and its pixels are not read yet.

    Raises `PipelineError` naming `name`, also for errors while the caller reads the pixels.
    """
    from PIL import Image, UnidentifiedImageError

    with refusing(name), reading():
        file = _file(source, name)
        Image.init()
        try:
            image = Image.open(file, formats=_formats(tuple(Image.ID)))
        except UnidentifiedImageError as error:
            raise PipelineError(name, *_advice(_head(file))) from error
        with image:
            yield image


def contents(source: Any) -> bytes | None:
    """Return the bytes of a JPEG or PNG file, given as its path or its bytes.

    None for other files, for an open one, and for what `opened` may refuse.
    """
    try:
        if isinstance(source, bytes | bytearray | memoryview):
            data = bytes(source)
            return data if data.startswith(SIGNATURES) else None
        if isinstance(source, str | PathLike) and stat.S_ISREG(os.stat(Path(source)).st_mode):
            with open(source, "rb", buffering=0) as file:
                if file.read(LONGEST_SIGNATURE).startswith(SIGNATURES):
                    file.seek(0)
                    return file.readall()
    except Exception:  # `opened` says what is wrong
        return None
    return None


def name_of(source: Any) -> str:
    """Return the name that an error gives an image: `image photo.png`, `image of 12 bytes`."""
    if isinstance(source, str | PathLike):
        return f"image {os.fspath(source)}"
    if isinstance(source, bytes | bytearray | memoryview):
        return f"image of {memoryview(source).nbytes} bytes"
    file = getattr(source, "filename", "") or getattr(source, "name", "")
    if isinstance(file, str) and file:
        return f"image {file}"
    return f"image in {with_article(type(source).__name__)}"


def is_upright(image: "Image") -> bool:
    """Whether EXIF or XMP leave an image as it is; its pixels must have been read."""
    from PIL import Image

    return Image.Image.getexif(image).get(ORIENTATION, UPRIGHT) not in range(UPRIGHT + 1, 9)


def orientation(image: "Image") -> int:
    """Return the orientation that the header of a JPEG or PNG file names: 1 (upright) to 8.

    Pillow keeps its first answer about EXIF, and a PNG may bring EXIF after its pixels: another
    image with the same notes is asked.
    """
    from PIL import Image

    asked = Image.Image()
    asked.info = image.info
    value = asked.getexif().get(ORIENTATION, UPRIGHT)
    return int(value) if value in range(1, 9) else UPRIGHT


def no_pixels(name: str) -> PipelineError:
    """Return the error for an image whose width or height is 0."""
    return PipelineError(f"{name} of no pixels", "at least one pixel", "check what it holds")


@contextmanager
def refusing(
    name: str, expected: str = "a whole image file", remedy: str = DAMAGED
) -> Iterator[None]:
    """Turn whatever Pillow raises into a `PipelineError`, by default one about a damaged file."""
    from PIL import Image

    try:
        yield
    except PipelineError:
        raise
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise PipelineError(name, f"at most {limit} pixels", "make it smaller") from error
    except Exception as error:  # damaged bytes can make a parser raise anything
        if why := getattr(error, "strerror", None):  # the operating system's
            raise _unreadable(name, error, why) from error
        why = str(error) or type(error).__name__
        raise PipelineError(name, f"{expected} ({why})", remedy) from error


def _unreadable(name: str, error: Exception, why: str) -> PipelineError:
    if isinstance(error, FileNotFoundError):
        return PipelineError(name, "a file that exists", "check the path")
    return PipelineError(name, f"a file that can be read ({why})", "check the path")


@cache
def _formats(known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the formats to try, the most frequent first: some are tried by reading a header."""
    return tuple(sorted(filter(is_allowed, known), key=lambda name: name not in ("JPEG", "PNG")))


def is_allowed(format_: str) -> bool:
    """Whether files of a format are opened: ours, and those of plugins that a program has added."""
    from PIL import Image

    factory, _ = Image.OPEN.get(format_, (None, None))
    return factory is not None and (format_ in FORMATS or not factory.__module__.startswith("PIL."))


def _file(source: Encoded, name: str) -> Path | IO[bytes]:
    """Return the argument of `Image.open`; refuse, unopened, what may block, such as a FIFO."""
    file: Path | IO[bytes]
    if isinstance(source, bytes | bytearray | memoryview):
        file, size = BytesIO(bytes(source)), memoryview(source).nbytes
    elif isinstance(source, str | PathLike):
        file = Path(source)
        try:
            status = file.stat()
        except (OSError, ValueError) as error:  # ValueError: a null byte in the path
            raise _unreadable(name, error, getattr(error, "strerror", "") or str(error)) from error
        size, kind = status.st_size, stat.S_IFMT(status.st_mode)
        if kind != stat.S_IFREG:
            kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}
            expected = f"a file, not a {kinds.get(kind, 'device')}"
            raise PipelineError(name, expected, "check the path")
    else:
        if isinstance(source, TextIOBase):
            raise PipelineError(name, "a file opened for bytes", 'open it with "rb"')
        if getattr(source, "closed", False):
            raise PipelineError(name, "an open file, but it is closed", "open it again")
        return source
    if size == 0:
        raise PipelineError(name, "an image, but it is empty", "make it again")
    return file


def _head(file: Path | IO[bytes]) -> bytes:
    """Return the first bytes of a file that is no image."""
    with suppress(Exception):
        if isinstance(file, Path):
            with file.open("rb") as opened_file:
                return opened_file.read(1 << 16)
        file.seek(0)
        return file.read(1 << 16)
    return b""


def _advice(head: bytes) -> tuple[str, str]:
    """Return what is expected instead of a file that starts with `head`, and a remedy."""
    from PIL import Image

    if head.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6")):
        return "pixels, not PostScript, which would start another program", "convert it to PNG"
    if head.startswith(b"\xff\xd8"):
        frame = re.search(rb"\xff[\xc0-\xc3]\x00[\x0b\x0e\x11\x14]([^\x08])", head)
        if frame:
            return f"8 bits a sample, not a JPEG of {frame[1][0]}", "convert it to 8 bits"
    for format_, signature in ("PNG", PNG_START), ("JPEG", JPEG_START):
        if head.startswith(signature):
            return f"a whole image file (its {format_} header is damaged)", DAMAGED
    for format_ in MANY_KINDS:
        _, is_one = Image.OPEN.get(format_, (None, None))
        if is_one is not None and is_one(head[:16]) is True:
            return f"{format_} of a kind that Pillow reads, and whole", "convert it to PNG"
    return "a format that Pillow reads, such as PNG or JPEG", "convert it"


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
