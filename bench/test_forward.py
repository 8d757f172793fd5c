"""The network that scores images: Flux.jl (the Julia library) and the same network in PyTorch."""

import pytest

from bench import engines, grid
from bench.harness import options
from bench.harness.cell import Cell
from bench.harness.measure import Measure
from pipeline import contracts, network, pregenerated, preprocessing


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test a cell."""
    cells = grid.forward(options.axes(metafunc.config))
    metafunc.parametrize("cell", cells, ids=lambda cell: cell.id)


def test_forward(measure: Measure, cell: Cell) -> None:
    """Time a batch of fixture images to scores, as Python sees it."""
    count = cell.images
    forward = engines.ready(str(cell.axes["engine"]), str(cell.axes["device"]))
    paths = pregenerated.paths()
    batch = preprocessing.preprocess([paths[index % len(paths)] for index in range(count)])
    measure(
        lambda: forward(batch),
        check=lambda scores: contracts.check_scores(scores, (count, network.CLASSES)),
        weights="fixture, seeded random",
    )
