"""Cold starts, each one sample in a fresh process; they run with `--cold` alone."""

import pytest

from bench.grid.stable_diffusion import FULL_SIZE_BUDGET
from bench.measuring.measure import Measure
from bench.results.cell import Cell
from bench.workloads import cold

CELLS = [
    Cell(
        "cold",
        {"start": name},
        needs=start.needs,
        device=start.device,
        budget_factor=FULL_SIZE_BUDGET if name.startswith("sd15") else 2.0,
        regime={"process": "fresh"},
    )
    for name, start in cold.STARTS.items()
]


@pytest.mark.parametrize("cell", CELLS, ids=[cell.id for cell in CELLS])
def test_cold(measure: Measure, cell: Cell) -> None:
    """Time one start, in a process that does nothing else."""
    name = str(cell.axes["start"])
    measure.once(lambda: cold.sample(name), weights=cold.STARTS[name].weights)
