"""The whole chain: three images, generated or pre-generated, to scores."""

from typing import TYPE_CHECKING, Any

import pytest

from bench import grid
from bench.harness import options
from bench.harness.cell import Cell
from bench.harness.measure import Measure
from bench.images import ImageSource
from pipeline import contracts, flux, network, preprocessing, reference

if TYPE_CHECKING:
    import numpy as np


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test a cell."""
    cells = grid.end_to_end(options.axes(metafunc.config))
    metafunc.parametrize("cell", cells, ids=lambda cell: cell.id)


def test_end_to_end(measure: Measure, cell: Cell, images: ImageSource) -> None:
    """Time images → batch → scores; the contract of every boundary holds before."""
    count = cell.images
    device = str(cell.axes["device"])
    engine: Any = {"flux": flux, "reference": reference}[str(cell.axes["engine"])]

    made = images()
    contracts.require(contracts.check_images(made, count, images.size))
    side = preprocessing.SIZE
    batch = preprocessing.preprocess(made)
    contracts.require(contracts.check_batch(batch, (count, 3, side, side)))

    def chain() -> "np.ndarray":
        scores: np.ndarray = engine.forward(preprocessing.preprocess(images()), device)
        return scores

    measure(
        chain,
        check=lambda scores: contracts.check_scores(scores, (count, network.CLASSES)),
        weights=images.weights,
    )
