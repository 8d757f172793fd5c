"""Cold starts, each one sample in a fresh process; they run with `--cold` alone."""

import pytest

from bench import grid, options
from bench.measuring.measure import Measure
from bench.results.cell import Cell
from bench.workloads import cold


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test a cell."""
    options.one_test_a_cell(metafunc, grid.cold_starts)


def test_cold(measure: Measure, cell: Cell) -> None:
    """Time one start, in a process that does nothing else."""
    name = str(cell.axes["start"])
    measure.once(lambda: cold.seconds_of(name), weights=cold.STARTS[name].weights)
