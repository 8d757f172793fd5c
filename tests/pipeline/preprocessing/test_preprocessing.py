"""Images become one float32 batch in [0, 1]; anything else is refused with one line."""

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline import availability, contracts, pregenerated
from pipeline.errors import UnavailableError
from pipeline.preprocessing import preprocess as preprocessing
from support.helpers import NO_CUDA
from support.pictures import encode, filled, noise, photo

IMAGES = pregenerated.paths()


def transform(picture: Any, size: int = 224, **options: Any) -> Any:
    return preprocessing.preprocess([picture], size, **options)[0]


@pytest.mark.parametrize(("grayscale", "channels"), [(False, 3), (True, 1)])
@pytest.mark.parametrize("count", [1, 3])
def test_a_batch_holds_its_contract(grayscale: bool, channels: int, count: int) -> None:
    batch = preprocessing.preprocess(IMAGES[:count], grayscale=grayscale)
    assert contracts.check_batch(batch, (count, channels, 224, 224)) == []


def test_channels_are_red_green_blue_in_shares_of_255() -> None:
    tensor = transform(filled("RGB", (255, 0, 51)), 4)
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
    tensor = transform(filled("RGB", colour), 4, grayscale=True)
    assert tensor.shape == (1, 4, 4)
    assert tensor.unique().tolist() == pytest.approx([luma], abs=1 / 255)  # one level


# Against the reference: Pillow's bilinear resize with antialiasing, then levels over 255.


def drawing(size: tuple[int, int]) -> Any:
    from PIL import ImageDraw

    image = filled("RGB", (255, 255, 255), size)
    pen = ImageDraw.Draw(image)
    pen.line((0, 0, *size), fill=(255, 0, 0))
    pen.ellipse((size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2), outline=(0, 0, 0))
    return image


def stripes(size: tuple[int, int]) -> Any:
    image = filled("RGB", (0, 0, 0), size)
    for column in range(0, size[0], 2):
        image.paste((255, 255, 255), (column, 0, column + 1, size[1]))
    return image


MOTIFS = {
    "photo": photo,
    "drawing": drawing,
    "noise": noise,
    "stripes": stripes,
    "lying stripes": lambda size: stripes(size[::-1]).rotate(90, expand=True),
}


def differences(image: Any, size: int, **options: Any) -> tuple[float, float]:
    """The largest and the mean difference from the reference, in levels of 255."""
    import numpy as np
    from PIL import Image

    resized = image.resize((size, size), Image.Resampling.BILINEAR)
    expected = np.asarray(resized.convert("L" if options.get("grayscale") else "RGB"), np.float32)
    levels = transform(image, size, **options).permute(1, 2, 0).numpy() * 255
    difference = np.abs(levels.reshape(expected.shape) - expected)
    return float(difference.max()), float(difference.mean())


SOURCES = [(512, 512), (300, 101), (50, 77), (1, 1), (225, 223), (448, 448), (1000, 3), (1, 6000)]


@pytest.mark.parametrize("grayscale", [False, True], ids=["rgb", "gray"])
@pytest.mark.parametrize("source", SOURCES, ids=str)
@pytest.mark.parametrize("motif", MOTIFS)
def test_resizing_is_bilinear_with_antialiasing_as_in_pillow(
    motif: str, source: tuple[int, int], grayscale: bool
) -> None:
    largest, mean = differences(MOTIFS[motif](source), 224, grayscale=grayscale)
    assert largest <= 1.001
    assert mean <= 0.5


@given(
    motif=st.sampled_from(["photo", "drawing", "noise"]),
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    size=st.integers(16, 300),
)
@example(motif="photo", width=300, height=300, size=234)
def test_any_side_is_resized_as_in_pillow(motif: str, width: int, height: int, size: int) -> None:
    # Two levels: a photograph of 300×300 to 234.
    largest, mean = differences(MOTIFS[motif]((width, height)), size)
    assert largest <= 2.001
    assert mean <= 0.5


@given(width=st.integers(1, 400), height=st.integers(1, 400), size=st.integers(1, 300))
def test_stripes_are_never_more_than_two_levels_off(width: int, height: int, size: int) -> None:
    # Where they average to 127.5 exactly, Pillow and torchvision may round it to either side.
    for motif in ("stripes", "lying stripes"):
        assert differences(MOTIFS[motif]((width, height)), size)[0] <= 2.001


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_interpolation_is_what_was_asked_for(interpolation: str) -> None:
    import numpy as np
    from PIL import Image

    image = photo()
    expected = image.resize((100, 100), Image.Resampling[interpolation.upper()])
    levels = transform(image, 100, interpolation=interpolation).permute(1, 2, 0).numpy() * 255
    assert np.abs(levels - np.asarray(expected, np.float32)).max() <= 1.001


def test_without_antialiasing_pixels_are_left_out() -> None:
    smooth = transform(stripes((448, 448)))
    sharp = transform(stripes((448, 448)), 64, antialias=False)
    nearest = transform(stripes((448, 448)), interpolation="nearest")
    middle = smooth[:, 10:-10, 10:-10]
    assert middle.min() > 0.45
    assert middle.max() < 0.55
    assert sharp.std() > 0.3
    assert nearest.unique().tolist() == [1]


def test_the_aspect_ratio_is_not_kept() -> None:
    wide = filled("RGB", (0, 0, 0), (40, 8))
    wide.paste((255, 255, 255), (20, 0, 40, 8))
    red = transform(wide, 8)[0]
    assert red[:, :3].unique().tolist() == [0]
    assert red[:, 5:].unique().tolist() == [1]


def test_an_image_of_the_right_size_keeps_its_pixels() -> None:
    image = photo((224, 224))
    again = preprocessing.to_image(transform(image))
    assert again.mode == "RGB"
    assert again.tobytes() == image.tobytes()


def test_a_channel_becomes_a_gray_image_rounded_to_8_bits() -> None:
    import torch

    tensor = torch.tensor([[[0.0, 0.4999 / 255], [0.5001 / 255, 1.0]]])
    image = preprocessing.to_image(tensor)
    assert (image.mode, image.size) == ("L", (2, 2))
    assert image.tobytes() == bytes([0, 0, 1, 255])


def test_pictures_of_every_kind_mix_and_keep_their_order(tmp_path: Path) -> None:
    import numpy as np
    import torch
    from PIL import Image

    image = photo()
    encoded = encode(image, "PNG")
    array = np.asarray(image)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    same = [IMAGES[0], str(IMAGES[0]), encoded, BytesIO(encoded), Image.open(IMAGES[0]), image]
    mixed = preprocessing.preprocess([*same, array, tensor, IMAGES[1]], 32)
    alone = [preprocessing.preprocess([path], 32)[0] for path in IMAGES[:2]]
    assert torch.equal(mixed[:6], torch.stack([alone[0]] * 6))
    # Three channels and four are resized by different code, a level apart.
    assert (mixed[6:8] - alone[0]).abs().max() <= 1.001 / 255
    assert torch.equal(mixed[8], alone[1])


@pytest.mark.parametrize("grayscale", [False, True])
def test_floats_are_the_levels_over_255(grayscale: bool) -> None:
    import numpy as np

    array = np.asarray(photo())
    levels, floats = preprocessing.preprocess([array, array / 255], 100, grayscale)
    assert (levels - floats).abs().max() <= 1.5 / 255  # each rounds to a level, then to a gray
    assert floats.max() <= 1


def test_a_gray_array_fills_three_channels_or_one() -> None:
    import numpy as np

    array = np.asarray(photo().convert("L"))
    colour, gray = transform(array, 32), transform(array, 32, grayscale=True)
    assert colour.shape == (3, 32, 32)
    assert (colour == gray).all()


def test_grayscale_gives_three_equal_channels_when_asked() -> None:
    one = preprocessing.preprocess(IMAGES, 32, grayscale=True)
    three = preprocessing.preprocess(IMAGES, 32, grayscale=True, channels=3)
    assert contracts.check_batch(three, (3, 3, 32, 32)) == []
    assert (three == one).all()


def test_transparency_is_white_or_what_was_asked_for() -> None:
    half = filled("RGBA", (255, 0, 0, 0), (8, 8))
    half.paste((255, 0, 0, 255), (0, 0, 8, 4))
    for background in ((255, 255, 255), (0, 255, 0)):
        below = transform(half, 8, background=background)[:, 7]
        assert below.unique(dim=1).flatten().tolist() == [level / 255 for level in background]
    assert transform(half, 8)[:, 0].unique(dim=1).flatten().tolist() == [1, 0, 0]


def test_a_batch_may_come_from_anything_that_yields_pictures() -> None:
    import numpy as np

    stacked = np.stack([np.asarray(photo())] * 2)
    assert preprocessing.preprocess(stacked, 8).shape == (2, 3, 8, 8)
    assert preprocessing.preprocess((path for path in IMAGES), 8).shape == (3, 3, 8, 8)


# On CUDA.


def test_a_missing_device_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "torch_cuda", lambda: NO_CUDA)
    with pytest.raises(UnavailableError) as refused:
        preprocessing.preprocess(IMAGES, device="cuda:0")
    assert str(refused.value) == (
        "device cuda:0: expected a CUDA device; no CUDA: this test hides it; run another test"
    )


@pytest.mark.parametrize(("format_", "largest", "mean"), [("PNG", 2.0, 0.5), ("JPEG", 32.0, 3.0)])
def test_cuda_gives_what_the_cpu_gives(format_: str, largest: float, mean: float) -> None:
    if absent := availability.torch_cuda():
        pytest.skip(str(absent))
    encoded = encode(photo(), format_)
    batch = preprocessing.preprocess([encoded], device="cuda")
    assert batch.device.type == "cuda"
    assert contracts.check_batch(batch, (1, 3, 224, 224)) == []
    apart = (batch.cpu() - preprocessing.preprocess([encoded])).abs() * 255
    assert apart.max() <= largest
    assert apart.mean() <= mean


class FakeDecoder:
    """Stands for nvJPEG on a machine without it: decodes on the CPU, and records its devices."""

    def __init__(self, fails: Exception | None) -> None:
        self.fails = fails
        self.asked: list[str] = []

    def __call__(self, data: Any, mode: Any, device: str) -> Any:
        import torch

        self.asked.append(device)
        if self.fails is not None:
            raise self.fails
        return torch.ops.image.decode_jpeg(data, mode.value, False)


@pytest.mark.parametrize(
    "fails",
    [None, RuntimeError("nvJPEG does not read this"), AttributeError("no decode_jpegs_cuda")],
    ids=repr,
)
def test_only_jpeg_files_are_decoded_on_the_device(
    monkeypatch: pytest.MonkeyPatch, fails: Exception | None
) -> None:
    import torch
    from torchvision import io

    decoder = FakeDecoder(fails)
    monkeypatch.setattr(io, "decode_jpeg", decoder)
    monkeypatch.setattr(availability, "torch_cuda", lambda: None)
    settings = preprocessing.Settings(size=32, device="cuda")
    sources = [encode(photo(), "JPEG"), encode(photo(), "PNG"), photo(), IMAGES[0]]
    slots = torch.empty((len(sources), 3, 32, 32))  # on the CPU: there is no device to write to
    for slot, source in zip(slots, sources, strict=True):
        preprocessing.fill(slot, source, settings)
    assert decoder.asked == ["cuda"]
    expected = preprocessing.preprocess(sources, 32)
    assert (slots - expected).abs().max() <= 1.001 / 255


@pytest.mark.parametrize(
    ("side", "interpolation", "device"),
    [(640, "bilinear", "meta"), (641, "bilinear", "cpu"), (640, "bicubic", "meta")],
)
def test_what_cuda_cannot_shrink_is_shrunk_on_the_cpu(
    side: int, interpolation: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    devices = []
    resize = preprocessing.resize
    monkeypatch.setattr(
        preprocessing,
        "resize",
        lambda levels, *options, **named: (
            devices.append(levels.device.type) or resize(levels, *options, **named)
        ),
    )
    slot = torch.empty((3, 16, 16), device="meta")  # stands for a device that is not the CPU
    settings = preprocessing.Settings(16, interpolation=interpolation)
    preprocessing.fill(slot, filled("RGB", (1, 2, 3), (20, side)), settings)
    assert devices == [device]


def test_the_weights_of_what_is_shrunk_on_cuda_fit_its_shared_memory() -> None:
    # As launch_upsample_gen2d_aa in ATen/native/cuda/UpSampleBilinear2d.cu counts them, bicubic.
    floats, threads = 48 * 1024 // 4, 32
    weights = 2 * (2 * preprocessing.SHRUNK_ON_CUDA) + 1
    assert weights * threads + weights * (threads + 1) <= floats
