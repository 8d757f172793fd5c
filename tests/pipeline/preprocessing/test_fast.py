"""Fast codecs give Pillow's pixels and Pillow's verdicts, and stand aside where they must."""

import random
import struct
import sys
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from bench.workloads import pictures
from pipeline.errors import PipelineError
from pipeline.preprocessing import fast, opening
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.preprocessing.decoding import decode
from support.pictures import chunk, encode, filled, noise, photo

SMALL = (48, 32)


def half_transparent() -> Any:
    image = photo(SMALL).convert("RGBA")
    image.putalpha(photo(SMALL).convert("L"))
    return image


PLAIN = {
    "RGB PNG": encode(photo(SMALL), "PNG"),
    "gray PNG": encode(photo(SMALL).convert("L"), "PNG"),
    "RGBA PNG": encode(half_transparent(), "PNG"),
    "opaque RGBA PNG": encode(photo(SMALL).convert("RGBA"), "PNG"),
    "stored PNG": encode(noise(SMALL), "PNG", compress_level=0),
    "PNG with a profile, a gamma and a text": encode(
        photo(SMALL), "PNG", icc_profile=b"profile", dpi=(72, 72)
    ),
    "one pixel": encode(filled("RGB", 7, (1, 1)), "PNG"),
    "RGB JPEG": encode(photo(SMALL), "JPEG"),
    "gray JPEG": encode(photo(SMALL).convert("L"), "JPEG"),
    "progressive JPEG": encode(photo(SMALL), "JPEG", progressive=True),
    "JPEG 4:4:4": encode(photo(SMALL), "JPEG", subsampling=0, quality=97),
    "JPEG with restart markers": encode(photo(SMALL), "JPEG", restart_marker_blocks=2),
    **{f"{kind} {size}": path.read_bytes() for (kind, size), path in pictures.FILES.items()},
}

OTHERS = {
    "palette": encode(photo(SMALL).quantize(16), "PNG"),
    "1-bit": encode(photo(SMALL).convert("1"), "PNG"),
    "16-bit": encode(filled("I;16", 40000), "PNG"),
    "gray and alpha": encode(photo(SMALL).convert("LA"), "PNG"),
    "colour key": encode(photo(SMALL), "PNG", transparency=(1, 2, 3)),
    "animation": encode(photo(SMALL), "PNG", save_all=True, append_images=[noise(SMALL)]),
    "CMYK": encode(photo(SMALL).convert("CMYK"), "JPEG"),
    "no end": encode(photo(SMALL), "JPEG")[:-2],
    "WebP": encode(photo(SMALL), "WEBP", lossless=True),
}


def turned(format_: str) -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[opening.ORIENTATION] = 6
    return encode(photo(SMALL), format_, exif=exif)


def decoded_fast(data: bytes, size: int = 0) -> Any:
    with opening.opened(data, "image a") as image:
        return fast.levels(image, size)


def outcome(data: bytes, by_pillow: bool) -> Any:
    """What preprocessing makes of a file: its batch as bytes, or the line that refuses it."""
    with pytest.MonkeyPatch.context() as patch:
        if by_pillow:
            patch.setattr(fast, "_library", lambda name: None)
        try:
            return preprocessing.preprocess([data], 32).numpy().tobytes()
        except PipelineError as error:
            return str(error)


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_file_is_decoded_fast_to_the_pixels_of_pillow(name: str) -> None:
    assert decoded_fast(PLAIN[name]) is not None
    assert outcome(PLAIN[name], by_pillow=False) == outcome(PLAIN[name], by_pillow=True)


@pytest.mark.parametrize("data", [*OTHERS.values(), turned("PNG"), turned("JPEG")],
                         ids=[*OTHERS, "turned PNG", "turned JPEG"])  # fmt: skip
def test_any_other_file_is_left_to_pillow(data: bytes) -> None:
    assert decoded_fast(data) is None
    assert outcome(data, by_pillow=False) == outcome(data, by_pillow=True)


def damaged(data: bytes, seed: str) -> Iterator[bytes]:
    """The file cut at 200 places, and with a byte changed at 500."""
    draw = random.Random(seed)
    yield from (data[: draw.randrange(1, len(data))] for _ in range(170))
    yield from (data[:-end] for end in range(1, min(31, len(data))))
    for _ in range(500):
        changed = bytearray(data)
        changed[draw.randrange(len(data))] ^= draw.randrange(1, 256)
        yield bytes(changed)


@pytest.mark.parametrize("name", [name for name in PLAIN if "(" not in name])
def test_a_damaged_file_has_the_same_verdict_by_both_ways(name: str) -> None:
    differing = [
        data
        for data in damaged(PLAIN[name], name)
        if outcome(data, by_pillow=False) != outcome(data, by_pillow=True)
    ]
    assert differing == []


def with_adler(data: bytes, adler: int) -> bytes:
    """A PNG of one IDAT with another Adler-32 and the right checksum of its chunk."""
    start = data.index(b"IDAT")
    pixels = data[start + 4 : -20] + adler.to_bytes(4)
    return data[: start - 4] + chunk(b"IDAT", pixels) + data[-12:]


@pytest.mark.parametrize("name", ["RGB PNG", "gray PNG", "RGBA PNG", "stored PNG"])
def test_an_adler_32_that_was_left_unset_is_refused_and_another_hides_no_pixel(name: str) -> None:
    whole = PLAIN[name]
    right = int.from_bytes(whole[fast.ADLER])
    assert with_adler(whole, right) == whole
    for unset in fast.UNSET:
        data = with_adler(whole, unset)
        assert decoded_fast(data) is None
        assert "broken data stream" in str(outcome(data, by_pillow=False))
    wrong = with_adler(whole, right ^ 1 << 20)
    assert (decoded_fast(wrong) == decoded_fast(whole)).all()


def test_pixels_damaged_before_their_checksum_are_read_only_where_the_adler_32_alone_shows_it() -> (
    None
):
    data, draw = PLAIN["RGB PNG"], random.Random("damage")
    start = data.index(b"IDAT") + 4
    read = []
    for _ in range(200):
        pixels = bytearray(data[start:-16])
        pixels[draw.randrange(len(pixels) - 4)] ^= 1 << draw.randrange(8)
        damaged = data[: start - 8] + chunk(b"IDAT", bytes(pixels)) + data[-12:]
        if outcome(damaged, by_pillow=False) != outcome(damaged, by_pillow=True):
            with pytest.raises(zlib.error, match="incorrect data check"):
                zlib.decompress(pixels)
            read.append(damaged)
    assert read  # docs/measure-preprocessing.md says why


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (chunk(b"tEXt", b"a\0b"), b""),
        (chunk(b"tEXt", b"transparency\0b"), b""),
        (chunk(b"tEXt", b"bbox\0b"), b""),
        (chunk(b"PLTE", bytes(768)), b""),
        (chunk(b"sBIT", bytes([5, 5, 5])), b""),
        (chunk(b"acTL", struct.pack(">II", 1, 0)), b""),
        (b"", chunk(b"tEXt", b"a\0b")),
        (b"", chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06" + bytes(6))),
        (b"", chunk(b"IDAT", b"")),
        (b"", b"\0\0\0\x01tEXtabcde"),  # a wrong checksum
    ],
)
def test_more_chunks_change_no_verdict(before: bytes, after: bytes) -> None:
    data = PLAIN["RGB PNG"]
    changed = (
        data[: fast.FIRST_CHUNK_END]
        + before
        + data[fast.FIRST_CHUNK_END : -12]
        + after
        + data[-12:]
    )
    assert outcome(changed, by_pillow=False) == outcome(changed, by_pillow=True)


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_file_is_not_opened_with_pillow(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if "profile, a gamma" in name:
        pytest.skip("Pillow decompresses profiles")
    expected = preprocessing.preprocess([PLAIN[name]], 32)
    path = tmp_path / "picture"
    path.write_bytes(PLAIN[name])
    monkeypatch.setattr(preprocessing, "opened", None)
    for picture in path, str(path), PLAIN[name], bytearray(PLAIN[name]), memoryview(PLAIN[name]):
        assert (preprocessing.preprocess([picture], 32) == expected).all()


def test_memory_that_is_kept_holds_no_picture_of_anyone(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    names = ["RGB JPEG", "gray JPEG", "jpeg (512, 512)", "JPEG 4:4:4"]
    alone = [preprocessing.preprocess([PLAIN[name]], 32) for name in names]
    images = [decode(PLAIN[name]) for name in names]
    levels = [np.array(image) for image in images]
    together = preprocessing.preprocess([PLAIN[name] for name in names], 32)
    assert (together == np.concatenate(alone)).all()
    for image, before in zip(images, levels, strict=True):
        assert (np.asarray(image) == before).all()
    monkeypatch.setattr(fast, "MOST_KEPT", 4 * 48 * 32 - 1)
    assert (preprocessing.preprocess([PLAIN["RGB JPEG"]], 32) == alone[0]).all()


def test_a_file_object_is_left_as_pillow_expects_it() -> None:
    for name in ("16-bit", "palette", "CMYK"):
        file = BytesIO(OTHERS[name])
        file.seek(5)
        batch = preprocessing.preprocess([file], 32)
        assert (batch == preprocessing.preprocess([OTHERS[name]], 32)).all()


def test_without_the_libraries_pillow_stands_in_and_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert fast.decoder("png").startswith("kornia-rs ")
    assert fast.decoder("jpeg").startswith("simplejpeg ")
    expected = [preprocessing.preprocess([data], 32) for data in PLAIN.values()]
    monkeypatch.setattr(fast, "_library", lambda name: None)
    assert [fast.decoder(format_) for format_ in ("png", "jpeg", "webp")] == ["Pillow"] * 3
    for data, batch in zip(PLAIN.values(), expected, strict=True):
        assert (preprocessing.preprocess([data], 32) == batch).all()


@pytest.mark.parametrize("error", ["ImportError", "OSError", "RuntimeError", ""])
def test_a_library_that_cannot_be_imported_is_as_one_that_is_missing(
    error: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = outcome(PLAIN["RGB PNG"], by_pillow=True)
    for name in ("kornia_rs", "simplejpeg"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        if error:
            (tmp_path / f"{name}.py").write_text(f"raise {error}('libturbojpeg.so.0: cannot open')")
        else:
            (tmp_path / name).mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)] if not error else [str(tmp_path), *sys.path])
    monkeypatch.setattr(fast, "_library", fast._library.__wrapped__)
    assert [fast.decoder(format_) for format_ in ("png", "jpeg")] == ["Pillow"] * 2
    assert decoded_fast(PLAIN["RGB PNG"]) is None
    assert outcome(PLAIN["RGB PNG"], by_pillow=False) == expected


# Scaled.


@pytest.mark.parametrize(
    ("side", "size", "expected"),
    [(1024, 224, 512), (1024, 128, 256), (1024, 16, 128), (1024, 600, 1024), (600, 224, 600)],
)
def test_a_scaled_jpeg_is_decoded_at_the_smallest_scale_of_twice_the_target(
    side: int, size: int, expected: int
) -> None:
    data = encode(photo((side, side)), "JPEG")
    assert decoded_fast(data, size).shape == (expected, expected, 3)


def test_scaled_pixels_lie_near_the_exact_ones_and_only_jpeg_is_scaled() -> None:
    path = pictures.FILES["jpeg", (1024, 1024)]
    exact = preprocessing.preprocess([path])
    scaled = preprocessing.preprocess([path], scaled=True)
    assert 0 < (exact - scaled).abs().max() * 255 <= 16
    assert (exact - scaled).abs().mean() * 255 <= 1
    png = pictures.FILES["png", (1024, 1024)]
    assert (preprocessing.preprocess([png]) == preprocessing.preprocess([png], scaled=True)).all()


# PNG outputs.


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("by_pillow", [False, True])
def test_a_png_holds_its_levels_and_its_text(
    mode: str, by_pillow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np
    from PIL import Image

    if by_pillow:
        monkeypatch.setattr(fast, "_library", lambda name: None)
    levels = np.array(photo((224, 224)).convert(mode))
    encoded = BytesIO(fast.png(levels, "Key", "a text"))
    with Image.open(encoded) as image:
        image.verify()
    with Image.open(encoded) as image:
        assert image.info["Key"] == "a text"
        assert (image.mode, image.size) == (mode, (224, 224))
        assert (np.asarray(image) == levels).all()


def test_a_fast_png_is_at_most_a_tenth_larger_than_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    for path in pictures.FILES.values():
        levels = np.asarray(preprocessing.to_image(preprocessing.preprocess([path])[0]))
        quick = len(fast.png(levels, "Key", ""))
        with monkeypatch.context() as patch:
            patch.setattr(fast, "_library", lambda name: None)
            assert quick <= 1.1 * len(fast.png(levels, "Key", ""))
