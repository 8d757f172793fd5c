"""What computes scores: Flux.jl, or the same network in PyTorch, ready to be timed."""

from collections.abc import Callable
from functools import partial
from typing import Any

from pipeline import flux, preprocessing, reference

__all__ = ["ready"]

FORWARDS: dict[str, Callable[..., Any]] = {"flux": flux.forward, "reference": reference.forward}


def ready(engine: str, device: str) -> Callable[[Any], Any]:
    """Return a function from a batch on the CPU to scores, its model loaded on `device`.

    One image has been through it: Julia compiles on its first forward, for seconds, which would
    outlast a cell's budget.
    """
    import torch

    forward = partial(FORWARDS[engine], device=device)
    forward(torch.zeros(1, 3, preprocessing.SIZE, preprocessing.SIZE))
    return forward
