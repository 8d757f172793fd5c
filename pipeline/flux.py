"""Forward: batch → scores, by Flux.jl (the Julia library, not the FLUX.1 image model)."""

from functools import cache
from typing import TYPE_CHECKING, Any

from pipeline import julia, network
from pipeline.errors import UnavailableError

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["forward", "load"]


def forward(batch: "torch.Tensor | np.ndarray", device: str = "cpu") -> "np.ndarray":
    """Return the scores (N, 10), float32, of a batch (N, C, 224, 224), float32 in [0, 1].

    `device` is `cpu`, or `cuda` for CUDA.jl. The batch's memory is read in place: NCHW in C order
    is WHCN in Julia's column-major order. Raises `UnavailableError` without Julia, Flux or the
    device.
    """
    import numpy as np

    model = load(batch.shape[1], device)
    array = np.ascontiguousarray(batch, dtype=np.float32)
    scores = julia.start().FluxScores.forward(model, array.T, device)
    result: np.ndarray = np.asarray(scores).T
    return result


@cache
def load(channels: int, device: str = "cpu") -> Any:
    """Return the Flux model for images of `channels`, on `device`, with the fixture's weights."""
    main = julia.start()
    if device == "cuda":
        absent = julia.cuda_missing()
        if absent is not None:
            raise UnavailableError("--device cuda", absent)
    weights = main.FluxScores.load_weights(str(network.weights_path(channels)))
    return main.FluxScores.build(weights, device)
