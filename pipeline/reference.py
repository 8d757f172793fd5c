"""The same network in PyTorch, with the same weights: what Flux is checked against."""

from functools import cache
from typing import TYPE_CHECKING, Any

from pipeline import network

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["forward", "load"]


def forward(batch: "torch.Tensor", device: str = "cpu") -> "np.ndarray":
    """Return the scores (N, 10), float32, of a batch (N, C, H, W), float32 in [0, 1]."""
    import torch

    with torch.inference_mode():
        scores: np.ndarray = load(batch.shape[1], device)(batch.to(device)).cpu().numpy()
    return scores


@cache
def load(channels: int, device: str = "cpu") -> Any:
    """Return the network for images of `channels` as a `torch.nn.Module` on `device`."""
    import torch
    from torch import nn

    model = nn.Sequential(
        nn.Conv2d(channels, network.FILTERS, network.KERNEL, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(network.GRID),
        nn.Flatten(),
        nn.Linear(network.FEATURES, network.CLASSES),
    )
    places = {"conv": "0", "dense": "4"}
    state = {}
    for name, array in network.load_weights(channels).items():
        layer, parameter = name.split(".")
        state[f"{places[layer]}.{parameter}"] = torch.from_numpy(array)
    model.load_state_dict(state)
    return model.to(device).eval()
