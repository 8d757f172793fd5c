"""Forward: batch → scores, by Flux.jl (the Julia library, not the FLUX.1 image model)."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError
from pipeline.flux import apart, julia, network
from pipeline.flux import model as models
from pipeline.flux.apart import Apart
from pipeline.flux.model import Model, split_name
from pipeline.flux.rehearsal import rehearse

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["Apart", "Model", "forward", "load", "output_shape", "scoring_bytes", "split_name"]

DEVICES = ("cpu", "cuda")


def forward(
    batch: "torch.Tensor | np.ndarray",
    device: str = "cpu",
    model: str = "",
    weights: str | Path = "",
) -> "np.ndarray":
    """Return the scores (N, classes), float32, of a batch (N, C, 224, 224), float32 in [0, 1].

    `device` is `cpu`, or `cuda` for CUDA.jl; `model` and `weights` as in `load`. Raises
    `UnavailableError` without Julia, Flux or the device, `ContractError` for a batch of another
    type or shape, and `PipelineError` as `load` does.
    """
    shape: tuple[int, ...] = tuple(getattr(batch, "shape", ()))
    channels = shape[1] if len(shape) == 4 else 3  # the model refuses the rest
    return load(channels, device, model, str(weights))(batch)


def load(
    channels: int, device: str = "cpu", model: str = "", weights: str = "", buffered: bool = False
) -> Model | Apart:
    """Return the Flux model for images of `channels`, on `device`; the same one for the same call.

    `model` names a Julia function that returns a Flux model, as `FILE.jl:function`; without one
    it is the network of `network.py`, with the `weights` of a safetensors file, by default the
    fixture's; `buffered` keeps that network's buffers from call to call, on the CPU. A user's model
    runs in a child process first. On CUDA the model stays in one: see `apart`.

    Raises `UnavailableError` as `forward`, and `PipelineError`, with what Julia says, for a file,
    function, model or weights that do not fit.
    """
    if device not in DEVICES:
        raise PipelineError(f"device {device!r}", " or ".join(DEVICES), "change the device")
    if model and weights:
        raise PipelineError("--flux-model and --flux-weights", "one of them", "leave one out")
    if buffered and (model or device != "cpu"):
        given = f"buffers for {model or device}"
        raise PipelineError(given, "the network of this project on the CPU", "leave them out")
    if model:
        split_name(model)
        rehearse(model, channels)
    if device == "cuda":
        return apart.load(channels, device, model, weights)
    return models.load(channels, device, model, weights, buffered)


def output_shape(model: str = "") -> Callable[[int, int], tuple[int, int]]:
    """Return a function of channels and N that gives the shape (N, classes) of the scores.

    It asks `Flux.outputsize`: no weights are read, and nothing runs but a user's model, in a child
    process. `model` as in `load`. The function raises `PipelineError` for images that the model
    does not take; this raises `UnavailableError` without Julia.
    """
    julia.start()

    def shape(channels: int, count: int) -> tuple[int, int]:
        classes, images = models.output_size(_built(model, channels), model, channels, count)
        return images, classes

    return shape


def scoring_bytes(model: str = "") -> Callable[[int, int], int]:
    """Return a function of channels and N that gives the bytes of a model and its activations.

    Activations are asked for one and for two images; those of N lie on the line through both.
    Raises as `output_shape`.
    """
    julia.start()

    @cache
    def of_few(channels: int) -> tuple[int, int]:
        built = _built(model, channels)
        return models.scoring_bytes(built, channels, 1), models.scoring_bytes(built, channels, 2)

    def size(channels: int, count: int) -> int:
        one, two = of_few(channels)
        return one + (count - 1) * (two - one)

    return size


def _built(model: str, channels: int) -> Any:
    """Return a model in Julia: a user's, tried before in a child process, or ours of zeros."""
    if not model:
        return julia.start().FluxScores.build(network.blank_weights(channels))
    rehearse(model, channels)
    return models.load(channels, "cpu", model).julia_model
