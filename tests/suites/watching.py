"""Cells of a simulated GPU that is hot for a while, nearly all the time, shared, and cool."""

import os
import sys
import time

import pytest

from bench.machine import watch
from bench.measuring import energy, profiled
from bench.results.cell import Cell
from support import simulated_nvml

FAKE = simulated_nvml.simulated()
FAKE.nvmlDeviceGetCurrentClocksEventReasons = lambda gpu: 0
sys.modules["pynvml"] = FAKE
os.environ.pop("CUDA_VISIBLE_DEVICES", None)
watch.PERIOD_S, watch.SHARE = 0.0, float("inf")
energy.SHORTEST_S = 0.02

CELLS = [
    Cell("preprocess", {"work": name}, device="cuda") for name in ("hot", "short", "shared", "cool")
]
HOT = {"hot": range(9, 12), "short": range(10, 1000), "shared": (), "cool": ()}


class Cuda:
    def __getattr__(self, name):
        return lambda *_: 0


class Torch:
    cuda = Cuda()

    def get_num_threads(self):
        return 1


def unwatched(call, parts, device):
    return profiled.Profile(0.0, None, {}, {})  # there is no torch that could profile


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
def test_work(measure, cell, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", Torch())
    monkeypatch.setattr(profiled, "profile", unwatched)
    others = [simulated_nvml.process(-7)] if cell.id == "shared" else []
    me = simulated_nvml.process(os.getpid(), 10**9)
    FAKE.nvmlDeviceGetComputeRunningProcesses = lambda gpu: [me, *others]
    joules = iter(range(0, 10**9, 30000))
    FAKE.nvmlDeviceGetTotalEnergyConsumption = lambda gpu: next(joules)
    calls = 0

    def work():
        nonlocal calls
        calls += 1
        time.sleep(0.003)
        bits = 0x40 if calls in HOT[cell.id] else 0
        FAKE.nvmlDeviceGetCurrentClocksEventReasons = lambda gpu: bits

    measure(work, check=lambda output: [])
