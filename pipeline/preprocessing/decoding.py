"""Decoding: a picture as people have it, in a file or in memory, becomes an upright RGB image."""

import os
import re
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

__all__ = ["WHITE", "Encoded", "decode", "jpeg", "name_of", "quiet"]

WHITE = (255, 255, 255)
"""What lies behind transparent pixels."""

Encoded: TypeAlias = "str | PathLike[str] | bytes | bytearray | memoryview | IO[bytes]"
"""A picture as a file: its path, its bytes, or an open binary file."""

ORIENTATION = 0x0112
UPRIGHT = 1

JPEG_END = b"\xff\xd9"

DEEPEST = 65535
"""The highest level of a 16-bit picture; Pillow hands some of them over as 32-bit integers."""

READERS = r"(PIL|torchvision|pipeline)\."
"""Modules whose warnings are of a picture, and would tell of it a second time."""


def decode(
    source: "Encoded | Image", background: tuple[int, int, int] = WHITE, name: str = ""
) -> "Image":
    """Return one picture as an RGB image, upright by its EXIF orientation.

    Transparency is laid over `background`. 16-bit levels are scaled to 8 bits, and an image of
    floats is one of shares in [0, 1]. Of an animation it is the first frame. Embedded colour
    profiles are ignored. An image in memory that is RGB and upright is returned as it is.
    Raises `PipelineError`, with the file or `name` in it, for what is missing, empty, truncated,
    damaged, too large, of no pixels, no regular file, or no image.
    """
    from PIL import Image

    name = name or name_of(source)
    with _refusing(name), quiet(), _WHOLE.held():
        if isinstance(source, Image.Image):
            if 0 in source.size:
                raise PipelineError(
                    f"{name} of no pixels", "at least one pixel", "check what it holds"
                )
            return _as_rgb(source, background)
        with Image.open(_opened(source, name)) as image:
            return _as_rgb(image, background)


def jpeg(source: Any, name: str = "") -> bytes | None:
    """Return the bytes of an upright gray or RGB JPEG file; None for any other picture.

    One that does not end as a JPEG file is another: it may be truncated, and `decode` says so.
    Raises `PipelineError` as `decode` does, for what its header tells.
    """
    from PIL import Image

    if isinstance(source, Image.Image) or not _is_encoded(source):
        return None
    name = name or name_of(source)
    with _refusing(name), quiet():
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
    """Return what an error calls a picture: `image photo.png`, `image of 12 bytes`."""
    if isinstance(source, str | PathLike):
        return f"image {os.fspath(source)}"
    if isinstance(source, bytes | bytearray | memoryview):
        return f"image of {memoryview(source).nbytes} bytes"
    file = getattr(source, "filename", "") or getattr(source, "name", "")
    if isinstance(file, str) and file:
        return f"image {file}"
    return f"image in a {type(source).__name__}"


def _is_encoded(source: Any) -> bool:
    return isinstance(source, str | PathLike | bytes | bytearray | memoryview) or hasattr(
        source, "read"
    )


def _opened(source: Encoded, name: str) -> Path | IO[bytes]:
    """Return what Pillow opens; refuse what would block, such as a FIFO, before it is opened."""
    if isinstance(source, bytes | bytearray | memoryview):
        if not source:
            raise PipelineError(name, "an image, but it is empty", "make it again")
        return BytesIO(source)
    if not isinstance(source, str | PathLike):
        return source
    file = Path(source)
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise PipelineError(name, f"a file, not a {_kind(status.st_mode)}", "check the path")
    if status.st_size == 0:
        raise PipelineError(name, "an image, but it is empty", "make it again")
    return file


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device")


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
    """Return EXIF's orientation, 1 to 8; 1 for what is none."""
    turned = image.getexif().get(ORIENTATION, UPRIGHT)
    return turned if turned in range(1, 9) else UPRIGHT


def _eight_bits(image: "Image") -> "np.ndarray":
    """Scale 16-bit levels and floats in [0, 1], which Pillow would cut off at 255."""
    import numpy as np

    levels = np.asarray(image)
    top = 1 if image.mode == "F" else DEEPEST
    low, high = levels.min(), levels.max()
    if not (low >= 0 and high <= top):  # NaN fails this too
        raise ValueError(f"levels from 0 to {top}, not from {low:.6g} to {high:.6g}")
    shares: np.ndarray = np.multiply(levels, 255 / top, dtype=np.float32, casting="unsafe")
    np.rint(shares, out=shares)
    return shares.astype(np.uint8)


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Turn what Pillow raises into one line."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except PipelineError:
        raise
    except FileNotFoundError as error:
        raise PipelineError(name, "a file that exists", "check the path") from error
    except UnidentifiedImageError as error:
        raise PipelineError(
            name, "a format that Pillow reads, such as PNG or JPEG", "convert it"
        ) from error
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise PipelineError(name, f"at most {limit} pixels", "make it smaller") from error
    except Exception as error:  # a decoder raises whatever damaged bytes lead its parser to
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise PipelineError(name, f"a whole image file ({why})", "make or copy it again") from error


class _Shared:
    """A setting of the whole process, changed while any thread is inside, then put back."""

    def __init__(self, change: Callable[[], Callable[[], None]]) -> None:
        """Take what makes the change and returns what undoes it."""
        self._change = change
        self._lock = threading.Lock()
        self._inside = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._undo = self._change()
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._undo()


def _mute() -> Callable[[], None]:
    """Ignore warnings from where pictures are read.

    The filter is taken out by itself: `warnings.catch_warnings` would put back all filters, and
    undo what other threads have changed meanwhile, such as the loop that a stream feeds.
    """
    muted = ("ignore", None, Warning, re.compile(READERS), 0)
    warnings.filterwarnings("ignore", module=READERS)

    def undo() -> None:
        with suppress(ValueError):  # someone else has put back filters without it
            warnings.filters.remove(muted)  # type: ignore[attr-defined]

    return undo


def _allocate_whole() -> Callable[[], None]:
    """Let Pillow lay each image into one piece.

    Beyond its block of 16 MiB, pixels are read in place only if they do (Pillow's documentation,
    "Arrow support").
    """
    from PIL import Image

    core: Any = Image.core  # type: ignore[attr-defined]
    before = core.get_use_block_allocator()
    core.set_use_block_allocator(1)
    return lambda: core.set_use_block_allocator(before)


_QUIET, _WHOLE = _Shared(_mute), _Shared(_allocate_whole)


def quiet() -> AbstractContextManager[None]:
    """Let no warning out: a picture is read, or refused with one line."""
    return _QUIET.held()
