"""Whatever bytes arrive, they are read as RGB or refused with one line: no crash, no warning."""

import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.preprocessing import decoding
from support.pictures import encode, photo

FORMATS = [
    *("AVIF", "BMP", "DDS", "DIB", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000", "MPO", "MSP"),
    *("PCX", "PNG", "PPM", "QOI", "SGI", "SPIDER", "TGA", "TIFF", "WEBP", "XBM"),
]


def written() -> list[tuple[str, bytes]]:
    """A small picture in every format and mode that this Pillow writes."""
    from PIL import Image

    Image.init()
    pictures = []
    for format_ in FORMATS:
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"):
            try:
                image = photo((32, 32)).convert("L" if mode == "I;16" else mode)
                pictures.append((f"{format_} {mode}", encode(image.convert(mode), format_)))
            except (OSError, ValueError, KeyError):
                continue  # no such mode in this format
    return pictures


WRITTEN = written()


def read_or_refused(data: bytes) -> bool:
    """Fewer pixels are allowed than usual: a damaged header may ask for very many."""
    from PIL import Image

    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("error")
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
        try:
            image = decoding.decode(data)
        except PipelineError as error:
            line = str(error)
        else:
            line = ""
            assert image.mode == "RGB"
            assert min(image.size) > 0
    assert re.fullmatch(rf"(image of {len(data)} bytes: expected .*)?", line)
    return not line


def test_what_pillow_writes_is_read_or_refused() -> None:
    assert len(WRITTEN) > 60
    readable = {name.split()[0] for name, data in WRITTEN if read_or_refused(data)}
    assert readable >= {"BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"}


@given(picture=st.sampled_from(WRITTEN), share=st.floats(0, 1))
def test_a_file_that_ends_anywhere_is_read_or_refused(
    picture: tuple[str, bytes], share: float
) -> None:
    _, data = picture
    read_or_refused(data[: max(1, int(share * len(data)))])


@given(
    picture=st.sampled_from(WRITTEN),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 7)), min_size=1, max_size=8),
)
def test_a_file_with_flipped_bits_is_read_or_refused(
    picture: tuple[str, bytes], flips: list[tuple[float, int]]
) -> None:
    damaged = bytearray(picture[1])
    for place, bit in flips:
        damaged[int(place * len(damaged))] ^= 1 << bit
    read_or_refused(bytes(damaged))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    read_or_refused(data)
