"""A running service that is asked for a size that it has not drawn: what the first call costs."""

from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from bench.results.cell import AGAIN, CAPTURES, RECOMPILE_LIMIT, RECOMPILES
from bench.workloads import modes
from pipeline import contracts
from pipeline.stable_diffusion import components, diffusion

__all__ = ["Service", "costs", "draw_new", "serving"]


@dataclass(frozen=True)
class Service:
    """A pipeline in a mode that has drawn one size; what it had compiled by then."""

    pipe: Any
    new_side: int
    steps: int
    compiled: int
    captured: int


def serving(model: str, device: str, mode: str, side: int, new_side: int, steps: int) -> Service:
    """Return a pipeline that has drawn pictures of `side` × `side` pixels twice in its mode."""
    pipe = diffusion.load(model, device)
    modes.apply(pipe, mode)
    service = Service(pipe, new_side, steps, 0, 0)
    for _ in range(2):
        _draw(service, side)
    return replace(service, compiled=_compiled(), captured=_captured(pipe))


def draw_new(service: Service) -> None:
    """Draw one picture of the size that the service has not drawn; wait for its device."""
    _draw(service, service.new_side)


def costs(service: Service) -> dict[str, float]:
    """Return what the first call at the new size made, and the seconds of the next one."""
    import torch._dynamo

    made = {RECOMPILES: _compiled() - service.compiled}
    captured = _captured(service.pipe) - service.captured
    begun = perf_counter()
    draw_new(service)
    again = perf_counter() - begun
    limit = torch._dynamo.config.recompile_limit
    return made | {CAPTURES: captured, AGAIN: again, RECOMPILE_LIMIT: limit}


def _draw(service: Service, side: int) -> None:
    size = (side, side)
    images = diffusion.sample(service.pipe, diffusion.PROMPT, [0], size, service.steps)
    contracts.require(contracts.check_images(images, 1, size))


def _compiled() -> int:
    """Return how many graphs torch has compiled in this process."""
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


def _captured(pipe: Any) -> int:
    forward = components.denoiser(pipe)[1].forward
    return forward.captures if isinstance(forward, modes.Graphed) else 0
