"""Engines that compute scores: Flux.jl, the call into Julia alone, the same network in PyTorch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline import contracts
from pipeline.contracts import Violation
from pipeline.flux import apart, julia, network
from pipeline.flux import forward as flux
from pipeline.flux import model as models
from pipeline.flux import network as reference

__all__ = ["ENGINES", "FIXTURE_WEIGHTS", "Engine", "ready"]

FIXTURE_WEIGHTS = "fixture, trained"
"""What rows on the network's committed weights say of them."""


@dataclass(frozen=True)
class Engine:
    """A loaded network, for batches on the CPU."""

    call: Callable[[Any], Any]
    """What is timed: batch to scores, or to scores and seconds where there is `inside`."""
    check: Callable[[Any, Any], list[Violation]]
    """Checks what `call` returned for a batch."""
    classes: int
    weights: str
    on_torch: bool = False
    """Whether torch runs it, so that a call ends with torch's synchronisation."""
    inside: Callable[[Any], float] | None = None
    """Reads Julia's own seconds from what `call` returns, where those are published."""
    extra: Callable[[Any], dict[str, float]] = lambda batch: {}
    """Measures further numbers of the row for a batch, outside the timed rounds."""


@contextmanager
def ready(name: str, device: str, batch: Any, model: str = "") -> Iterator[Engine]:
    """Hold the engine `name` on `device`; `model` is a user's Flux model, as `FILE.jl:function`.

    It has run the batch once: Julia and torch.compile compile then, which takes seconds, longer
    than a cell's budget. At the end the memory that CUDA.jl keeps is freed: torch cannot use it.
    """
    engine = ENGINES[name](device, batch.shape[1], model)
    engine.call(batch)
    try:
        yield engine
    finally:
        if device == "cuda" and name in FLUX_ENGINES:
            apart.reclaim(device)


def _flux(device: str, channels: int, model: str, buffered: bool = False) -> Engine:
    loaded = _load_flux(device, channels, model, buffered)
    return Engine(
        loaded,
        _contract(loaded, model),
        loaded.classes,
        _weights(model),
        extra=lambda batch: {"julia_allocated_bytes": loaded.allocated(batch)},
    )


def _flux_inside(device: str, channels: int, model: str) -> Engine:
    loaded = _load_flux(device, channels, model)
    holds = _contract(loaded, model)
    return Engine(
        loaded.timed,
        lambda output, batch: holds(output[0], batch),
        loaded.classes,
        _weights(model),
        inside=lambda output: float(output[1]),
    )


def _flux_bridge(device: str, channels: int, model: str) -> Engine:
    loaded = _load_flux(device, channels, model)

    def holds(scores: Any, batch: Any) -> list[Violation]:
        return contracts.check_array("scores", scores, (len(batch), loaded.classes), "float32")

    return Engine(loaded.bridge, holds, loaded.classes, weights="")


def _reference(device: str, channels: int, model: str) -> Engine:
    def holds(scores: Any, batch: Any) -> list[Violation]:
        return contracts.check_scores(scores, (len(batch), network.CLASSES))

    call = partial(reference.forward, device=device)
    return Engine(call, holds, network.CLASSES, _weights(model), on_torch=True)


def _compiled(device: str, channels: int, model: str) -> Engine:
    def holds(scores: Any, batch: Any) -> list[Violation]:
        return contracts.check_close(scores, reference.forward(batch, device))

    call = partial(reference.forward, device=device, compiled=True)
    return Engine(call, holds, network.CLASSES, _weights(model), on_torch=True)


FLUX_ENGINES: dict[str, Callable[[str, int, str], Engine]] = {
    "flux": _flux,
    "flux-inside": _flux_inside,
    "flux-buffered": partial(_flux, buffered=True),
    "flux-bridge": _flux_bridge,
}

ENGINES = FLUX_ENGINES | {"reference": _reference, "compiled": _compiled}
"""By the values of `--flux-engine`: Flux as Python calls it, its forward alone by Julia's clock,
the network with buffers that are kept, the same call without a model, the network in PyTorch, and
that network compiled."""


def _load_flux(
    device: str, channels: int, model: str, buffered: bool = False
) -> flux.Model | flux.Apart:
    """Load the model; the BLAS of a Julia in this process gets as many threads as torch has."""
    import torch

    loaded = flux.load(channels, device, model, buffered=buffered)
    if device == "cpu":
        julia.set_blas_threads(torch.get_num_threads())
    return loaded


def _contract(loaded: flux.Model | flux.Apart, model: str) -> Callable[[Any, Any], list[Violation]]:
    """Return a check of scores.

    Those of our own network must agree with the PyTorch reference. A user's model is called again:
    its scores must repeat, and the batch must stay as it is.
    """

    def holds(scores: Any, batch: Any) -> list[Violation]:
        violations = contracts.check_scores(scores, (len(batch), loaded.classes))
        if violations:
            return violations
        if not model:
            return contracts.check_close(scores, reference.forward(batch))
        before = batch.clone()
        repeated = models.check_repeated(scores, loaded(batch))
        return models.check_unchanged(batch, before) or repeated

    return holds


def _weights(model: str) -> str:
    return "the model's own" if model else FIXTURE_WEIGHTS
