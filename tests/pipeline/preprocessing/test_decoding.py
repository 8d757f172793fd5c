"""Every picture that people have is read as RGB; whatever else comes is refused with one line."""

import os
import re
import socket
import threading
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import pregenerated
from pipeline.errors import PipelineError
from pipeline.preprocessing import decoding

RED, GREEN, GRAY, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (128,) * 3, (255,) * 3, (0,) * 3
WHOLE = r"expected a whole image file \(.+\); make or copy it again"
READABLE = "expected a format that Pillow reads, such as PNG or JPEG; convert it"


def encode(image: Any, format_: str, **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, format_, **options)
    return stream.getvalue()


def filled(mode: str, value: Any, size: tuple[int, int] = (4, 2)) -> Any:
    from PIL import Image

    return Image.new(mode, size, value)


def palette(**info: Any) -> Any:
    """A picture of one colour, number 1 of its palette: red."""
    image = filled("P", 1)
    image.putpalette([*GREEN, *RED])
    image.info.update(info)
    return image


def photo(size: tuple[int, int] = (48, 32)) -> Any:
    return decoding.decode(pregenerated.paths()[0]).resize(size)


def refusal(source: Any, **options: Any) -> str:
    with pytest.raises(PipelineError) as refused:
        decoding.decode(source, **options)
    return str(refused.value)


# What Pillow reads.

PICTURES = {
    "1-bit": (lambda: encode(filled("1", 1), "PNG"), WHITE),
    "gray": (lambda: encode(filled("L", 128), "PNG"), GRAY),
    "gray JPEG": (lambda: encode(filled("L", 128), "JPEG"), GRAY),
    "gray with a transparent level": (
        lambda: encode(filled("L", 128), "PNG", transparency=128),
        WHITE,
    ),
    "gray, opaque": (lambda: encode(filled("LA", (128, 255)), "PNG"), GRAY),
    "gray, transparent": (lambda: encode(filled("LA", (0, 0)), "PNG"), WHITE),
    "palette": (lambda: encode(palette(), "PNG"), RED),
    "palette, transparent": (lambda: encode(palette(transparency=1), "PNG"), WHITE),
    "palette, another is transparent": (lambda: encode(palette(transparency=0), "PNG"), RED),
    "palette, opacity by number": (
        lambda: encode(palette(transparency=b"\xff\x00"), "PNG"),
        WHITE,
    ),
    "palette GIF": (lambda: encode(palette(), "GIF"), RED),
    "palette GIF, transparent": (lambda: encode(palette(), "GIF", transparency=1), WHITE),
    "RGB": (lambda: encode(filled("RGB", RED), "PNG"), RED),
    "RGB with a transparent colour": (
        lambda: encode(filled("RGB", RED), "PNG", transparency=RED),
        WHITE,
    ),
    "RGBA, opaque": (lambda: encode(filled("RGBA", (*RED, 255)), "PNG"), RED),
    "RGBA, transparent": (lambda: encode(filled("RGBA", (*RED, 0)), "PNG"), WHITE),
    "RGBA, half": (lambda: encode(filled("RGBA", (0, 0, 0, 127)), "PNG"), GRAY),
    "RGBA WebP": (lambda: encode(filled("RGBA", (*RED, 0)), "WEBP", lossless=True), WHITE),
    "CMYK TIFF": (lambda: encode(filled("CMYK", (0, 255, 255, 0)), "TIFF"), RED),
    "CMYK JPEG": (lambda: encode(filled("CMYK", (0, 0, 0, 255)), "JPEG"), BLACK),
    "16-bit": (lambda: encode(filled("I;16", 128 * 257), "PNG"), GRAY),
    "16-bit, brightest": (lambda: encode(filled("I;16", 65535), "PNG"), WHITE),
    "16-bit, rounded": (lambda: encode(filled("I;16", 128 * 257 - 128), "PNG"), GRAY),
    "16-bit TIFF": (lambda: encode(filled("I;16", 128 * 257), "TIFF"), GRAY),
    "16-bit PGM": (lambda: encode(filled("I", 128 * 257), "PPM"), GRAY),
    "32-bit": (lambda: encode(filled("I", 128 * 257), "TIFF"), GRAY),
    "floats": (lambda: encode(filled("F", 128 / 255), "TIFF"), GRAY),
    "BMP": (lambda: encode(filled("RGB", RED), "BMP"), RED),
    "embedded profile": (lambda: encode(filled("RGB", RED), "PNG", icc_profile=profile()), RED),
    "one pixel": (lambda: encode(filled("RGB", RED, (1, 1)), "PNG"), RED),
    "thin": (lambda: encode(filled("RGB", RED, (1, 60000)), "PNG"), RED),
    "wide": (lambda: encode(filled("RGB", RED, (60000, 1)), "JPEG", quality=95), (254, 0, 0)),
}


def profile() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_read_as_rgb(name: str) -> None:
    make, colour = PICTURES[name]
    image = decoding.decode(make())
    assert image.mode == "RGB"
    assert image.getcolors(60000) == [(image.width * image.height, colour)]


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation_is_read(format_: str) -> None:
    frames = [filled("RGB", colour, (16, 16)) for colour in (RED, GREEN)]
    options = {"lossless": True} if format_ == "WEBP" else {}
    moving = encode(frames[0], format_, save_all=True, append_images=frames[1:], **options)
    assert decoding.decode(moving).getcolors() == [(256, RED)]


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_upright(format_: str, orientation: int) -> None:
    from PIL import Image, ImageOps

    corners = filled("RGB", BLACK, (32, 16))
    corners.paste(RED, (0, 0, 16, 8))
    corners.paste(GREEN, (16, 0, 32, 8))
    exif = Image.Exif()
    exif[decoding.ORIENTATION] = orientation
    lossless = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}
    encoded = encode(corners, format_, exif=exif, **lossless.get(format_, {}))
    turned = ImageOps.exif_transpose(Image.open(BytesIO(encoded)))
    upright = decoding.decode(encoded)
    assert upright.size == ((32, 16) if orientation < 5 else (16, 32))
    assert upright.tobytes() == turned.tobytes()
    # Where EXIF says that the first row and column of the file belong.
    places = {1: "NW", 2: "NE", 3: "SE", 4: "SW", 5: "NW", 6: "NE", 7: "SE", 8: "SW"}
    x = 2 if "W" in places[orientation] else upright.width - 3
    y = 2 if "N" in places[orientation] else upright.height - 3
    red, green, _ = upright.getpixel((x, y))
    assert red > 200 > green


def test_an_orientation_that_is_none_leaves_the_image_as_it_is() -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[decoding.ORIENTATION] = 9
    assert decoding.decode(encode(filled("RGB", RED), "PNG", exif=exif)).size == (4, 2)


def test_transparency_is_laid_over_the_background_that_is_asked_for() -> None:
    half = filled("RGBA", (0, 0, 0, 127))
    assert decoding.decode(half, background=BLACK).getcolors() == [(8, BLACK)]
    assert decoding.decode(half, background=(0, 255, 0)).getcolors() == [(8, (0, 128, 0))]


def test_a_path_bytes_a_file_and_an_image_give_the_same_pixels(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "image.png"
    encoded = encode(photo(), "PNG")
    path.write_bytes(encoded)
    expected = photo().tobytes()
    sources = [path, str(path), encoded, bytearray(encoded), memoryview(encoded), BytesIO(encoded)]
    for source in [*sources, Image.open(path), photo()]:
        assert decoding.decode(source).tobytes() == expected
    with path.open("rb") as file:
        assert decoding.decode(file).tobytes() == expected


def test_an_image_in_memory_that_is_upright_and_rgb_is_not_copied() -> None:
    image = photo()
    assert decoding.decode(image) is image


# What is refused.


def test_what_is_no_regular_file_is_refused_and_never_opened(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no FIFO")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        for name in ("fifo", "folder", "socket"):
            kind = "FIFO" if name == "fifo" else name
            assert refusal(tmp_path / name) == (
                f"image {tmp_path / name}: expected a file, not a {kind}; check the path"
            )
    assert refusal("/dev/null") == (
        "image /dev/null: expected a file, not a device; check the path"
    )
    assert re.fullmatch(f"image .*loop: {WHOLE}", refusal(tmp_path / "loop"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "expected a file that exists; check the path"),
        (b"", "expected an image, but it is empty; make it again"),
        (b"<html>", READABLE),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes | None, expected: str) -> None:
    path = tmp_path / "image.png"
    if content is not None:
        path.write_bytes(content)
        assert refusal(content) == f"image of {len(content)} bytes: {expected}"
    assert refusal(path) == f"image {path}: {expected}"


def test_a_file_that_vanishes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(encode(photo(), "PNG"))
    asked = Path.stat

    def stat(self: Path, **options: Any) -> os.stat_result:
        status = asked(self, **options)
        if self == path:
            path.unlink()
        return status

    monkeypatch.setattr(Path, "stat", stat)
    assert refusal(path) == f"image {path}: expected a file that exists; check the path"


@pytest.mark.parametrize(
    ("mode", "value", "range_"),
    [
        ("I", 65536, "0 to 65535, not from 65536 to 65536"),
        ("I", -1, "0 to 65535, not from -1 to -1"),
        ("F", 1.5, "0 to 1, not from 1.5 to 1.5"),
        ("F", float("nan"), "0 to 1, not from nan to nan"),
    ],
)
def test_levels_that_nobody_can_place_are_refused_and_not_cut_off(
    mode: str, value: float, range_: str
) -> None:
    assert refusal(filled(mode, value), name="image a") == (
        f"image a: expected a whole image file (levels from {range_}); make or copy it again"
    )


def test_a_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    encoded = encode(photo((20, 20)), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 150)
    size = len(encoded)
    assert refusal(encoded) == (
        f"image of {size} bytes: expected at most 300 pixels; make it smaller"
    )
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 250)  # large, which Pillow warns of, is no bomb
    assert decoding.decode(encoded).size == (20, 20)


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_truncated_image_is_refused_wherever_it_ends(format_: str) -> None:
    whole = encode(photo(), format_)
    # The last bytes of a PNG, a JPEG and a GIF only say that it has ended.
    for end in range(1, len(whole) - 16, max(1, len(whole) // 24)):
        line = refusal(whole[:end])
        assert re.fullmatch(rf"image of {end} bytes: ({WHOLE}|{READABLE})", line)


def test_a_damaged_image_is_refused_whatever_its_decoder_raises() -> None:
    from PIL import features

    if not features.check("avif"):
        pytest.skip("this Pillow does not write AVIF")
    # Without the place of its pixels, Pillow's AVIF decoder raises RuntimeError.
    damaged = encode(photo(), "AVIF").replace(b"iloc", b"free")
    assert re.fullmatch(f"image .*: ({WHOLE}|{READABLE})", refusal(damaged))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit of 255 characters a name")
def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 300)
    assert refusal(path) == (
        f"image {path}: expected a whole image file (File name too long); make or copy it again"
    )


def test_a_file_of_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("text")
    with path.open() as file:
        assert refusal(file).startswith(f"image {path}: expected ")


FORMATS = [
    *("AVIF", "BMP", "DDS", "DIB", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000", "MPO", "MSP"),
    *("PCX", "PNG", "PPM", "QOI", "SGI", "SPIDER", "TGA", "TIFF", "WEBP", "XBM"),
]


def written() -> list[tuple[str, bytes]]:
    """A small picture in every format and mode that this Pillow writes."""
    from PIL import Image

    Image.init()
    found = []
    for format_ in FORMATS:
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"):
            try:
                image = photo((32, 32)).convert("L" if mode == "I;16" else mode)
                found.append((f"{format_} {mode}", encode(image.convert(mode), format_)))
            except (OSError, ValueError, KeyError):
                continue  # no such mode in this format
    return found


WRITTEN: list[tuple[str, bytes]] = []


def example(index: int) -> tuple[str, bytes]:
    if not WRITTEN:
        WRITTEN.extend(written())
    return WRITTEN[index % len(WRITTEN)]


def read_or_refused(data: bytes) -> None:
    """A damaged header may ask for many pixels: fewer are allowed, so that each is quick."""
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


def test_what_pillow_writes_is_read_or_refused() -> None:
    example(0)
    assert len(WRITTEN) > 60
    for _, data in WRITTEN:
        read_or_refused(data)
    readable = {name.split()[0] for name, data in WRITTEN if decoding_works(data)}
    assert readable >= {"BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"}


def decoding_works(data: bytes) -> bool:
    try:
        decoding.decode(data)
    except PipelineError:
        return False
    return True


@given(index=st.integers(0, 10_000), share=st.floats(0, 1))
def test_a_file_that_ends_anywhere_is_read_or_refused(index: int, share: float) -> None:
    _, data = example(index)
    read_or_refused(data[: max(1, int(share * len(data)))])


@given(
    index=st.integers(0, 10_000),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 7)), min_size=1, max_size=8),
)
def test_a_file_with_flipped_bits_is_read_or_refused(
    index: int, flips: list[tuple[float, int]]
) -> None:
    _, data = example(index)
    damaged = bytearray(data)
    for place, bit in flips:
        damaged[int(place * len(damaged))] ^= 1 << bit
    read_or_refused(bytes(damaged))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    read_or_refused(data)


# JPEG files for the device, and warnings.


def test_an_upright_jpeg_is_handed_over_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    encoded = encode(photo(), "JPEG")
    path.write_bytes(encoded)
    file = BytesIO(encoded)
    assert [decoding.jpeg(each) for each in (path, encoded, file)] == [encoded] * 3
    assert file.tell() == 0


def test_what_is_not_such_a_jpeg_is_left_to_the_cpu() -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[decoding.ORIENTATION] = 6
    others = [
        encode(photo(), "PNG"),
        encode(photo(), "JPEG", exif=exif),
        encode(photo().convert("CMYK"), "JPEG"),
        encode(photo(), "JPEG")[:-2],
        encode(photo(), "JPEG")[:-100],
        photo(),
        None,
    ]
    assert [decoding.jpeg(each) for each in others] == [None] * len(others)


def test_no_warning_is_let_out_and_filters_are_put_back() -> None:
    from PIL import Image

    before = warnings.filters[:]
    bytes_of_opacity = palette(transparency=b"\xff\x00")  # convert() warns of these
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ready = threading.Barrier(4)

        def work() -> None:
            ready.wait()
            for _ in range(50):
                decoding.decode(bytes_of_opacity)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert caught == []
        bytes_of_opacity.convert("RGB")
        assert [str(each.message)[:27] for each in caught] == ["Palette images with Transpa"]
    assert warnings.filters == before
    assert Image.MAX_IMAGE_PIXELS == 1024 * 1024 * 1024 // 4 // 3


def reading() -> Any:
    """An open file whose reading waits until it is let go, and what starts and ends that."""
    begun, go = threading.Event(), threading.Event()

    class Slow(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            begun.set()
            assert go.wait(60)
            return super().read(size)

    thread = threading.Thread(target=decoding.decode, args=(Slow(encode(photo(), "PNG")),))
    return thread, begun, go


def test_a_filter_that_is_set_while_a_thread_decodes_stays() -> None:
    thread, begun, go = reading()
    with warnings.catch_warnings():
        before = warnings.filters[:]
        thread.start()
        assert begun.wait(60)
        warnings.filterwarnings("ignore", message="of the loop that a stream feeds")
        go.set()
        thread.join()
        assert warnings.filters[1:] == before
        assert warnings.filters[0][1].pattern == "of the loop that a stream feeds"


def test_pillow_allocates_as_before_when_the_last_thread_has_decoded() -> None:
    from PIL import Image

    core = Image.core
    (first, begun, go), (second, begun_too, go_too) = reading(), reading()
    assert core.get_use_block_allocator() == 0
    for thread, event in ((first, begun), (second, begun_too)):
        thread.start()
        assert event.wait(60)
    assert core.get_use_block_allocator() == 1
    go.set()
    first.join()
    assert core.get_use_block_allocator() == 1
    go_too.set()
    second.join()
    assert core.get_use_block_allocator() == 0


def test_a_large_image_is_decoded_into_one_piece_and_lent() -> None:
    from pipeline.preprocessing import pixels

    large = encode(filled("RGB", RED, (2500, 2000)), "PNG", compress_level=1)
    lent = pixels.of_image(decoding.decode(large))
    assert lent.shape == (4, 2000, 2500)
    assert lent[:3, 1999, 2499].tolist() == list(RED)


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_an_image_of_no_pixels_is_refused(size: tuple[int, int]) -> None:
    assert refusal(filled("RGB", RED, size), name="image mine") == (
        "image mine of no pixels: expected at least one pixel; check what it holds"
    )
