"""Cells for which memory runs out, and one that asserts that nothing is held after it."""

import gc
import time
import warnings
import weakref

import pytest

from bench.results.cell import Cell

TORCH_SAYS = (
    "CUDA out of memory. Tried to allocate 96.00 GiB. GPU 0 has a total capacity of 80.00 GiB of "
    "which 41.00 GiB is free. See documentation for Memory Management and so on."
)
CELLS = [Cell("preprocess", {"work": name}) for name in ("large", "rounds", "expected", "warned")]
HELD = []


class Activations:
    pass


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
def test_work(measure, cell):
    import torch

    calls = 0
    if cell.id == "expected":
        measure.expect(estimated_bytes=8.14e9)
    if cell.id == "warned":
        gc.collect()
        assert len(HELD) > 3
        assert [held() for held in HELD] == [None] * len(HELD), "an error keeps what it held"

    def work():
        nonlocal calls
        calls += 1
        activations = Activations()
        HELD.append(weakref.ref(activations))
        time.sleep(0.001)
        if cell.id in ("large", "expected") or (cell.id == "rounds" and calls == 9):
            raise torch.OutOfMemoryError(TORCH_SAYS)
        if cell.id == "warned":
            warnings.warn("a library says that it will change", FutureWarning, stacklevel=2)

    measure(work, check=lambda output: [])
