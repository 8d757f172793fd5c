"""Fast codecs: plain 8-bit PNG and JPEG files by faster libraries than Pillow, where they are.

kornia-rs decodes and encodes PNG, simplejpeg decodes JPEG, both to Pillow's own pixels. Pillow
still reads each header, so that it accepts or refuses a file as ever, and it decodes whatever is
not plain and whatever the fast decoder refuses.
"""

import struct
import zlib
from collections.abc import Iterator
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pipeline.preprocessing import decoders
from pipeline.preprocessing.opening import is_upright

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

__all__ = ["as_image", "decoder", "jpeg", "levels", "png"]

PILLOW = "Pillow"

LIBRARIES = {"PNG": ("kornia_rs", "kornia-rs"), "JPEG": ("simplejpeg", "simplejpeg")}
"""By format: the module that decodes it, and its distribution."""

PNG_MODES = {"L": "mono", "RGB": "rgb", "RGBA": "rgba"}
JPEG_MODES = {"L": "GRAY", "RGB": "RGB"}

JPEG_END = b"\xff\xd9"
PNG_HEADER = 8
CHUNK = struct.Struct(">I4s")
CHECKSUM = 4
NOT_PLAIN = {b"tRNS", b"acTL", b"fcTL", b"fdAT"}
"""Chunks that give pixels another meaning: a transparent colour, or an animation."""

ADLER, UNSET = slice(-20, -16), {0, 1, 0xFFFFFFFF}
"""Where the pixels' Adler-32 stands, before two checksums and the last chunk, and what encoders
leave there that compute none. kornia-rs does not compare it. Doing so takes a second inflate: with
zlib 3.5 ms at 512×512, with ISA-L 1.5 ms, beside 2.8 ms for all of kornia-rs's decoding."""

PNG_START = PNG_HEADER + CHUNK.size + 13 + CHECKSUM
"""Where a PNG file's first chunk, its header of 13 bytes, ends."""

QUICK = 1
"""The level of compression. At 224×224, kornia-rs's is 5 % smaller than Pillow's and takes a
twelfth of its time: 0.4 ms."""

OVERSAMPLED = 2
"""A scaled JPEG is decoded at least so many times as large as the result."""

HALF = 2
"""The least scaling worth its while: libjpeg-turbo is slower at 7/8 to 5/8 than at full size."""


def decoder(format_: str) -> str:
    """Return the name and version of what decodes plain files of a format, such as `png`."""
    module, distribution = LIBRARIES.get(format_.upper(), ("", ""))
    if not module or find_spec(module) is None:
        return PILLOW
    return f"{distribution} {metadata.version(distribution)}"


def levels(image: "ImageFile", size: int = 0) -> "np.ndarray | None":
    """Return the levels of a plain file that Pillow has opened, `(H, W, C)`; None for others.

    C is 1 for gray, 3 for RGB, 4 for RGBA. With `size`, a JPEG is decoded at the smallest scale
    that is still twice that side. In a thread of `stream` they are valid until its next file.
    """
    try:
        if image.format == "PNG":
            return _png(image)
        return _jpeg(image, size)
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
    if image.format != "JPEG" or image.mode not in JPEG_MODES or not is_upright(image):
        return None
    data = _bytes(image)
    whole = data.endswith(JPEG_END) or data.rstrip(b"\0").endswith(JPEG_END)
    return data if whole else None


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
    return encoded[:PNG_START] + chunk + encoded[PNG_START:]


def _png(image: "ImageFile") -> "np.ndarray | None":
    library = _library("kornia_rs")
    is_plain = (
        image.mode in PNG_MODES
        and image.tile[0].args == image.mode  # 8 bits
        and not image.info.get("interlace")
        and is_upright(image)
    )
    if library is None or not is_plain:
        return None
    data = _bytes(image)
    types = list(_chunks(data))
    pixels = types.index(b"IDAT")
    if set(types[pixels:-1]) != {b"IDAT"} or types[-1] != b"IEND" or NOT_PLAIN & set(types):
        return None
    if int.from_bytes(data[ADLER]) in UNSET:
        return None
    mode = PNG_MODES[image.mode]
    if (decoder := decoders.current()) is not None:
        return decoder.decode(data, image.height, image.width, mode)
    decoded: np.ndarray = library.io.decode_image_png_u8(data, (image.height, image.width), mode)
    return decoded.reshape(image.height, image.width, -1)


def _chunks(data: bytes) -> Iterator[bytes]:
    """Yield the types of a PNG's chunks up to its end; raise where they do not end with it."""
    position = PNG_HEADER
    while position < len(data):
        length, name = CHUNK.unpack_from(data, position)
        position += CHUNK.size + length + CHECKSUM
        yield name
    if position > len(data):
        raise ValueError("a chunk goes on beyond the end of the file")


def _jpeg(image: "ImageFile", size: int) -> "np.ndarray | None":
    library = _library("simplejpeg")
    data = jpeg(image) if library is not None else None
    if data is None:
        return None
    side = OVERSAMPLED * size
    mode = JPEG_MODES[image.mode]
    decoded: np.ndarray = library.decode_jpeg(
        data, mode, min_height=side, min_width=side, min_factor=HALF if size else 1
    )
    return decoded if size or decoded.shape[1::-1] == image.size else None


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
    """Import a decoder; None where this platform has none."""
    try:
        return import_module(name)
    except ImportError:
        return None
