"""Stable Diffusion: prompt → one image, over model, device, dtype, size and steps."""

from functools import lru_cache
from typing import Any

import pytest

from bench import grid
from bench.harness import fingerprint, options, thumbnail
from bench.harness.cell import Cell
from bench.harness.measure import Measure
from pipeline import contracts, diffusion, sd_models
from pipeline.arguments import parse_size


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test a cell."""
    cells = grid.generate(options.axes(metafunc.config))
    metafunc.parametrize("cell", cells, ids=lambda cell: cell.id)


def test_generate(measure: Measure, cell: Cell, axes: grid.Options) -> None:
    """Time one prompt through the whole pipeline: text encoder, steps, VAE, PIL image."""
    at = cell.axes
    name = grid.model_of(cell, axes)
    pipe = loaded(name, str(at["device"]), str(at["dtype"]))
    size = parse_size(str(at["size"]))
    steps = int(at["steps"])
    measure(
        lambda: diffusion.sample(pipe, diffusion.PROMPT, [0], size, steps),
        check=lambda images: contracts.check_images(images, 1, size),
        weights=sd_models.resolve(name).weights,
        fingerprint=lambda images: fingerprint.of_image(images[0]),
        thumbnail=lambda images: thumbnail.of_image(images[0], prompt=diffusion.PROMPT, seed=0),
    )


@lru_cache(maxsize=1)
def loaded(name: str, device: str, dtype: str) -> Any:
    """Load a pipeline once for the cells that share it; only the last one is kept in memory."""
    return diffusion.load(name, device, dtype)
