"""Fast codecs: plain 8-bit PNG and JPEG files by faster libraries than Pillow, where they are.

kornia-rs decodes and encodes PNG, simplejpeg decodes JPEG, both to Pillow's own pixels. Pillow
reads each header that `headers` leaves to it, and decodes whatever is not plain and whatever the
fast decoder refuses. One check is missing: see `ADLER`.
"""

import struct
import threading
import zlib
from collections.abc import Iterator
from functools import cache
from importlib import import_module, metadata
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pipeline.preprocessing import decoders
from pipeline.preprocessing.headers import CHECKSUM, CHUNK, PNG_START, Header
from pipeline.preprocessing.opening import UPRIGHT, orientation

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

__all__ = ["PILLOW", "as_image", "decode", "decoder", "jpeg", "levels", "png"]

PILLOW = "Pillow"
"""The name of what stands in where a fast decoder is missing."""

LIBRARIES = {"PNG": ("kornia_rs", "kornia-rs"), "JPEG": ("simplejpeg", "simplejpeg")}
"""By format: the module that decodes it, and its distribution."""

PNG_MODES = {"L": "mono", "RGB": "rgb", "RGBA": "rgba"}
JPEG_MODES = {"L": "GRAY", "RGB": "RGB"}

JPEG_END = b"\xff\xd9"
NOT_PLAIN = {b"tRNS", b"acTL", b"fcTL", b"fdAT"}
"""Chunks that give pixels another meaning: a transparent colour, or an animation."""

TAKEN = {"bbox", "interlace", "transparency"}
"""What Pillow notes of a PNG that is not plain, or of a text with such a key, which it misreads."""

ADLER, UNSET = slice(-20, -16), {0, 1, 0xFFFFFFFF}
"""Where the pixels' Adler-32 stands, before two checksums and the last chunk, and what encoders
leave there that compute none. kornia-rs does not compare it: pixels that were damaged before the
checksum of their chunk was computed are read, where Pillow refuses most of them. Comparing takes a
second inflate, since kornia-rs returns no filtered rows, of which it is the sum: with zlib 3.5 ms
at 512×512, with ISA-L 1.5 ms, beside 2.8 ms for all of kornia-rs's decoding."""

FIRST_CHUNK_END = len(PNG_START) + CHUNK.size + 13 + CHECKSUM
"""Where a PNG file's first chunk, its header of 13 bytes, ends."""

QUICK = 1
"""The level of compression. At 224×224, kornia-rs's is 5 % smaller than Pillow's and takes a
twelfth of its time: 0.4 ms."""

OVERSAMPLED = 2
"""A scaled JPEG is decoded at least so many times as large as the result."""

HALF = 2
"""The least scaling worth its while: libjpeg-turbo is slower at 7/8 to 5/8 than at full size."""

MOST_KEPT = 64 << 20
"""Bytes that a thread keeps to decode into: 16 million pixels. In fresh memory, each page costs a
fault: a quarter more time to decode 12 million pixels."""

_kept = threading.local()


def decoder(format_: str) -> str:
    """Return the name and version of what decodes plain files of a format, such as `png`."""
    module, distribution = LIBRARIES.get(format_.upper(), ("", ""))
    if not module or _library(module) is None:
        return PILLOW
    return f"{distribution} {metadata.version(distribution)}"


def levels(image: "ImageFile", size: int = 0) -> "np.ndarray | None":
    """Return the upright levels of a plain file that Pillow has opened, as `decode`, or None.

    Only a scaled JPEG is turned here: at full size Pillow turns a picture faster than numpy.
    """
    try:
        is_plain = image.format == "JPEG" or (
            image.format == "PNG"
            and image.tile[0].args == image.mode  # 8 bits
            and not image.info.keys() & TAKEN
        )
        modes = JPEG_MODES if image.format == "JPEG" else PNG_MODES
        turn = orientation(image)
        is_ours = turn == UPRIGHT or (image.format == "JPEG" and size > 0)
        if not is_plain or image.mode not in modes or not is_ours:
            return None
        header = Header(str(image.format), image.mode, image.width, image.height)
        decoded = decode(_bytes(image), header, size)
        return decoded if decoded is None or turn == UPRIGHT else _turned(decoded, turn)
    except Exception:  # Pillow says what is wrong, or finds that nothing is
        return None


def decode(
    data: bytes, header: Header, size: int = 0, is_lent: bool = False
) -> "np.ndarray | None":
    """Return the levels of a plain file, `(H, W, C)`; None if it is not plain, or damaged.

    C is 1 for gray, 3 for RGB, 4 for RGBA. With `size`, a JPEG is decoded at the smallest scale
    that is still twice that side. If lent, RGB may have a fourth channel without a meaning, and all
    levels are valid until the next file of this thread; so are those of a PNG in a thread of
    `stream`.
    """
    try:
        return _png(data, header) if header.format == "PNG" else _jpeg(data, header, size, is_lent)
    except Exception:  # Pillow says what is wrong, or finds that nothing is
        return None


def as_image(levels: "np.ndarray") -> "Image":
    """Return levels as an image, L, RGB or RGBA."""
    from PIL import Image

    return Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels)


def jpeg(image: "ImageFile") -> bytes | None:
    """Return the bytes of an upright gray or RGB JPEG file that Pillow has opened; else None.

    None also for a file without a JPEG's end marker: it may be truncated, and Pillow says so.
    """
    if image.format != "JPEG" or image.mode not in JPEG_MODES or orientation(image) != UPRIGHT:
        return None
    data = _bytes(image)
    return data if _is_whole(data) else None


def png(levels: "np.ndarray", key: str, text: str) -> bytes:
    """Encode levels `(H, W)` or `(H, W, 3)` as a PNG file that carries one text."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    if (library := _library("kornia_rs")) is None:
        info, file = PngInfo(), BytesIO()
        info.add_text(key, text)
        Image.fromarray(levels).save(file, "PNG", compress_level=QUICK, pnginfo=info)
        return file.getvalue()
    image = library.image.Image.frombuffer(levels[:, :, None] if levels.ndim == 2 else levels)
    encoded: bytes = image.encode("png", compress_level=QUICK)
    data = b"tEXt" + f"{key}\0{text}".encode("latin-1")
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return encoded[:FIRST_CHUNK_END] + chunk + encoded[FIRST_CHUNK_END:]


def _png(data: bytes, header: Header) -> "np.ndarray | None":
    library = _library("kornia_rs")
    types = list(_chunks(data)) if library is not None else []
    if not types:
        return None
    pixels = types.index(b"IDAT")
    if set(types[pixels:-1]) != {b"IDAT"} or types[-1] != b"IEND" or NOT_PLAIN & set(types):
        return None
    if int.from_bytes(data[ADLER]) in UNSET:
        return None
    mode = PNG_MODES[header.mode]
    if (decoder := decoders.current()) is not None:
        return decoder.decode(data, header.height, header.width, mode)
    shape = header.height, header.width
    decoded: np.ndarray = library.io.decode_image_png_u8(data, shape, mode)
    return decoded.reshape(*shape, -1)


def _chunks(data: bytes) -> Iterator[bytes]:
    """Yield the types of a PNG's chunks up to its end; raise where they do not end with it."""
    position = len(PNG_START)
    while position < len(data):
        length, name = CHUNK.unpack_from(data, position)
        position += CHUNK.size + length + CHECKSUM
        yield name
    if position > len(data):
        raise ValueError("a chunk goes on beyond the end of the file")


def _jpeg(data: bytes, header: Header, size: int, is_lent: bool) -> "np.ndarray | None":
    library = _library("simplejpeg")
    if library is None or not _is_whole(data):
        return None
    mode, side = JPEG_MODES[header.mode], OVERSAMPLED * size
    if is_lent and mode == "RGB":
        mode = "RGBX"  # torch resizes four channels faster than three
    buffer = _buffer(header.height * header.width * 4) if is_lent else None
    decoded: np.ndarray = library.decode_jpeg(
        data,
        mode,
        min_height=side,
        min_width=side,
        min_factor=HALF if size else 1,
        buffer=buffer,
    )
    return decoded if size or decoded.shape[:2] == (header.height, header.width) else None


def _turned(levels: "np.ndarray", turn: int) -> "np.ndarray":
    """Return levels turned upright from an orientation as EXIF numbers it."""
    import numpy as np

    if turn in (5, 6, 7, 8):
        levels = levels.swapaxes(0, 1)
    if turn in (3, 4, 7, 8):
        levels = levels[::-1]
    if turn in (2, 3, 6, 7):
        levels = levels[:, ::-1]
    return np.ascontiguousarray(levels)


def _is_whole(data: bytes) -> bool:
    return data.endswith(JPEG_END) or data.rstrip(b"\0").endswith(JPEG_END)


def _buffer(size: int) -> "np.ndarray | None":
    """Return memory that this thread keeps; None for more than it may keep."""
    import numpy as np

    if size > MOST_KEPT:
        return None
    buffer: np.ndarray | None = getattr(_kept, "buffer", None)
    if buffer is None or buffer.size < size:
        buffer = _kept.buffer = np.empty(size, np.uint8)
    return buffer


def _bytes(image: "ImageFile") -> bytes:
    """Return all bytes of a file that Pillow has opened, and leave it as it was."""
    file: Any = image.fp
    position = file.tell()
    file.seek(0)
    data: bytes = file.read()
    file.seek(position)
    return data


@cache
def _library(name: str) -> Any:
    """Import a decoder; None where it is missing, or cannot be imported: Pillow stands in."""
    try:
        module = import_module(name)
    except Exception:  # a broken library raises OSError, or anything else
        return None
    return module if module.__file__ else None  # else a folder that was left behind
