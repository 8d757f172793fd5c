"""One cell that spins, for `tests/bench/comparing/test_ab.py`; there it is `bench/test_spin.py`."""

from time import thread_time

import pytest

from bench.results.cell import Cell
from pipeline import work

CELL = Cell("forward", {"engine": "spin"}, workload=work.WORKLOAD)


@pytest.mark.parametrize("cell", [CELL], ids=lambda cell: cell.id)
def test_spin(measure, cell):
    def spin():
        end = thread_time() + work.SECONDS
        while thread_time() < end:
            pass

    measure(spin, check=lambda _: [])
