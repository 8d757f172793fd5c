"""A plugin of pytest: less work around a cell, clocks that are checked, and faults of the device.

A cell of `LARGE` images runs out of memory in its UNet, one of `CAPTURED` images while its graph is
captured; one of `ILLEGAL_IMAGES` meets an error after which every call of CUDA fails.
"""

import sys
from dataclasses import replace
from typing import Any

import pytest

from bench.measuring import clock, energy, measure, workload
from bench.statistics import stats

ROUNDS = 2
LARGE, CAPTURED, ILLEGAL_IMAGES = 4, 2, 3
LATENT_CHANNELS = 4
OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB of "
    "which 3.44 GiB is free. See documentation for Memory Management"
)
ILLEGAL = "CUDA error: an illegal memory access was encountered"


def pytest_configure(config: pytest.Config) -> None:
    """Make the work around a cell small, and check the device whenever a clock is read."""
    workload.SIDES["cuda"], workload.COPIED_BYTES["cuda"], workload.SECONDS["cuda"] = (
        256,
        2**20,
        0.02,
    )
    measure.PILOT_CALLS, measure.MAXIMUM_ROUNDS = 1, ROUNDS
    stats.rounds_needed = lambda *_: ROUNDS
    energy.SHORTEST_S = 0.01
    read = clock.Clock.__call__

    def checked(self: clock.Clock) -> float:
        tensors = sys.modules.get("simulated_cuda.tensors")
        if tensors is not None and tensors.DEVICE.pending:
            pending, tensors.DEVICE.pending = tensors.DEVICE.pending, 0
            raise AssertionError(f"the clock was read with {pending} operations pending")
        return read(self)

    clock.Clock.__call__ = checked  # type: ignore[method-assign]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the rows of the device say that it is simulated."""
    for item in items:
        params = item.callspec.params if isinstance(item, pytest.Function) else {}
        cell = params.get("cell")
        if cell is not None and cell.device == "cuda":
            params["cell"] = replace(cell, regime={**cell.regime, "device": "simulated"})


def pytest_collection_finish() -> None:
    """Let convolutions of latents fail by how many there are: with guidance two an image."""
    import torch

    if not torch.cuda.is_available():  # only the driver is simulated
        return
    from simulated_cuda.tensors import DEVICE, aten

    wait, ended = DEVICE.wait, False

    def fail() -> None:
        if ended:
            DEVICE.pending = 0
            raise torch.AcceleratorError(ILLEGAL)

    def fault(operation: Any, arguments: Any) -> None:
        nonlocal ended
        if operation is aten.convolution.default and arguments[0].shape[1] == LATENT_CHANNELS:
            images = arguments[0].shape[0] // 2
            captured = images == CAPTURED and DEVICE.recording is not None
            if images == LARGE or captured:
                raise torch.OutOfMemoryError(OUT_OF_MEMORY)
            ended |= images == ILLEGAL_IMAGES
        fail()

    def waited(what: str = "synchronize") -> None:
        fail()
        wait(what)

    DEVICE.fault, DEVICE.wait = fault, waited  # type: ignore[method-assign]
    torch.cuda.empty_cache = fail
