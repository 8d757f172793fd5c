"""The network: its weights, and what PyTorch makes of them, checked against plain NumPy."""

import re
from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.flux import network


def images(count: int, channels: int) -> Any:
    import torch

    shape = (count, channels, 224, 224)
    return torch.rand(shape, generator=torch.Generator().manual_seed(count * 10 + channels))


def by_hand(batch: Any) -> Any:
    """The same network in NumPy, from its formulas."""
    import numpy as np
    from numpy.lib.stride_tricks import sliding_window_view

    weights = {k: v.astype(np.float64) for k, v in network.load_weights(batch.shape[1]).items()}
    padded = np.pad(batch.numpy().astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = sliding_window_view(padded, (3, 3), axis=(2, 3))
    maps = np.tensordot(windows, weights["conv.weight"], axes=((1, 4, 5), (1, 2, 3)))
    active = np.maximum(maps + weights["conv.bias"], 0)  # (N, 224, 224, 16)
    pooled = active.reshape(-1, 7, 32, 7, 32, 16).mean(axis=(2, 4))
    flat = pooled.transpose(0, 3, 1, 2).reshape(-1, 16 * 7 * 7)
    return flat @ weights["dense.weight"].T + weights["dense.bias"]


@pytest.mark.parametrize(("channels", "name"), [(1, "gray"), (3, "rgb")])
def test_weights_have_pytorchs_names_and_shapes(channels: int, name: str) -> None:
    weights = network.load_weights(channels)
    assert network.weights_path(channels).name == f"{name}.safetensors"
    assert {key: (array.shape, str(array.dtype)) for key, array in weights.items()} == {
        "conv.weight": ((16, channels, 3, 3), "float32"),
        "conv.bias": ((16,), "float32"),
        "dense.weight": ((10, 784), "float32"),
        "dense.bias": ((10,), "float32"),
    }


@pytest.mark.parametrize("channels", [0, 2, 4])
def test_other_channels_have_no_weights(channels: int) -> None:
    line = f"{channels} channels: expected 1 or 3; pass grayscale or RGB images"
    with pytest.raises(PipelineError, match=f"^{re.escape(line)}$"):
        network.load_weights(channels)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_reference_computes_the_network(channels: int) -> None:
    import numpy as np

    batch = images(2, channels)
    scores = network.forward(batch)
    assert (scores.shape, str(scores.dtype)) == ((2, 10), "float32")
    assert np.abs(scores - by_hand(batch)).max() < 1e-5


def test_an_image_scores_the_same_alone_and_in_a_batch() -> None:
    import numpy as np

    batch = images(4, 3)
    alone = np.concatenate([network.forward(image[None]) for image in batch])
    assert np.abs(network.forward(batch) - alone).max() < 1e-5


def test_different_images_score_differently() -> None:
    import numpy as np

    assert np.ptp(network.forward(images(2, 3)), axis=0).max() > 1e-3


def test_the_reference_is_built_once_a_device_and_does_not_learn() -> None:
    model = network.load(3)
    assert network.load(3) is model
    assert not model.training
