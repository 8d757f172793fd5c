"""Every common kind of picture is read as RGB, upright, at its own depth."""

import re
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.preprocessing import decoding, opening
from support.pictures import BLACK, GRAY, GREEN, RED, WHITE, encode, filled, palette, photo

SMALL = (48, 32)


def refusal(source: Any, **options: Any) -> str:
    with pytest.raises(PipelineError) as refused:
        decoding.decode(source, **options)
    return str(refused.value)


# What Pillow reads.


def profile() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


PICTURES: dict[str, tuple[Any, ...]] = {
    "1-bit": ("PNG", filled("1", 1), WHITE),
    "gray": ("PNG", filled("L", 128), GRAY),
    "gray JPEG": ("JPEG", filled("L", 128), GRAY),
    "gray, opaque": ("PNG", filled("LA", (128, 255)), GRAY),
    "palette": ("PNG", palette(), RED),
    "palette, another is transparent": ("PNG", palette(transparency=0), RED),
    "palette, opacity by number": ("PNG", palette(transparency=b"\x00\xff"), RED),
    "palette GIF": ("GIF", palette(), RED),
    "RGB": ("PNG", filled("RGB", RED), RED),
    "RGB, another is transparent": ("PNG", filled("RGB", RED), RED, {"transparency": GREEN}),
    "RGBA, opaque": ("PNG", filled("RGBA", (*RED, 255)), RED),
    "RGBA, half": ("PNG", filled("RGBA", (0, 0, 0, 127)), GRAY),
    "RGBA WebP": ("WEBP", filled("RGBA", (0, 0, 0, 127)), GRAY, {"lossless": True}),
    "CMYK TIFF": ("TIFF", filled("CMYK", (0, 255, 255, 0)), RED),
    "CMYK JPEG": ("JPEG", filled("CMYK", (0, 0, 0, 255)), BLACK),
    "16-bit": ("PNG", filled("I;16", 128 * 257), GRAY),
    "16-bit, brightest": ("PNG", filled("I;16", 65535), WHITE),
    "16-bit, rounded": ("PNG", filled("I;16", 128 * 257 - 128), GRAY),
    "16-bit TIFF": ("TIFF", filled("I;16", 128 * 257), GRAY),
    "16-bit PGM": ("PPM", filled("I", 128 * 257), GRAY),
    "32-bit": ("TIFF", filled("I", 128 * 257), GRAY),
    "floats": ("TIFF", filled("F", 128 / 255), GRAY),
    "BMP": ("BMP", filled("RGB", RED), RED),
    "embedded profile": ("PNG", filled("RGB", RED), RED, {"icc_profile": profile()}),
    "one pixel": ("PNG", filled("RGB", RED, (1, 1)), RED),
    "thin": ("PNG", filled("RGB", RED, (1, 60000)), RED),
    "wide": ("JPEG", filled("RGB", RED, (60000, 1)), (254, 0, 0), {"quality": 95}),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_read_as_rgb(name: str) -> None:
    format_, picture, colour, *options = PICTURES[name]
    image = decoding.decode(encode(picture, format_, **(options[0] if options else {})))
    assert image.mode == "RGB"
    assert image.getcolors(60000) == [(image.width * image.height, colour)]


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation_is_read(format_: str) -> None:
    frames = [filled("RGB", colour, (16, 16)) for colour in (RED, GREEN)]
    options = {"lossless": True} if format_ == "WEBP" else {}
    moving = encode(frames[0], format_, save_all=True, append_images=frames[1:], **options)
    assert decoding.decode(moving).getcolors() == [(256, RED)]


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 10))
def test_an_image_is_turned_upright(format_: str, orientation: int) -> None:
    from PIL import Image, ImageOps

    corners = filled("RGB", BLACK, (32, 16))
    corners.paste(RED, (0, 0, 16, 8))
    corners.paste(GREEN, (16, 0, 32, 8))
    exif = Image.Exif()
    exif[opening.ORIENTATION] = orientation
    lossless = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}
    encoded = encode(corners, format_, exif=exif, **lossless.get(format_, {}))
    turned = ImageOps.exif_transpose(Image.open(BytesIO(encoded)))
    upright = decoding.decode(encoded)
    assert upright.size == ((16, 32) if orientation in range(5, 9) else (32, 16))
    assert upright.tobytes() == turned.tobytes()
    # Where EXIF says that the first row and column of the file belong.
    place = ["NW", "NE", "SE", "SW", "NW", "NE", "SE", "SW", "NW"][orientation - 1]
    x = 2 if "W" in place else upright.width - 3
    y = 2 if "N" in place else upright.height - 3
    red, green, _ = upright.getpixel((x, y))
    assert red > 200 > green


def test_transparency_is_composited_over_the_background() -> None:
    half = filled("RGBA", (0, 0, 0, 127))
    assert decoding.decode(half, background=BLACK).getcolors() == [(8, BLACK)]
    assert decoding.decode(half, background=(0, 255, 0)).getcolors() == [(8, (0, 128, 0))]


def test_a_path_bytes_a_file_and_an_image_give_the_same_pixels(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "image.png"
    encoded = encode(photo(SMALL), "PNG")
    path.write_bytes(encoded)
    expected = photo(SMALL).tobytes()
    sources = [path, str(path), encoded, bytearray(encoded), memoryview(encoded), BytesIO(encoded)]
    for source in [*sources, Image.open(path), photo(SMALL)]:
        assert decoding.decode(source).tobytes() == expected
    with path.open("rb") as file:
        assert decoding.decode(file).tobytes() == expected


def test_an_image_in_memory_that_is_upright_and_rgb_is_not_copied() -> None:
    image = photo(SMALL)
    assert decoding.decode(image) is image


# Depth, and transparent colours.


@pytest.mark.parametrize(
    ("mode", "value", "line"),
    [
        ("I", 65536, "levels from 0 to 65535, not from 65536 to 65536; "
                     "divide them by their highest level"),
        ("I", -1, "levels from 0 to 65535, not from -1 to -1; check how it was made"),
        ("F", 255.0, "floats in [0, 1], not from 255 to 255; divide them by their highest level"),
        ("F", float("nan"), "floats in [0, 1], not from nan to nan; check how it was made"),
    ],
)  # fmt: skip
def test_levels_out_of_range_are_refused_and_not_clipped(
    mode: str, value: float, line: str
) -> None:
    assert refusal(filled(mode, value), name="image a") == f"image a: expected {line}"


def tiff(bits: int, photometric: int, data: bytes, sample_format: int = 1, end: str = "<") -> bytes:
    """A TIFF file of 8×2 gray pixels in one strip, by hand."""
    tags = {256: 8, 257: 2, 258: bits, 259: 1, 262: photometric, 273: 0, 277: 1, 278: 2,
            279: len(data), 339: sample_format}  # fmt: skip
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    pack = lambda form, *values: struct.pack(end + form, *values)  # noqa: E731
    entries = b"".join(pack("HHIHH", tag, 3, 1, value, 0)
                       for tag, value in sorted(tags.items()))  # fmt: skip
    head = (b"II" if end == "<" else b"MM") + pack("HI", 42, 8)
    return head + pack("H", len(tags)) + entries + pack("I", 0) + data


def levels_of(bits: int, value: float, end: str, sample_format: int) -> bytes:
    if sample_format == 3:
        return struct.pack(f"{end}16f", *[value] * 16)
    if bits == 12:
        return bytes([int(value) >> 4, (int(value) & 15) << 4 | int(value) >> 8,
                      int(value) & 255]) * 8  # fmt: skip
    form = {8: "B", 16: "h" if sample_format == 2 else "H", 32: "i" if sample_format == 2 else "I"}
    return struct.pack(f"{end}16{form[bits]}", *[int(value)] * 16)


@pytest.mark.parametrize("end", ["<", ">"])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize(
    ("bits", "sample_format", "top"),
    [(8, 1, 255), (12, 1, 4095), (16, 1, 65535), (16, 2, 32767), (32, 3, 1.0), (32, 1, 65535),
     (32, 2, 65535)],
)  # fmt: skip
@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_tiff_has_the_brightness_that_its_depth_and_photometric_say_or_is_refused(
    end: str, photometric: int, bits: int, sample_format: int, top: float, share: float
) -> None:
    data = tiff(bits, photometric, levels_of(bits, top * share, end, sample_format),
                sample_format, end)  # fmt: skip
    colour, line = None, ""
    try:
        [(_, colour)] = decoding.decode(data).getcolors()
    except PipelineError as error:
        line = str(error)
    if colour is None:  # Pillow reads no such file, or not at its full depth
        assert (bits, photometric) in {(16, 0), (32, 0), (12, 0), (12, 1), (32, 1)}
        assert re.search(
            "kind that Pillow reads|format that Pillow reads|where 0 is white|whole image", line
        )
    else:
        assert colour[0] == pytest.approx(255 * (share if photometric else 1 - share), abs=1)


def test_signed_levels_of_8_bits_are_refused() -> None:
    data = tiff(8, 1, levels_of(8, 200, "<", 1), sample_format=2)
    assert refusal(data, name="image a") == (
        "image a: expected levels from 0, not signed ones; convert it to 8 bits"
    )


def keyed_png(bits: int, pixels: list[tuple[int, ...]], key: tuple[int, ...]) -> bytes:
    """A PNG file of one row in which one gray level, or one colour, is transparent, by hand."""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", len(pixels), 1, bits, 0 if len(key) == 1 else 2, 0, 0, 0),
        b"tRNS": struct.pack(f">{len(key)}H", *key),
        b"IDAT": zlib.compress(
            b"\0" + packed(bits, [level for pixel in pixels for level in pixel])
        ),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    )


def packed(bits: int, levels: list[int]) -> bytes:
    number = 0
    for level in levels:
        number = number << bits | level
    length = bits * len(levels)
    return (number << -length % 8).to_bytes((length + 7) // 8, "big")


@pytest.mark.parametrize("high_bits", [0, 1])
@pytest.mark.parametrize(("bits", "channels"), [(1, 1), (2, 1), (4, 1), (8, 1), (16, 1), (8, 3),
                                                (16, 3)])  # fmt: skip
def test_a_transparent_colour_is_white_at_every_depth_and_its_neighbours_are_not(
    bits: int, channels: int, high_bits: int
) -> None:
    if high_bits and (bits == 16 or channels == 3 or bits == 1):
        pytest.skip("no bits above")
    top = 2**bits - 1
    key, near = (top // 2,) * channels, (top // 2 + 1,) * channels
    # Bits of a key above the depth say nothing.
    stored = tuple(level | high_bits << bits for level in key)
    row = decoding.decode(keyed_png(bits, [key, near] * 4, stored))
    assert row.getpixel((0, 0)) == WHITE
    assert row.getpixel((1, 0))[0] == pytest.approx(near[0] * 255 / top, abs=1)


@pytest.mark.parametrize(
    "picture",
    [
        filled("RGBA", (*RED, 0)),
        filled("LA", (128, 0)),
        palette(transparency=1),
        encode(filled("RGBA", (*RED, 0)), "PNG"),
        encode(filled("RGBA", (*RED, 0)), "WEBP", lossless=True),
        encode(filled("L", 128), "PNG", transparency=128),
        encode(filled("RGB", RED), "PNG", transparency=RED),
        encode(palette(), "GIF", transparency=1),
        keyed_png(16, [(1, 2, 3)], (1, 2, 3)),
        keyed_png(16, [(1,)], (1,)),
    ],
    ids=range(10),
)
def test_a_picture_that_is_transparent_everywhere_is_refused(picture: Any) -> None:
    assert refusal(picture, name="image a") == (
        "image a: expected a pixel that is not transparent; "
        "remove its alpha channel, or check how it was made"
    )


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_an_image_of_no_pixels_is_refused(size: tuple[int, int]) -> None:
    assert refusal(filled("RGB", RED, size), name="image mine") == (
        "image mine of no pixels: expected at least one pixel; check what it holds"
    )


def test_an_image_that_pillow_does_not_convert_is_not_called_a_file() -> None:
    assert refusal(filled("La", (1, 1)), name="image a") == (
        "image a: expected an image that Pillow converts (conversion from La to L not supported); "
        "convert it to RGB"
    )
