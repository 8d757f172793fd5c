"""The whole chain: three images, generated or pre-generated, to scores."""

import pytest

from bench import engines, grid
from bench.harness import options
from bench.harness.cell import Cell
from bench.harness.measure import Measure
from bench.images import ImageSource
from pipeline import contracts, network, preprocessing


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test a cell."""
    cells = grid.end_to_end(options.axes(metafunc.config))
    metafunc.parametrize("cell", cells, ids=lambda cell: cell.id)


def test_end_to_end(measure: Measure, cell: Cell, images: ImageSource) -> None:
    """Time images → batch → scores; the contract of every boundary holds before."""
    count = cell.images
    forward = engines.ready(str(cell.axes["engine"]), str(cell.axes["device"]))

    made = images()
    contracts.require(contracts.check_images(made, count, images.size))
    side = preprocessing.SIZE
    batch = preprocessing.preprocess(made)
    contracts.require(contracts.check_batch(batch, (count, 3, side, side)))

    measure(
        lambda: forward(preprocessing.preprocess(images())),
        check=lambda scores: contracts.check_scores(scores, (count, network.CLASSES)),
        weights=images.weights,
    )
