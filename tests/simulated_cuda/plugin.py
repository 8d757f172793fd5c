"""A plugin of pytest: less reference work, clocks that are checked, and faults of the device.

`SIMULATED_FAULT` names the fault, and `SIMULATED_FAULT_AT` the convolution that meets it.
"""

import os
import sys
from dataclasses import replace
from typing import Any

import pytest

from bench.measuring import clock, workload

ILLEGAL = "CUDA error: an illegal memory access was encountered"


def pytest_configure(config: pytest.Config) -> None:
    """Make the reference workload small, and check the device whenever a clock is read."""
    workload.SIDES["cuda"], workload.COPIED_BYTES["cuda"], workload.SECONDS["cuda"] = (
        256,
        2**20,
        0.02,
    )
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


def pytest_collection_finish(session: pytest.Session) -> None:
    """Let the device fail as `SIMULATED_FAULT` says."""
    name = os.environ.get("SIMULATED_FAULT")
    if name:
        FAULTS[name]()


def out_of_memory(only_in_capture: bool = False) -> None:
    import torch

    from simulated_cuda.tensors import DEVICE, aten

    def fault(operation: Any, arguments: Any) -> None:
        large = operation is aten.convolution.default and arguments[0].shape[0] >= 8
        captured = operation is aten.convolution.default and DEVICE.recording is not None
        if captured if only_in_capture else large:
            raise torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of "
                "79.11 GiB of which 3.44 GiB is free. See documentation for Memory Management"
            )

    DEVICE.fault = fault


def illegal_access() -> None:
    """From one convolution on every call of CUDA fails: the error is sticky."""
    import torch

    from simulated_cuda.tensors import DEVICE, aten

    left = int(os.environ.get("SIMULATED_FAULT_AT", "150"))

    def fail() -> None:
        if left < 0:
            raise torch.AcceleratorError(ILLEGAL)

    def fault(operation: Any, arguments: Any) -> None:
        nonlocal left
        left -= operation is aten.convolution.default
        fail()

    wait = DEVICE.wait

    def waited(what: str = "synchronize") -> None:
        fail()
        wait(what)

    DEVICE.fault, DEVICE.wait = fault, waited  # type: ignore[method-assign]
    torch.cuda.empty_cache = fail


FAULTS = {
    "out of memory": out_of_memory,
    "out of memory in a capture": lambda: out_of_memory(only_in_capture=True),
    "illegal access": illegal_access,
}
