"""Cells of three types, on a machine whose copies are slower at the end."""

import pytest

from bench.measuring import workload
from bench.results.cell import Cell

RATES = iter([{"copy_cpu_bytes_per_s": 4e9}, {"copy_cpu_bytes_per_s": 3e9}])
USED = []


def measured(used, unread):
    USED.extend(used)
    return next(RATES)


workload.measured = measured
CELLS = [Cell("preprocess", {"work": name}, dtype=name) for name in ("float32", "bfloat16", "")]


@pytest.mark.parametrize("cell", CELLS, ids=["a", "b", "c"])
def test_work(measure, cell):
    assert USED == [("cpu", "float32"), ("cpu", "bfloat16")]
    measure(lambda: None, check=lambda output: [])
