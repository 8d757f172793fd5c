"""Joules an image: two readings of a counter at least a second apart, or none."""

import sys
from typing import Any

import pytest

from bench.measuring import energy
from bench.measuring.energy import Meter, measured
from support.simulated_nvml import NVMLError, raises, simulated


class Gpu:
    """A simulated GPU that draws 200 W, and a clock that moves only when told."""

    def __init__(self) -> None:
        self.now = 50.0

    def work(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    found, nvml = Gpu(), simulated()
    nvml.nvmlDeviceGetTotalEnergyConsumption = lambda _: int(found.now * 200 * 1000)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(energy, "perf_counter", lambda: found.now)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return found


def test_an_image_costs_its_share_of_what_was_spent(gpu: Gpu) -> None:
    meter = Meter("cuda")
    gpu.work(3)
    assert meter.per_image(12) == {"energy_j_per_image": 50.0}


def test_under_a_second_nothing_is_said(gpu: Gpu) -> None:
    meter = Meter("cuda")
    gpu.work(0.99)
    assert meter.per_image(12) == {}


def test_a_call_is_repeated_until_a_second_has_passed(gpu: Gpu) -> None:
    assert measured(lambda: gpu.work(0.25), "cuda", images=2) == {"energy_j_per_image": 25.0}
    assert gpu.now == 51.0


def call_nothing() -> None:
    raise AssertionError("called")


def test_on_the_cpu_no_call_is_made(gpu: Gpu) -> None:
    assert measured(call_nothing, "cpu", images=1) == {}


def test_without_the_counter_no_call_is_made(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml: Any = sys.modules["pynvml"]
    nvml.nvmlDeviceGetTotalEnergyConsumption = raises(NVMLError("Not Supported"))
    assert measured(call_nothing, "cuda", images=1) == {}
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert measured(call_nothing, "cuda", images=1) == {}


def test_a_counter_that_was_reset_meanwhile_says_nothing(gpu: Gpu) -> None:
    meter = Meter("cuda")
    gpu.work(3)
    nvml: Any = sys.modules["pynvml"]
    nvml.nvmlDeviceGetTotalEnergyConsumption = lambda _: 0
    assert meter.per_image(1) == {}
