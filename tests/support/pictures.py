"""Pictures for tests: drawn, encoded, or one of `fixtures/`."""

import struct
import zlib
from io import BytesIO
from typing import Any

from pipeline import pregenerated
from pipeline.preprocessing.decoding import decode

RED, GREEN, GRAY, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (128,) * 3, (255,) * 3, (0,) * 3


def encode(image: Any, format_: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def filled(mode: str, value: Any, size: tuple[int, int] = (4, 2)) -> Any:
    from PIL import Image

    return Image.new(mode, size, value)


def palette(**info: Any) -> Any:
    """A red picture: number 1 of its palette."""
    image = filled("P", 1)
    image.putpalette([*GREEN, *RED])
    image.info.update(info)
    return image


def photo(size: tuple[int, int] = (512, 512)) -> Any:
    return decode(pregenerated.paths()[0]).resize(size)


def noise(size: tuple[int, int]) -> Any:
    import numpy as np
    from PIL import Image

    shape = (size[1], size[0], 3)
    return Image.fromarray(np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8))
