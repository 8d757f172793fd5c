"""What computes scores: Flux.jl, the bridge into Julia alone, the same network in PyTorch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline import contracts
from pipeline.contracts import Violation
from pipeline.flux import forward as flux
from pipeline.flux import julia, network, reference

__all__ = ["ENGINES", "FIXTURE_WEIGHTS", "Engine", "ready", "release"]

FIXTURE_WEIGHTS = "fixture, seeded random"
"""What rows on the network's committed weights say of them."""


@dataclass(frozen=True)
class Engine:
    """A loaded network, for batches on the CPU."""

    call: Callable[[Any], Any]
    """What is timed: a batch to scores, or to scores and seconds where there is `inside`."""
    check: Callable[[Any, Any], list[Violation]]
    """The contract of what `call` returns for a batch."""
    classes: int
    weights: str
    on_torch: bool = False
    """Whether torch runs it, so that torch's synchronisation ends a call."""
    inside: Callable[[Any], float] | None = None
    """Reads Julia's own seconds from what `call` returns, where these are what is published."""
    extra: Callable[[Any], dict[str, float]] = lambda batch: {}
    """Measures what else is said of the row, for a batch, apart from the timed rounds."""


def ready(name: str, device: str, batch: Any, model: str = "") -> Engine:
    """Return the engine `name` on `device`; `model` is a user's Flux model, as `FILE.jl:function`.

    The batch has been through it once: Julia and torch.compile compile then, for seconds, which
    would outlast a cell's budget.
    """
    engine = ENGINES[name](device, batch.shape[1], model)
    engine.call(batch)
    return engine


def release(name: str, device: str) -> None:
    """Give back what CUDA.jl holds: torch, in the same process, cannot use it."""
    if device == "cuda" and name in FLUX_ENGINES:
        julia.reclaim(device)


def _flux(device: str, channels: int, model: str) -> Engine:
    loaded = _load_flux(device, channels, model)
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


FLUX_ENGINES = {"flux": _flux, "flux-inside": _flux_inside, "flux-bridge": _flux_bridge}

ENGINES = FLUX_ENGINES | {"reference": _reference, "compiled": _compiled}
"""By the names that `--flux-engine` takes: Flux as Python sees it, its forward alone by Julia's
clock, the same call without a model, the network in PyTorch, and that compiled."""


def _load_flux(device: str, channels: int, model: str) -> flux.Model:
    """Load the model; Julia's BLAS gets as many threads as torch has."""
    import torch

    loaded = flux.load(channels, device, model)
    julia.set_blas_threads(torch.get_num_threads())
    return loaded


def _contract(loaded: flux.Model, model: str) -> Callable[[Any, Any], list[Violation]]:
    """A user's model must give scores; ours must also agree with the PyTorch reference."""

    def holds(scores: Any, batch: Any) -> list[Violation]:
        found = contracts.check_scores(scores, (len(batch), loaded.classes))
        return found or ([] if model else contracts.check_close(scores, reference.forward(batch)))

    return holds


def _weights(model: str) -> str:
    return "the model's own" if model else FIXTURE_WEIGHTS
