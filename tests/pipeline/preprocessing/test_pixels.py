"""An image lends its memory; arrays and tensors have two shapes each, or are refused."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.preprocessing import pixels
from pipeline.preprocessing.preprocess import Settings, fill, preprocess


def noise(height: int, width: int, seed: int = 0) -> Any:
    import numpy as np

    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(height=st.integers(1, 50), width=st.integers(1, 50))
def test_an_image_lends_its_levels_in_rows_of_four_bytes_a_pixel(height: int, width: int) -> None:
    import numpy as np
    from PIL import Image

    levels = noise(height, width)
    lent = pixels.of_image(Image.fromarray(levels))
    assert lent.shape == (4, height, width)
    assert lent.stride() == (1, 4 * width, 4)
    assert np.array_equal(lent[:3].permute(1, 2, 0).numpy(), levels)


def test_lent_memory_outlives_the_image() -> None:
    from PIL import Image

    lent = pixels.of_image(Image.new("RGB", (640, 480), (1, 2, 3)))
    gc.collect()
    others = [Image.new("RGB", (640, 480), (9, 9, 9)) for _ in range(8)]
    assert lent[:3].flatten(1).unique(dim=1).flatten().tolist() == [1, 2, 3]
    assert others[0].getpixel((0, 0)) == (9, 9, 9)


@contextmanager
def laid_out(block: int, alignment: int) -> Iterator[None]:
    """Let Pillow allocate in blocks of so many bytes, and align rows to so many."""
    from PIL import Image

    core = Image.core
    before = core.get_block_size(), core.get_alignment()
    core.set_use_block_allocator(0)
    core.set_block_size(block)
    core.set_alignment(alignment)
    try:
        yield
    finally:
        core.set_block_size(before[0])
        core.set_alignment(before[1])


@pytest.mark.parametrize(("block", "alignment"), [(4096, 1), (16 << 20, 64)])
def test_an_image_in_several_blocks_or_of_aligned_rows_is_copied(
    block: int, alignment: int
) -> None:
    # Pillow 11.3 lends aligned rows as if they were not: every pixel is then another one.
    import numpy as np
    from PIL import Image

    levels = noise(64, 65)
    with laid_out(block, alignment):
        copied = pixels.of_image(Image.fromarray(levels))
    assert copied.shape == (3, 64, 65)
    assert np.array_equal(copied.permute(1, 2, 0).numpy(), levels)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_an_image_of_no_pixels_lends_nothing(size: tuple[int, int]) -> None:
    # Pillow 11.3 crashes if asked for one.
    from PIL import Image

    assert pixels.of_image(Image.new("RGB", size)).shape == (3, *size[::-1])


@pytest.mark.parametrize("lender", [("L", (10, 8)), ("RGB", (10, 9))], ids=str)
def test_memory_of_another_layout_is_not_used(
    lender: tuple[str, tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np
    from PIL import Image

    other = Image.new(*lender)
    image = Image.fromarray(noise(8, 10))
    monkeypatch.setattr(image, "__arrow_c_array__", other.__arrow_c_array__)
    copied = pixels.of_image(image)
    assert np.array_equal(copied.permute(1, 2, 0).numpy(), noise(8, 10))


def arrays() -> dict[str, Any]:
    import numpy as np

    rgb = noise(4, 6)
    return {
        "rgb": (rgb, rgb),
        "gray": (rgb[:, :, 0], rgb[:, :, :1]),
        "one channel": (rgb[:, :, :1], rgb[:, :, :1]),
        "upside down": (rgb[::-1], rgb[::-1]),
        "read-only": (np.frombuffer(rgb.tobytes(), np.uint8).reshape(rgb.shape), rgb),
        "every other": (rgb[::2, ::2], rgb[::2, ::2]),
        "float64": (rgb / 255, (rgb / 255).astype(np.float32)),
        "float16": ((rgb / 255).astype(np.float16),) * 2,
    }


@pytest.mark.parametrize("name", arrays())
def test_an_array_is_height_width_channels(name: str) -> None:
    import numpy as np

    array, expected = arrays()[name]
    taken = pixels.of_array(array, "image").permute(1, 2, 0).numpy()
    assert taken.dtype == (np.uint8 if expected.dtype == np.uint8 else np.float32)
    assert np.array_equal(taken, expected.astype(taken.dtype))


@pytest.mark.parametrize("name", arrays())
def test_a_tensor_is_channels_height_width(name: str) -> None:
    import torch

    array, _ = arrays()[name]
    tensor = torch.from_numpy(array.copy())
    tensor = tensor.permute(2, 0, 1) if tensor.ndim == 3 else tensor
    taken = pixels.of_tensor(tensor.requires_grad_(tensor.is_floating_point()), "image")
    assert torch.equal(taken, pixels.of_array(array, "image"))
    assert not taken.requires_grad


ARRAY = "expected (H, W), (H, W, 1) or (H, W, 3); an array is (H, W, C), a tensor (C, H, W)"
TENSOR = "expected (H, W), (1, H, W) or (3, H, W); an array is (H, W, C), a tensor (C, H, W)"
DTYPE = "expected uint8, or floats in [0, 1]; convert it"
FLOATS = "expected floats in [0, 1], or uint8"


@pytest.mark.parametrize(
    ("shape", "dtype", "value", "line"),
    [
        ((5, 4, 6), "uint8", 1, f"image of shape (5, 4, 6): {ARRAY}"),
        ((6,), "uint8", 1, f"image of shape (6,): {ARRAY}"),
        ((0, 6), "uint8", 1, "image of no pixels: expected at least one pixel; "
                             "check what it holds"),
        ((4, 6), "uint16", 1, f"image of uint16: {DTYPE}"),
        ((4, 6), "int64", 1, f"image of int64: {DTYPE}"),
        ((4, 6), "bool", 1, f"image of bool: {DTYPE}"),
        ((4, 6), "complex64", 1, f"image of complex64: {DTYPE}"),
        ((4, 6), "object", 1, f"image of object: {DTYPE}"),
        ((4, 6), "float32", 255, f"image of values from 255 to 255: {FLOATS}; "
                               "divide 8-bit levels by 255"),
        ((4, 6), "float32", 1.5, f"image of values from 1.5 to 1.5: {FLOATS}; clamp them"),
        ((4, 6), "float32", 4095, f"image of values from 4095 to 4095: {FLOATS}; "
                                "divide them by their highest level"),
        ((4, 6), "float32", float("inf"), f"image of values from inf to inf: {FLOATS}; "
                                        "replace what is not a finite number"),
        ((4, 6), "float32", -0.5, f"image of values from -0.5 to -0.5: {FLOATS}; scale them"),
        ((4, 6), "float64", float("nan"), f"image of values from nan to nan: {FLOATS}; "
                                        "replace what is not a finite number"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_tensor", [False, True])
def test_any_other_array_or_tensor_is_refused(
    shape: tuple[int, ...], dtype: str, value: float, line: str, as_tensor: bool
) -> None:
    import numpy as np
    import torch

    if as_tensor and dtype == "object":
        pytest.skip("torch has no such dtype")
    array = np.full(shape, value, dtype)
    take: Any = pixels.of_tensor if as_tensor else pixels.of_array
    with pytest.raises(PipelineError) as refused:
        take(torch.from_numpy(array) if as_tensor else array, "image")
    assert str(refused.value) == (line.replace(ARRAY, TENSOR) if as_tensor else line)


def test_the_order_of_dimensions_is_not_guessed() -> None:
    import torch

    with pytest.raises(PipelineError, match=r"image of shape \(3, 4, 6\): expected \(H, W\)"):
        pixels.of_array(noise(4, 6).transpose(2, 0, 1), "image")
    with pytest.raises(PipelineError, match=r"image of shape \(4, 6, 3\): expected \(H, W\)"):
        pixels.of_tensor(torch.from_numpy(noise(4, 6)), "image")


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_tensor_without_values_is_refused_by_name(dtype: str) -> None:
    import torch

    empty = torch.empty((3, 8, 8), dtype=getattr(torch, dtype), device="meta")
    with pytest.raises(PipelineError, match=r"meta: expected a tensor with values; make it on"):
        preprocess([empty])


def test_a_slot_without_values_takes_pixels_without_values() -> None:
    """Validation walks through `fill` on the meta device."""
    import torch

    slot = torch.empty((3, 16, 16), device="meta")
    fill(slot, torch.empty((3, 8, 8), dtype=torch.uint8, device="meta"), Settings(size=16))
    assert slot.shape == (3, 16, 16)
