"""The same network in PyTorch, with the same weights: what Flux is checked against."""

from functools import cache
from typing import TYPE_CHECKING, Any

from pipeline import availability
from pipeline.contracts import SIZE
from pipeline.errors import UnavailableError
from pipeline.flux import network

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["build", "forward", "load", "load_compiled", "output_shape"]


def forward(batch: "torch.Tensor", device: str = "cpu", compiled: bool = False) -> "np.ndarray":
    """Return the scores (N, 10), float32, of a batch (N, C, H, W), float32 in [0, 1].

    `compiled` runs it through torch.compile, which needs a C++ compiler on the CPU and compiles
    on the first batch of a shape, for seconds.
    """
    import torch

    network_of = load_compiled if compiled else load
    with torch.inference_mode():
        scores: np.ndarray = network_of(batch.shape[1], device)(batch.to(device)).cpu().numpy()
    return scores


@cache
def load_compiled(channels: int, device: str = "cpu") -> Any:
    """Return what `load` does, compiled for each shape that it meets.

    A whole graph or an error: beyond its limit of shapes torch would go on without compiling.
    """
    import torch

    return torch.compile(load(channels, device), dynamic=False, fullgraph=True)


@cache
def load(channels: int, device: str = "cpu") -> Any:
    """Return the network for images of `channels` as a `torch.nn.Module` on `device`.

    Raises `UnavailableError` where PyTorch cannot use the device.
    """
    if device == "cuda":
        absent = availability.torch_cuda()
        if absent is not None:
            raise UnavailableError("--device cuda", absent)
    import torch

    model = build(channels)
    places = {"conv": "0", "dense": "4"}
    state = {}
    for name, array in network.load_weights(channels).items():
        layer, parameter = name.split(".")
        state[f"{places[layer]}.{parameter}"] = torch.from_numpy(array)
    model.load_state_dict(state)
    return model.to(device).eval()


def build(channels: int) -> Any:
    """Return the network as PyTorch makes it, without the weights of the fixture."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(channels, network.FILTERS, network.KERNEL, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(network.GRID),
        nn.Flatten(),
        nn.Linear(network.FEATURES, network.CLASSES),
    )


def output_shape(channels: int, count: int) -> tuple[int, int]:
    """Return the shape (N, classes) of the scores of `count` images; nothing is computed."""
    import torch

    with torch.device("meta"):
        batch = torch.empty((count, channels, SIZE, SIZE))
        images, classes = build(channels)(batch).shape
    return images, classes
