"""Cells of different speeds."""

import sys
import time
from types import SimpleNamespace

import pytest

from bench.measuring import profiled
from bench.results.cell import Cell
from support.counting import CALLS, calls_file, counted  # noqa: F401 - a fixture


def simulated(call, parts, device):
    call()
    return profiled.Profile(0.5, 0.25, {"UNet": 0.2}, {"UNet": 4})


def spin():
    end = time.perf_counter() + 150e-6
    while time.perf_counter() < end:
        pass


WORK = {
    "steady": lambda: time.sleep(0.0005),
    "slow": lambda: time.sleep(0.04),
    "outlasting": lambda: time.sleep(0.3),
    "capped": spin,
    "quick": lambda: None,
    "device": lambda: None,
}
CELLS = [
    Cell(
        "preprocess",
        {"work": name},
        device="cuda" if name == "device" else "cpu",
        budget_factor=10.0 if name == "capped" else 1.0,
    )
    for name in WORK
]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
def test_work(measure, cell, monkeypatch):
    order = []
    if cell.device == "cuda":
        cuda = SimpleNamespace(
            synchronize=lambda: order.append("wait"),
            is_available=lambda: True,
            is_initialized=lambda: False,
            empty_cache=lambda: None,
            reset_peak_memory_stats=lambda: None,
            max_memory_allocated=lambda: 2000,
            max_memory_reserved=lambda: 3000,
        )
        torch = SimpleNamespace(cuda=cuda, get_num_threads=lambda: 1)
        monkeypatch.setitem(sys.modules, "torch", torch)
        monkeypatch.setattr(profiled, "profile", simulated)
    work = counted(cell.id, WORK[cell.id])

    def call():
        order.append("call")
        work()

    measure.expect(call_flop=5e9)
    measure(call if cell.device == "cuda" else work, check=lambda output: [], weights="none")
    if cell.device == "cuda":
        assert order == ["wait", *(["call", "wait"] * CALLS[cell.id])]  # pending work first
