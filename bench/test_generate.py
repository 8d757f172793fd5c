"""Stable Diffusion: prompt → images, over model, device, dtype, size, batch, mode and steps."""

from typing import TYPE_CHECKING

import pytest

from bench import grid
from bench.harness import fingerprint, options
from bench.harness.cell import Cell
from bench.harness.measure import Measure
from bench.pipelines import Pipelines, draw, parts
from pipeline import contracts, modes, sd_models
from pipeline.arguments import parse_size
from pipeline.contracts import Violation

if TYPE_CHECKING:
    from PIL.Image import Image


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test a cell."""
    cells = grid.generate(options.axes(metafunc.config))
    metafunc.parametrize("cell", cells, ids=lambda cell: cell.id)


def test_generate(measure: Measure, cell: Cell, axes: grid.Options, pipelines: Pipelines) -> None:
    """Time one prompt through the whole pipeline: text encoder, steps, VAE, PIL images."""
    pipe = pipelines.of(cell)
    size = parse_size(str(cell.axes["size"]))
    off: dict[str, float] = {}

    def check(images: "list[Image]") -> list[Violation]:
        found = contracts.check_images(images, cell.images, size)
        if found or "mode" not in cell.axes:
            return found
        eager = pipelines.eager(cell)
        off["levels_off_eager"] = modes.furthest(images, eager)
        limit = modes.tolerance(str(cell.axes["dtype"]), cell.device)
        return modes.check_alike(images, eager, limit)

    measure(
        lambda: draw(pipe, cell),
        check=check,
        weights=sd_models.resolve(grid.model_of(cell, axes)).weights,
        fingerprint=lambda images: fingerprint.of_image(images[0]),
        extra=lambda: off,
        parts=parts(pipe),
    )
