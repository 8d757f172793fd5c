"""The network that scores images: its dimensions and its weights, for Flux and PyTorch alike.

Convolution 3×3, C → 16, padding 1 · ReLU · mean over a 7×7 grid · flatten · dense 784 → 10.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError
from pipeline.files import FIXTURES

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "CLASSES",
    "FEATURES",
    "FILTERS",
    "GRID",
    "KERNEL",
    "blank_weights",
    "load_weights",
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
    """Return the float32 weights by name, in PyTorch's shapes.

    `conv.weight` (16, C, 3, 3), `conv.bias` (16,), `dense.weight` (10, 784), `dense.bias` (10,).
    """
    from safetensors.numpy import load_file

    loaded: dict[str, np.ndarray] = load_file(weights_path(channels))
    return loaded


def blank_weights(channels: int) -> "dict[str, np.ndarray]":
    """Return zeros with the names and shapes of the weights: what the network looks like."""
    import numpy as np

    shapes = {
        "conv.weight": (FILTERS, channels, KERNEL, KERNEL),
        "conv.bias": (FILTERS,),
        "dense.weight": (CLASSES, FEATURES),
        "dense.bias": (CLASSES,),
    }
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
