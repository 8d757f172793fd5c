"""Every common kind of picture is read as RGB; anything else is refused with one line."""

import os
import re
import socket
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.preprocessing import decoding, pixels
from support.pictures import BLACK, GRAY, GREEN, RED, WHITE, encode, filled, photo

SMALL = (48, 32)
WHOLE = r"expected a whole image file \(.+\); make or copy it again"
READABLE = "expected a format that Pillow reads, such as PNG or JPEG; convert it"


def palette(**info: Any) -> Any:
    """A red picture: number 1 of its palette."""
    image = filled("P", 1)
    image.putpalette([*GREEN, *RED])
    image.info.update(info)
    return image


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
    "gray with a transparent level": ("PNG", filled("L", 128), WHITE, {"transparency": 128}),
    "gray, opaque": ("PNG", filled("LA", (128, 255)), GRAY),
    "gray, transparent": ("PNG", filled("LA", (0, 0)), WHITE),
    "palette": ("PNG", palette(), RED),
    "palette, transparent": ("PNG", palette(transparency=1), WHITE),
    "palette, another is transparent": ("PNG", palette(transparency=0), RED),
    "palette, opacity by number": ("PNG", palette(transparency=b"\xff\x00"), WHITE),
    "palette GIF": ("GIF", palette(), RED),
    "palette GIF, transparent": ("GIF", palette(), WHITE, {"transparency": 1}),
    "RGB": ("PNG", filled("RGB", RED), RED),
    "RGB with a transparent colour": ("PNG", filled("RGB", RED), WHITE, {"transparency": RED}),
    "RGBA, opaque": ("PNG", filled("RGBA", (*RED, 255)), RED),
    "RGBA, transparent": ("PNG", filled("RGBA", (*RED, 0)), WHITE),
    "RGBA, half": ("PNG", filled("RGBA", (0, 0, 0, 127)), GRAY),
    "RGBA WebP": ("WEBP", filled("RGBA", (*RED, 0)), WHITE, {"lossless": True}),
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
    exif[decoding.ORIENTATION] = orientation
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
    path.write_bytes(encode(photo(SMALL), "PNG"))
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
def test_levels_out_of_range_are_refused_and_not_clipped(
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
    whole = encode(photo(SMALL), format_)
    # The last bytes of a PNG, a JPEG and a GIF only say that it has ended.
    for end in range(1, len(whole) - 16, max(1, len(whole) // 24)):
        line = refusal(whole[:end])
        assert re.fullmatch(rf"image of {end} bytes: ({WHOLE}|{READABLE})", line)


def test_a_damaged_image_is_refused_whatever_its_decoder_raises() -> None:
    from PIL import features

    if not features.check("avif"):
        pytest.skip("this Pillow does not write AVIF")
    # Without the place of its pixels, Pillow's AVIF decoder raises RuntimeError.
    damaged = encode(photo(SMALL), "AVIF").replace(b"iloc", b"free")
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


# JPEG files for the device, and warnings.


def test_an_upright_jpeg_is_passed_on_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    encoded = encode(photo(SMALL), "JPEG")
    path.write_bytes(encoded)
    file = BytesIO(encoded)
    assert [decoding.jpeg(source) for source in (path, encoded, file)] == [encoded] * 3
    assert file.tell() == 0


def test_any_other_picture_is_left_to_the_cpu() -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[decoding.ORIENTATION] = 6
    others = [
        encode(photo(SMALL), "PNG"),
        encode(photo(SMALL), "JPEG", exif=exif),
        encode(photo(SMALL).convert("CMYK"), "JPEG"),
        encode(photo(SMALL), "JPEG")[:-2],
        encode(photo(SMALL), "JPEG")[:-100],
        photo(SMALL),
        None,
    ]
    assert [decoding.jpeg(source) for source in others] == [None] * len(others)


def test_no_warning_is_let_out_and_filters_are_put_back() -> None:
    from PIL import Image

    before = warnings.filters[:]
    bytes_of_opacity = palette(transparency=b"\xff\x00")  # convert() warns of these
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(decoding.decode, [bytes_of_opacity] * 200))
        assert caught == []
        bytes_of_opacity.convert("RGB")
        assert [str(warning.message)[:27] for warning in caught] == ["Palette images with Transpa"]
    assert warnings.filters == before
    assert Image.MAX_IMAGE_PIXELS == 1024 * 1024 * 1024 // 4 // 3


def reading() -> Any:
    """A thread that decodes a file; the event that it has begun; the event that lets it end."""
    begun, go = threading.Event(), threading.Event()

    class Slow(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            begun.set()
            assert go.wait(60)
            return super().read(size)

    thread = threading.Thread(target=decoding.decode, args=(Slow(encode(photo(SMALL), "PNG")),))
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
    large = encode(filled("RGB", RED, (2500, 2000)), "PNG", compress_level=1)
    lent = pixels.of_image(decoding.decode(large))
    assert lent.shape == (4, 2000, 2500)
    assert lent[:3, 1999, 2499].tolist() == list(RED)


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_an_image_of_no_pixels_is_refused(size: tuple[int, int]) -> None:
    assert refusal(filled("RGB", RED, size), name="image mine") == (
        "image mine of no pixels: expected at least one pixel; check what it holds"
    )
