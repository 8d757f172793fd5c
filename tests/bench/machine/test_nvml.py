"""Which GPU is asked, and that NVML is closed again whatever it says."""

import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from bench.machine import nvml
from support.simulated_nvml import NVMLDriverError, NVMLError, process, raises, simulated


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A simulated NVML with four GPUs, one of which torch calls cuda:0."""
    fake = simulated()
    fake.nvmlDeviceGetCount = lambda: 4
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    return fake


def torch_on(uuid: Any, initialised: bool = True) -> Any:
    """A simulated torch that has begun with the GPU of this UUID."""
    return SimpleNamespace(
        cuda=SimpleNamespace(
            is_initialized=lambda: initialised,
            get_device_properties=uuid if callable(uuid) else lambda _: SimpleNamespace(uuid=uuid),
        )
    )


def measured() -> Any:
    return nvml.ask_measured(lambda library, gpu: gpu)


def test_the_gpu_is_the_one_that_torch_has_begun_with(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.nvmlDeviceGetHandleByUUID = {"GPU-1f9b": 2}.__getitem__
    monkeypatch.setitem(sys.modules, "torch", torch_on("1f9b"))
    assert measured() == 2
    monkeypatch.setitem(sys.modules, "torch", torch_on("1f9b", initialised=False))
    assert measured() == 0


@pytest.mark.parametrize("uuid", ["of a part", raises(RuntimeError("CUDA error: sticky"))])
def test_a_gpu_that_cannot_be_named_is_the_first_visible_one(
    uuid: Any, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", torch_on(uuid))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    assert measured() == 3


def test_no_visible_gpu_is_said(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ValueError, match=r"^CUDA_VISIBLE_DEVICES leaves no GPU$"):
        measured()


def test_nvml_stays_open_meanwhile_and_is_closed_after(library: Any) -> None:
    with nvml.held():
        assert library.opened == 1
        measured()
        assert library.opened == 1
    assert library.opened == 0


def test_without_a_driver_nothing_is_held(library: Any) -> None:
    library.nvmlInit = raises(NVMLDriverError("Driver Not Loaded"))
    with nvml.held():
        pass
    assert library.opened == 0


def test_an_error_is_one_line_and_nvml_is_closed(library: Any) -> None:
    with pytest.raises(ValueError, match=r"^NVML: Not Supported$"):
        nvml.ask_measured(raises(NVMLError("Not Supported")))
    assert library.opened == 0


@pytest.mark.parametrize("running", [[], [process(-1, 5)], [process(os.getpid(), None)]])
def test_memory_that_the_driver_does_not_tell_is_said(running: list[Any], library: Any) -> None:
    library.nvmlDeviceGetComputeRunningProcesses = lambda gpu: running
    with pytest.raises(ValueError, match=r"^the driver does not tell what this process holds$"):
        nvml.ask_measured(nvml.own_bytes)
