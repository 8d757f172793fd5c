"""Agreement: the share of pictures that the trained network calls what their prompt says."""

from collections.abc import Callable
from typing import Any

from bench.results.cell import AGREED, JUDGED, Cell
from pipeline.flux import network
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.stable_diffusion import diffusion

__all__ = ["of_cell", "of_pipeline"]

SEED = 5000
"""The first seed: pictures are drawn from the same noise in every cell and every run."""

TOGETHER = 10
"""Pictures drawn at once, unless a mode was compiled for another number."""


def of_cell(
    pipe: Any, cell: Cell, count: int, show: Callable[[int, int], None]
) -> dict[str, float]:
    """Return how many of `count` pictures of a cell agree with their prompts, for a row's `extra`.

    They have the cell's size and steps; each class has as many as the others, or one more. A
    compiled mode draws as many at once as it was compiled for. `show` is told how many pictures
    have been judged, of how many.
    """
    together = cell.images if "mode" in cell.axes else TOGETHER
    agreed = of_pipeline(pipe, cell.size, cell.steps, count, together, show=show)
    return {AGREED: agreed, JUDGED: count}


def of_pipeline(
    pipe: Any,
    size: tuple[int, int],
    steps: int,
    count: int,
    together: int = TOGETHER,
    guidance: float | None = None,
    show: Callable[[int, int], None] = lambda done, count: None,
) -> int:
    """Return how many of `count` pictures the network calls what their prompt says."""
    prompts = network.prompts(network.weights_path(3))
    agreed = 0
    for first in range(0, count, together):
        kinds = [number % len(prompts) for number in range(first, first + together)]
        seeds = range(SEED + first, SEED + first + together)
        images = diffusion.sample(
            pipe, [prompts[kind] for kind in kinds], seeds, size, steps, guidance=guidance
        )
        judged = min(together, count - first)
        called = network.forward(preprocessing.preprocess(images[:judged])).argmax(axis=1)
        agreed += sum(int(one) == kind for one, kind in zip(called, kinds, strict=False))
        show(first + judged, count)
    return agreed
