"""Images become one float32 batch in [0, 1]; what is no image is refused with one line."""

import os
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from pipeline import contracts, pregenerated, preprocessing
from pipeline.errors import PipelineError

IMAGES = pregenerated.paths()


def encode(image: Any, format_: str, **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, format_, **options)
    return stream.getvalue()


def filled(colour: tuple[int, int, int], size: tuple[int, int] = (8, 6)) -> Any:
    from PIL import Image

    return Image.new("RGB", size, colour)


def photo() -> Any:
    return preprocessing.decode(IMAGES[0])


@pytest.mark.parametrize(("grayscale", "channels"), [(False, 3), (True, 1)])
@pytest.mark.parametrize("count", [1, 3])
def test_a_batch_holds_its_contract(grayscale: bool, channels: int, count: int) -> None:
    batch = preprocessing.preprocess(IMAGES[:count], grayscale=grayscale)
    assert contracts.check_batch(batch, (count, channels, 224, 224)) == []


def test_channels_are_red_green_blue_in_shares_of_255() -> None:
    tensor = preprocessing.transform(filled((255, 0, 51)), 4)
    assert tensor.shape == (3, 4, 4)
    assert tensor.unique(dim=1).unique(dim=2).flatten().tolist() == pytest.approx([1, 0, 0.2])


@pytest.mark.parametrize(
    ("colour", "luma"),
    [
        ((255, 0, 0), 0.299),
        ((0, 255, 0), 0.587),
        ((0, 0, 255), 0.114),
        ((255, 255, 255), 1.0),
        ((128, 128, 128), 128 / 255),
        ((0, 0, 0), 0.0),
    ],
)
def test_grayscale_gives_one_channel_of_luma(colour: tuple[int, int, int], luma: float) -> None:
    tensor = preprocessing.transform(filled(colour), 4, grayscale=True)
    assert tensor.shape == (1, 4, 4)
    assert tensor.unique().tolist() == pytest.approx([luma], abs=1 / 255)  # one level


@pytest.mark.parametrize("source", [(512, 512), (300, 100), (50, 77), (1, 1)])
@pytest.mark.parametrize("size", [64, 224])
def test_resizing_is_bilinear_with_antialiasing_as_in_pillow(
    source: tuple[int, int], size: int
) -> None:
    import numpy as np
    from PIL import Image

    image = photo().resize(source)
    expected = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), np.float32)
    found = preprocessing.transform(image, size).permute(1, 2, 0).numpy() * 255
    assert np.abs(found - expected).max() <= 1.001


def test_the_aspect_ratio_gives_way() -> None:
    wide = filled((0, 0, 0), (40, 8))
    wide.paste((255, 255, 255), (20, 0, 40, 8))
    red = preprocessing.transform(wide, 8)[0]
    assert red[:, :3].unique().tolist() == [0]
    assert red[:, 5:].unique().tolist() == [1]


def test_an_image_of_the_right_size_keeps_its_pixels() -> None:
    image = photo().resize((224, 224))
    again = preprocessing.to_image(preprocessing.transform(image))
    assert again.mode == "RGB"
    assert again.tobytes() == image.tobytes()


def test_a_channel_becomes_a_gray_image_rounded_to_8_bits() -> None:
    import torch

    tensor = torch.tensor([[[0.0, 0.4999 / 255], [0.5001 / 255, 1.0]]])
    image = preprocessing.to_image(tensor)
    assert (image.mode, image.size) == ("L", (2, 2))
    assert image.tobytes() == bytes([0, 0, 1, 255])


def test_paths_and_images_mix_and_keep_their_order() -> None:
    import torch

    mixed = preprocessing.preprocess([IMAGES[0], str(IMAGES[1]), photo()], 32)
    alone = [preprocessing.preprocess([path], 32)[0] for path in IMAGES[:2]]
    assert torch.equal(mixed, torch.stack([alone[0], alone[1], alone[0]]))


@pytest.mark.parametrize(
    ("images", "size", "line"),
    [
        ([], 224, "no image: expected at least one; pass one image or more"),
        (IMAGES, 0, "size 0: expected at least 1 pixel; use 224"),
        (IMAGES, -224, "size -224: expected at least 1 pixel; use 224"),
    ],
)
def test_nothing_to_preprocess_is_refused(images: list[Path], size: int, line: str) -> None:
    with pytest.raises(PipelineError) as refused:
        preprocessing.preprocess(images, size)
    assert str(refused.value) == line


@pytest.mark.parametrize(
    ("mode", "value", "rgb"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 128, (128, 128, 128)),
        ("LA", (128, 255), (128, 128, 128)),
        ("P", 0, (0, 0, 0)),
        ("RGBA", (255, 128, 0, 255), (255, 128, 0)),
        ("I;16", 128 * 257, (128, 128, 128)),
    ],
)
def test_every_mode_of_png_is_read_as_rgb(
    tmp_path: Path, mode: str, value: Any, rgb: tuple[int, int, int]
) -> None:
    from PIL import Image

    Image.new(mode, (4, 2), value).save(tmp_path / "image.png")
    image = preprocessing.decode(tmp_path / "image.png")
    assert (image.mode, image.size) == ("RGB", (4, 2))
    assert image.getcolors() == [(8, rgb)]


def test_an_image_is_turned_upright(tmp_path: Path) -> None:
    from PIL import Image

    lying = filled((0, 0, 0), (4, 2))
    lying.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    lying.save(tmp_path / "image.png", exif=exif)
    upright = preprocessing.decode(tmp_path / "image.png")
    assert upright.size == (2, 4)
    assert upright.getpixel((1, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "a file that exists; check the path"),
        (b"", "an image, but it is empty; make it again"),
        (b"<html>", "a format that Pillow reads, such as PNG or JPEG; convert it"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes | None, expected: str) -> None:
    path = tmp_path / "image.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PipelineError) as refused:
        preprocessing.preprocess([path])
    assert str(refused.value) == f"image {path}: expected {expected}"


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as refused:
        preprocessing.decode(tmp_path)
    assert str(refused.value) == (
        f"image {tmp_path}: expected a whole image file "
        f"([Errno 21] Is a directory: '{tmp_path}'); make or copy it again"
    )


def assert_refused(path: Path) -> None:
    kinds = (
        r"a whole image file \(.+\); make or copy it again",
        "a format that Pillow reads, such as PNG or JPEG; convert it",
    )
    with pytest.raises(PipelineError) as refused:
        preprocessing.decode(path)
    line = str(refused.value)
    assert re.fullmatch(rf"image {re.escape(str(path))}: expected ({'|'.join(kinds)})", line)


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_truncated_image_is_refused_wherever_it_ends(tmp_path: Path, format_: str) -> None:
    whole = encode(photo().resize((48, 32)), format_)
    path = tmp_path / "image"
    # The last bytes of a PNG, a JPEG and a GIF only say that it has ended.
    for end in range(1, len(whole) - 16, max(1, len(whole) // 24)):
        path.write_bytes(whole[:end])
        assert_refused(path)


def test_a_damaged_image_is_refused_whatever_its_decoder_raises(tmp_path: Path) -> None:
    from PIL import features

    if not features.check("avif"):
        pytest.skip("this Pillow does not write AVIF")
    path = tmp_path / "image.avif"
    # Without the place of its pixels, Pillow's AVIF decoder raises RuntimeError.
    path.write_bytes(encode(photo().resize((48, 32)), "AVIF").replace(b"iloc", b"free"))
    assert_refused(path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit of 255 characters a name")
def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path / ("a" * 300))
