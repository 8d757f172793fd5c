"""A file that EXIF or XMP turns is turned as Pillow turns it, wherever that stands in the file."""

from io import BytesIO
from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.preprocessing import fast, opening
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.preprocessing.decoding import decode
from support.pictures import chunk, encode, photo

SMALL = (48, 32)
END = 12
"""Bytes of a PNG's last chunk."""

EXIF = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06" + bytes(6)
PROFILE = b"\nexif\n%8d\n%s\n" % (len(EXIF), EXIF.hex().encode())
XMP = b'<x:xmpmeta tiff:Orientation="6"/>'
TURNING = {
    "eXIf": chunk(b"eXIf", EXIF),
    "a profile in tEXt": chunk(b"tEXt", b"Raw profile type exif\0" + PROFILE),
    "XMP in iTXt": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
}


def by_pillow(data: bytes) -> Any:
    """The pixels of a file by Pillow alone."""
    from PIL import Image, ImageOps

    with Image.open(BytesIO(data)) as image:
        image.load()
        return ImageOps.exif_transpose(image)


def turned(orientation: int, size: tuple[int, int] = SMALL) -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[opening.ORIENTATION] = orientation
    return encode(photo(size), "JPEG", exif=exif)


@pytest.mark.parametrize("name", TURNING)
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("has_fast", [False, True], ids=["Pillow", "fast"])
def test_a_png_is_turned_by_what_stands_before_its_pixels_or_after(
    name: str, is_after: bool, has_fast: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    if not has_fast:
        monkeypatch.setattr(fast, "_library", lambda name: None)
    plain = encode(photo(SMALL), "PNG")
    place = len(plain) - END if is_after else fast.FIRST_CHUNK_END
    path = tmp_path / "picture.png"
    path.write_bytes(plain[:place] + TURNING[name] + plain[place:])
    expected = by_pillow(path.read_bytes())
    assert expected.size == SMALL[::-1]
    for source in path, path.read_bytes(), BytesIO(path.read_bytes()):
        assert decode(source).tobytes() == expected.tobytes()
    batch = preprocessing.preprocess([path], 32)
    assert (batch == preprocessing.preprocess([expected], 32)).all()


@pytest.mark.parametrize("has_fast", [False, True], ids=["Pillow", "fast"])
def test_a_png_whose_exif_cannot_be_read_is_refused(
    has_fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_fast:
        monkeypatch.setattr(fast, "_library", lambda name: None)
    plain, text = encode(photo(SMALL), "PNG"), b"Raw profile type exif\0\n\n\nno hexadecimals"
    for place in fast.FIRST_CHUNK_END, len(plain) - END:
        data = plain[:place] + chunk(b"tEXt", text) + plain[place:]
        with pytest.raises(ValueError, match="non-hexadecimal"):
            by_pillow(data)
        with pytest.raises(PipelineError, match="non-hexadecimal"):
            decode(data)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_scaled_jpeg_is_decoded_at_a_fraction_and_then_turned(orientation: int) -> None:
    from PIL import Image, ImageOps

    data = turned(orientation, (512, 256))
    upright = encode(photo((512, 256)), "JPEG")
    with opening.opened(upright, "image a") as image:
        fraction = fast.as_image(fast.levels(image, 64))
    assert fraction.size == (256, 128)
    fraction.getexif()[opening.ORIENTATION] = orientation
    expected = ImageOps.exif_transpose(fraction)
    with opening.opened(data, "image b") as image:
        assert fast.levels(image, 64).shape == (*expected.size[::-1], 3)
    assert isinstance(expected, Image.Image)
    batch = preprocessing.preprocess([data], 64, scaled=True)
    assert (batch == preprocessing.preprocess([expected], 64)).all()
