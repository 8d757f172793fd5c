"""A header that is read from the bytes alone says what Pillow says; any doubt is left to Pillow."""

import random
import struct
from io import BytesIO
from typing import Any

import pytest

from pipeline.preprocessing import headers, opening
from support.pictures import chunk, encode, filled, photo

SMALL = (48, 32)


def png(*chunks: bytes, mode: str = "RGB") -> bytes:
    """A PNG with more chunks before its pixels."""
    data = encode(photo(SMALL).convert(mode), "PNG")
    start = data.index(b"IDAT") - 4
    return data[:start] + b"".join(chunks) + data[start:]


def jpeg(*segments: tuple[int, bytes], mode: str = "RGB", **options: Any) -> bytes:
    """A JPEG with more segments at its start."""
    data = encode(photo(SMALL).convert(mode), "JPEG", **options)
    more = (struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return data[:2] + b"".join(more) + data[2:]


READ = {
    "RGB PNG": png(),
    "gray PNG": png(mode="L"),
    "RGBA PNG": png(mode="RGBA"),
    "texts": png(chunk(b"tEXt", b"Software\0a"), chunk(b"tEXt", b"parameters\0steps 20")),
    "gamma and resolution": png(chunk(b"gAMA", bytes(4)), chunk(b"pHYs", bytes(9))),
    "RGB JPEG": jpeg(),
    "gray JPEG": jpeg(mode="L"),
    "progressive JPEG": jpeg(progressive=True),
    "comment": jpeg((0xFE, b"a comment")),
    "profile": encode(photo(SMALL), "JPEG", icc_profile=b"profile"),
    "Adobe's segment": jpeg((0xEE, b"Adobe\0\x64\0\0\0\0\x01")),
    "tables of 16 bits": jpeg((0xDB, b"\x13" + bytes(range(128)))),
}

LEFT = {
    "nothing": b"",
    "text": b"text",
    "PNG of 16 bits": encode(filled("I;16", 40000), "PNG"),
    "palette": encode(photo(SMALL).quantize(16), "PNG"),
    "gray and alpha": encode(photo(SMALL).convert("LA"), "PNG"),
    "colour key": encode(photo(SMALL), "PNG", transparency=(1, 2, 3)),
    "a text that Pillow takes for a colour key": png(chunk(b"tEXt", b"transparency\0a")),
    "a text with EXIF": png(chunk(b"tEXt", b"Raw profile type exif\0\n\n\n4d4d")),
    "a text with XMP": png(chunk(b"tEXt", b"XML:com.adobe.xmp\0<x/>")),
    "a text without an end of its key": png(chunk(b"tEXt", b"Software")),
    "EXIF in a PNG": png(chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\0")),
    "short gamma": png(chunk(b"gAMA", bytes(3))),
    "a wrong checksum": png(b"\0\0\0\x01tIMEabcde"),
    "two headers": png(chunk(b"IHDR", bytes(13))),
    "EXIF in a JPEG": jpeg((0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\0")),
    "pictures in one file": jpeg((0xE2, b"MPF\0" + bytes(20))),
    "Photoshop's segment": jpeg((0xED, b"Photoshop 3.0\0008BIM")),
    "a short table": jpeg((0xDB, b"\0" + bytes(63))),
    "two frames": jpeg((0xC0, b"\x08\0\x20\0\x30\x01\x01\x11\0")),
    "CMYK": jpeg(mode="CMYK"),
    "12 bits": jpeg().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),
    "arithmetic coding": jpeg().replace(b"\xff\xc0\0\x11", b"\xff\xc9\0\x11"),
}


@pytest.mark.parametrize("name", READ)
def test_a_plain_header_is_read_as_pillow_reads_it(name: str) -> None:
    header = headers.read(READ[name])
    assert header is not None
    with opening.opened(READ[name], "image") as image:
        assert header == headers.Header(str(image.format), image.mode, *image.size)
        assert opening.is_upright(image)
        assert not image.info.keys() & {"transparency", "exif"}


@pytest.mark.parametrize("name", LEFT)
def test_any_other_header_is_left_to_pillow(name: str) -> None:
    assert headers.read(LEFT[name]) is None


@pytest.mark.parametrize("name", READ)
def test_a_damaged_header_is_left_to_pillow_or_read_as_it_reads_it(name: str) -> None:
    from PIL import Image

    data, draw = READ[name], random.Random(name)
    for _ in range(300):
        changed = bytearray(data)
        changed[draw.randrange(min(len(data), 800))] ^= draw.randrange(1, 256)
        for damaged in bytes(changed), data[: draw.randrange(len(data))]:
            if (header := headers.read(damaged)) is not None:
                with opening.reading(), Image.open(BytesIO(damaged)) as image:
                    assert header == headers.Header(str(image.format), image.mode, *image.size)
                    assert opening.is_upright(image)


def test_more_pixels_than_pillow_takes_for_usual_are_left_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from PIL import Image

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", SMALL[0] * SMALL[1] - 1)
    assert headers.read(READ["RGB PNG"]) is None
    assert headers.read(READ["RGB JPEG"]) is None
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert headers.read(READ["RGB PNG"]) is not None
