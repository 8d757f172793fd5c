"""Bulk runs by where they run and by workers, each one sample; they run with `--bulk` alone."""

from itertools import product

import pytest

from bench.measuring.measure import Measure
from bench.results.cell import Cell
from bench.workloads import bulk
from bench.workloads.engines import FIXTURE_WEIGHTS

CELLS = [
    Cell(
        "bulk",
        {"place": place, "workers": workers},
        images=bulk.ITEMS,
        dtype="float32",
        budget_factor=10.0,
        regime={
            "includes": "read, decode, resize, forward, write rows",
            "engine": "reference",
            "items": bulk.PICTURE.name,
        },
    )
    for place, workers in product(("process", "ray"), (1, 2))
]


ON_RAY = {"other processes": "on Ray, whose own processes look like others"}


@pytest.mark.parametrize("cell", CELLS, ids=[cell.id for cell in CELLS])
def test_bulk(measure: Measure, cell: Cell) -> None:
    """Time one run in a process of its own, without its start-up."""
    place, workers = str(cell.axes["place"]), int(cell.axes["workers"])
    unknown = ON_RAY if place == "ray" else {}
    measure.once(lambda: (bulk.seconds_of(place, workers), {}), FIXTURE_WEIGHTS, unknown)
