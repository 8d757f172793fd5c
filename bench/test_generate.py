"""Stable Diffusion: prompt → images, over model, device, dtype, size, batch, mode and steps."""

from typing import TYPE_CHECKING

import pytest

from bench import grid, options
from bench.measuring.measure import Measure
from bench.results import fingerprint, thumbnail
from bench.results.cell import CALL_FLOP, ESTIMATED, OFF_EAGER, Cell
from bench.workloads import modes
from bench.workloads.pipelines import Pipelines, draw, parts
from pipeline import contracts
from pipeline.contracts import Violation
from pipeline.errors import PipelineError
from pipeline.stable_diffusion import diffusion, models
from pipeline.validation import meta

if TYPE_CHECKING:
    from PIL.Image import Image


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test a cell."""
    cells = grid.generate(options.axes(metafunc.config))
    metafunc.parametrize("cell", cells, ids=lambda cell: cell.id)


def test_generate(measure: Measure, cell: Cell, axes: grid.Options, pipelines: Pipelines) -> None:
    """Time one prompt through the whole pipeline: text encoder, steps, VAE, PIL images."""
    measure.expect(**expected(cell, axes))
    pipe = pipelines.of(cell)
    size = cell.size
    off: dict[str, float] = {}

    def check(images: "list[Image]") -> list[Violation]:
        found = contracts.check_images(images, cell.images, size)
        if found or "mode" not in cell.axes:
            return found
        eager = pipelines.eager(cell)
        off[OFF_EAGER] = modes.furthest(images, eager)
        limit = modes.tolerance(str(cell.axes["dtype"]), cell.device)
        return modes.check_alike(images, eager, limit)

    try:
        measure(
            lambda: draw(pipe, cell),
            check=check,
            weights=models.resolve(grid.model_of(cell, axes)).weights,
            fingerprint=lambda images: fingerprint.of_image(images[0]),
            thumbnail=lambda images: thumbnail.of_image(images[0], prompt=diffusion.PROMPT, seed=0),
            extra=lambda: off,
            parts=parts(pipe),
        )
    except PipelineError:
        raise  # the call has ended
    except BaseException:
        pipelines.drop()  # a call that was cut short may leave XL's VAE in float32
        raise


def expected(cell: Cell, axes: grid.Options) -> dict[str, float]:
    """Return what a call costs by its shapes; nothing for a pipeline that `meta` does not know."""
    model = models.resolve(grid.model_of(cell, axes))
    size = cell.size
    try:
        cost = meta.cost(model, size, cell.images, str(cell.axes["dtype"]))
        calls = meta.unet_calls(model, cell.steps)
    except PipelineError:  # what it cannot build may run all the same: here it is only measured
        return {}
    return {
        "step_flop": cost.step_flops,
        CALL_FLOP: cost.flops(calls),
        ESTIMATED: cost.peak_bytes,
    }
