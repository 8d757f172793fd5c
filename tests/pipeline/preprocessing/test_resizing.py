"""Levels that go to torch directly come back as torchvision returns them."""

import pytest

from pipeline.preprocessing import resizing
from support.pictures import noise


def levels(channels: int, width: int, height: int) -> "object":
    import numpy as np
    import torch

    array = np.dstack([np.array(noise((width, height)))] * 2)[:, :, :channels]
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("side", [(32, 32), (48, 31), (7, 90), (1, 1)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_the_result_is_torchvisions(
    channels: int, side: tuple[int, int], interpolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = levels(channels, *side)
    direct = resizing.resize(pixels, 32, interpolation, True)
    monkeypatch.setattr(resizing, "takes_torchvision", lambda: True)
    expected = resizing.resize(pixels, 32, interpolation, True)
    assert direct.shape == expected.shape == (channels, 32, 32)
    assert direct.stride() == expected.stride()
    assert (direct == expected).all()
