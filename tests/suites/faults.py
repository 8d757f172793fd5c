"""Cells that break their contract, fail after it or in a round, and one good cell."""

import time

import pytest
import torch
from PIL import Image

from bench.measuring.measure import PILOT_CALLS
from bench.results.cell import Cell
from pipeline import contracts
from support.counting import CALLS, calls_file, counted  # noqa: F401 - a fixture

COUNTS = torch.linspace(0, 1, 192).reshape(1, 3, 8, 8)
WORK = {
    "shape": lambda: torch.zeros(1, 3, 8, 9),
    "nan": lambda: COUNTS.clone().index_fill_(3, torch.tensor(0), float("nan")),
    "above": lambda: COUNTS * 1.01,
    "flat": lambda: Image.new("RGB", (8, 8)),
    "late": lambda: COUNTS,
    "pulled": lambda: COUNTS,
    "good": lambda: COUNTS,
}


@pytest.mark.parametrize(
    "cell", [Cell("preprocess", {"work": name}) for name in WORK], ids=lambda cell: cell.id
)
def test_work(measure, cell):
    name = cell.id

    def work():
        if name == "pulled" and CALLS[name] > PILOT_CALLS + 3:
            raise ValueError("the cable was pulled")
        time.sleep(0.0005)
        return WORK[name]()

    def check(output):
        if name == "flat":
            return contracts.check_images([output], 1, (8, 8))
        return contracts.check_batch(output, (1, 3, 8, 8))

    measure(counted(name, work), check, fingerprint=lambda output: "ab")
    assert name != "late", "it failed after it had been timed"
