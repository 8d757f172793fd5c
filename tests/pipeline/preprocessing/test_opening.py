"""A file is opened whatever its source; what is no image file is refused with one line."""

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
from pipeline.preprocessing import decoding, opening, pixels
from support.pictures import RED, encode, filled, palette, photo

SMALL = (48, 32)
WHOLE = r"expected a whole image file \(.+\); make or copy it again"
OF_A_KIND = r"expected \w+ of a kind that Pillow reads, and whole; convert it to PNG"
READABLE = "expected a format that Pillow reads, such as PNG or JPEG; convert it"


def refusal(source: Any) -> str:
    with pytest.raises(PipelineError) as refused:
        decoding.decode(source)
    return str(refused.value)


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
    assert re.fullmatch(r"image .*loop: expected a file that can be read \(.+\); check the path",
                        refusal(tmp_path / "loop"))  # fmt: skip


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
        assert re.fullmatch(rf"image of {end} bytes: ({WHOLE}|{READABLE}|{OF_A_KIND})", line)


def test_a_damaged_image_is_refused_whatever_its_decoder_raises() -> None:
    from PIL import features

    if not features.check("avif"):
        pytest.skip("this Pillow does not write AVIF")
    # Without the place of its pixels, Pillow's AVIF decoder raises RuntimeError.
    damaged = encode(photo(SMALL), "AVIF").replace(b"iloc", b"free")
    assert re.fullmatch(f"image .*: ({WHOLE}|{READABLE}|{OF_A_KIND})", refusal(damaged))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit of 255 characters a name")
def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 300)
    assert refusal(path) == (
        f"image {path}: expected a file that can be read (File name too long); check the path"
    )


def test_a_file_object_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("text")
    with path.open() as file:
        assert refusal(file) == (
            f'image {path}: expected a file opened for bytes; open it with "rb"'
        )
    with path.open("rb") as closed:
        pass
    line = f"image {path}: expected an open file, but it is closed; open it again"
    assert refusal(closed) == line


@pytest.mark.parametrize("format_", opening.MANY_KINDS)
def test_a_kind_of_a_format_that_pillow_does_not_read_is_not_called_another_format(
    format_: str,
) -> None:
    whole = encode(photo(SMALL), format_) if format_ != "PSD" else b"8BPS\0\1"
    start = {"AVIF": 16, "JPEG2000": 12, "WEBP": 16}.get(format_, 6)
    with pytest.raises(PipelineError) as refused:
        decoding.decode(whole[:start] + b"\xff" * 2, name="image")
    assert re.fullmatch(f"image: ({WHOLE}|{OF_A_KIND})", str(refused.value))
    assert f"expected {format_} of" in str(refused.value) or "a whole" in str(refused.value)


def test_a_damaged_header_is_not_called_another_format() -> None:
    for format_ in ("PNG", "JPEG"):
        damaged = encode(photo(SMALL), format_)[:12] + b"\0" * 100
        assert refusal(damaged).endswith(
            f"expected a whole image file (its {format_} header is damaged); make or copy it again"
        )


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_of_more_bits_is_told_from_other_formats(bits: int, channels: int) -> None:
    mode = "L" if channels == 1 else "RGB"
    data = bytearray(encode(photo(SMALL).convert(mode), "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = bits
    assert refusal(bytes(data)).endswith(
        f"expected 8 bits a sample, not a JPEG of {bits}; convert it to 8 bits"
    )


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("name", ["logo.eps", "logo.png", "logo.ps"])
def test_no_other_program_is_started(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / name).write_bytes(POSTSCRIPT)
    assert refusal(tmp_path / name).endswith(
        "expected pixels, not PostScript, which would start another program; convert it to PNG"
    )
    assert not (tmp_path / "started").exists()


def test_only_formats_that_pillow_reads_by_itself_are_opened() -> None:
    from PIL import Image

    Image.init()
    others = {format_ for format_ in Image.ID if format_ not in opening.FORMATS}
    assert others <= {"BUFR", "EPS", "FPX", "GRIB", "HDF5", "MIC", "MPEG", "WMF"}


def test_a_plugin_of_the_program_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import BmpImagePlugin, Image

    class Own(BmpImagePlugin.BmpImageFile):
        format = "OWN"

    monkeypatch.setattr(Image, "ID", [*Image.ID, "OWN"])
    monkeypatch.setitem(Image.OPEN, "OWN", (Own, lambda prefix: prefix.startswith(b"BM")))
    monkeypatch.setattr(opening, "FORMATS", set())
    assert decoding.decode(encode(filled("RGB", RED), "BMP")).getcolors() == [(8, RED)]


# Settings of the process.


def test_no_warning_is_let_out_and_filters_are_put_back() -> None:
    from PIL import Image

    before = warnings.filters[:]
    bytes_of_opacity = palette(transparency=b"\x00\xff")  # convert() warns of these
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
