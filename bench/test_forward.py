"""The network that scores images: Flux.jl (the Julia library) and the same network in PyTorch."""

import pytest

from bench import grid, options
from bench.measuring.measure import Measure
from bench.results.cell import Cell
from bench.workloads import engines
from pipeline import pregenerated
from pipeline.preprocessing import preprocess as preprocessing


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test a cell."""
    options.one_test_a_cell(metafunc, grid.forward)


def test_forward(measure: Measure, cell: Cell, axes: grid.Options) -> None:
    """Time a batch of fixture images to scores."""
    paths = pregenerated.paths()
    batch = preprocessing.preprocess([paths[number % len(paths)] for number in range(cell.images)])
    name = str(cell.axes["engine"])
    model = grid.flux_models(axes).get(str(cell.axes.get("model", "")), "")
    with engines.ready(name, cell.device, batch, model) as engine:
        measure(
            lambda: engine.call(batch),
            check=lambda output: engine.check(output, batch),
            weights=engine.weights,
            synchronise=engine.on_torch,
            inside=engine.inside,
            extra=lambda: engine.extra(batch),
        )
