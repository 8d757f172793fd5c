"""The network that scores images: its dimensions, its weights, and the PyTorch reference.

Convolution 3×3, C → 16, padding 1 · ReLU · mean over a 7×7 grid · flatten · dense 784 → 10.
Flux.jl is checked against the reference, which has the same weights.
"""

import json
from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import availability
from pipeline.contracts import SIZE
from pipeline.errors import PipelineError, UnavailableError, one_line
from pipeline.files import FIXTURES

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = [
    "CLASSES",
    "FEATURES",
    "FILTERS",
    "GRID",
    "KERNEL",
    "blank_weights",
    "build",
    "class_names",
    "forward",
    "load",
    "load_compiled",
    "load_weights",
    "output_shape",
    "prompts",
    "weights_path",
]

KERNEL = 3
FILTERS = 16
GRID = 7
CLASSES = 10
FEATURES = FILTERS * GRID * GRID


def weights_path(channels: int) -> Path:
    """Return the safetensors file for images of `channels` (1 or 3).

    Raises `PipelineError` for another number of channels.
    """
    names = {1: "gray.safetensors", 3: "rgb.safetensors"}
    if channels not in names:
        raise PipelineError(f"{channels} channels", "1 or 3", "pass grayscale or RGB images")
    return FIXTURES / "flux" / names[channels]


def load_weights(channels: int) -> "dict[str, np.ndarray]":
    """Return the float32 weights by name, with the shapes of `blank_weights`."""
    from safetensors.numpy import load_file

    weights: dict[str, np.ndarray] = load_file(weights_path(channels))
    return weights


def class_names(file: str | Path) -> tuple[str, ...]:
    """Return the names of the classes that weights say in their metadata; none where they do not.

    Raises `PipelineError` for a file that is not whole.
    """
    return _metadata(file, "classes")


def prompts(file: str | Path) -> tuple[str, ...]:
    """Return a prompt of each class, as `class_names` does the names."""
    return _metadata(file, "prompts")


def _metadata(file: str | Path, key: str) -> tuple[str, ...]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "numpy") as weights:
            metadata = weights.metadata() or {}
        names = json.loads(metadata.get(key, "[]"))
    except (OSError, SafetensorError, ValueError) as error:
        raise PipelineError(
            f"weights {file}", "a whole safetensors file", one_line(error)
        ) from error
    return tuple(map(str, names)) if isinstance(names, list) else ()


def blank_weights(channels: int) -> "dict[str, np.ndarray]":
    """Return zeros with the names and shapes, PyTorch's, of the weights."""
    import numpy as np

    shapes = {
        "conv.weight": (FILTERS, channels, KERNEL, KERNEL),
        "conv.bias": (FILTERS,),
        "dense.weight": (CLASSES, FEATURES),
        "dense.bias": (CLASSES,),
    }
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


def forward(batch: "torch.Tensor", device: str = "cpu", compiled: bool = False) -> "np.ndarray":
    """Return the reference's scores (N, 10) of a batch (N, C, H, W); float32, the batch in [0, 1].

    `compiled` runs it through torch.compile, which needs a C++ compiler on the CPU and compiles
    for seconds on the first batch of a shape.
    """
    import torch

    reference = (load_compiled if compiled else load)(batch.shape[1], device)
    with torch.inference_mode():
        scores: np.ndarray = reference(batch.to(device)).cpu().numpy()
    return scores


@cache
def load_compiled(channels: int, device: str = "cpu") -> Any:
    """Return what `load` does, compiled for each shape that it meets.

    As a whole graph or not at all: beyond its limit of shapes torch would go on uncompiled.
    """
    import torch

    return torch.compile(load(channels, device), dynamic=False, fullgraph=True)


@cache
def load(channels: int, device: str = "cpu") -> Any:
    """Return the reference for images of `channels`, a `torch.nn.Module` on `device`.

    Raises `UnavailableError` where PyTorch cannot use the device.
    """
    if device == "cuda" and (absent := availability.torch_cuda()) is not None:
        raise UnavailableError("--device cuda", absent)
    import torch

    model = build(channels)
    weights = load_weights(channels)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return model.to(device).eval()


def build(channels: int) -> Any:
    """Return the reference with weights as PyTorch initializes them."""
    from torch import nn

    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(channels, FILTERS, KERNEL, padding=1),
            relu=nn.ReLU(),
            mean=nn.AdaptiveAvgPool2d(GRID),
            flatten=nn.Flatten(),
            dense=nn.Linear(FEATURES, CLASSES),
        )
    )


def output_shape(channels: int, count: int) -> tuple[int, int]:
    """Return the shape (N, classes) of the scores of `count` images; nothing is computed."""
    import torch

    with torch.device("meta"):
        batch = torch.empty((count, channels, SIZE, SIZE))
        images, classes = build(channels)(batch).shape
    return images, classes
