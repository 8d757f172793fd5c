"""The whole chain: three images, generated or pre-generated, to scores."""

import pytest

from bench import grid, options
from bench.measuring.measure import Measure
from bench.results.cell import Cell
from bench.workloads import engines
from bench.workloads.pipelines import ImageSource
from pipeline import contracts
from pipeline.preprocessing import preprocess as preprocessing


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test a cell."""
    options.one_test_a_cell(metafunc, grid.end_to_end)


def test_end_to_end(measure: Measure, cell: Cell, images: ImageSource) -> None:
    """Time images → batch → scores, after a check of every boundary's contract."""
    pictures = images()
    contracts.require(contracts.check_images(pictures, cell.images, images.size))
    batch = preprocessing.preprocess(pictures)
    side = contracts.SIZE
    contracts.require(contracts.check_batch(batch, (cell.images, 3, side, side)))
    with engines.ready(str(cell.axes["engine"]), cell.device, batch) as engine:
        measure(
            lambda: engine.call(preprocessing.preprocess(images())),
            check=lambda scores: contracts.check_scores(scores, (cell.images, engine.classes)),
            weights=images.weights,
            synchronise=engine.on_torch,
        )
