"""NVML: which GPU is asked, that it is closed again, and what the records say of GPUs."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.machine import nvml
from bench.machine.records import hardware, hardware_key, records, software, state, summary
from support.simulated_nvml import (
    NVMLDriverError,
    NVMLError,
    NVMLLibraryError,
    process,
    raises,
    simulated,
)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A simulated NVML with an H100 that this process alone uses; tests change what it says."""
    fake = simulated()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    return fake


@pytest.fixture
def four(library: Any) -> Any:
    """A simulated NVML with four GPUs."""
    library.nvmlDeviceGetCount = lambda: 4
    return library


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
    four: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    four.nvmlDeviceGetHandleByUUID = {"GPU-1f9b": 2}.__getitem__
    monkeypatch.setitem(sys.modules, "torch", torch_on("1f9b"))
    assert measured() == 2
    monkeypatch.setitem(sys.modules, "torch", torch_on("1f9b", initialised=False))
    assert measured() == 0


@pytest.mark.parametrize("uuid", ["of a part", raises(RuntimeError("CUDA error: sticky"))])
def test_a_gpu_that_cannot_be_named_is_the_first_visible_one(
    uuid: Any, four: Any, monkeypatch: pytest.MonkeyPatch
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


# In the records


def test_a_gpu_is_its_model_its_memory_and_its_power_limit(library: Any) -> None:
    h100 = {"memory_bytes": 85520809984, "model": "NVIDIA H100 80GB HBM3", "power_limit_w": 700}
    assert hardware()["gpus"] == [h100]
    assert "gpus" not in hardware()["unread"]
    assert software()["driver"] == "580.65.06"


def test_a_reading_that_fails_costs_that_reading_alone(library: Any) -> None:
    whole = {
        "foreign_processes": 0,
        "free_memory_bytes": 80000000000,
        "power_w": 123.5,
        "sm_clock_mhz": 1980,
        "temperature_c": 41,
        "throttle_reasons": ["software power cap", "hardware thermal slowdown"],
        "utilisation_percent": 7,
    }
    assert state()["gpus"] == [whole]
    library.nvmlDeviceGetPowerUsage = raises(NVMLError("Not Supported"))
    del library.nvmlDeviceGetCurrentClocksEventReasons
    record = state()
    assert record["gpus"] == [{**whole, "power_w": None, "throttle_reasons": None}]
    assert record["unread"]["gpus[0].power_w"] == "NVML: Not Supported"
    assert "nvmlDeviceGetCurrentClocksEventReasons" in record["unread"]["gpus[0].throttle_reasons"]
    assert library.opened == 0


@pytest.mark.parametrize("error", [NVMLLibraryError, NVMLDriverError])
def test_without_a_driver_there_are_no_gpus_and_the_record_says_so(
    error: type[Exception], library: Any
) -> None:
    library.nvmlInit = raises(error("NVML Shared Library Not Found"))
    record = records()
    for name, key in [("hardware", "gpus"), ("software", "driver"), ("state", "gpus")]:
        assert record[name][key] is None
        assert record[name]["unread"][key] == "no NVIDIA driver"
    known = {**record["hardware"], "cpu": "AMD EPYC", "cores": 2}
    assert hardware_key(known) == "amd-epyc-2cores"


def test_a_driver_that_does_not_answer_is_not_taken_for_no_gpu(library: Any) -> None:
    library.nvmlInit = raises(NVMLError("Driver/library version mismatch"))
    record = hardware()
    assert record["unread"]["gpus"] == "NVML: Driver/library version mismatch"
    assert "GPU not read" in summary({"hardware": record})
    assert hardware_key(record).endswith("-gpu-not-read")


@pytest.mark.parametrize(
    ("load", "why"),
    [
        (lambda _: None, "no pynvml here: pip install nvidia-ml-py"),
        (raises(OSError("cannot open shared object file")), "no NVIDIA driver"),
    ],
)
def test_without_pynvml_the_reason_depends_on_the_driver(
    load: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(ctypes, "CDLL", load)
    assert hardware()["unread"]["gpus"] == why


@pytest.mark.parametrize(
    ("variable", "models"),
    [
        (None, ["A", "B", "C", "D"]),
        ("1", ["B"]),
        ("2, 0", ["C", "A"]),
        ("GPU-b", ["B"]),
        ("", []),
        ("-1", []),
    ],
)
def test_gpus_are_those_that_cuda_may_use(
    variable: str | None, models: list[str], four: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    four.nvmlDeviceGetHandleByUUID = {"GPU-b": 1}.__getitem__
    four.nvmlDeviceGetName = lambda gpu: "ABCD"[gpu]
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert [gpu["model"] for gpu in hardware()["gpus"]] == models


def test_a_gpu_that_nvml_does_not_find_is_said_and_not_assumed(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-0123")
    record = hardware()
    assert (record["gpus"], record["unread"]["gpus"]) == (None, "NVML: Not Found")


def test_a_child_of_this_process_is_not_foreign_and_its_memory_is_its_own(library: Any) -> None:
    program = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(program, stdin=subprocess.PIPE) as child:
        running = [process(child.pid, 5), process(os.getpid(), 7)]
        library.nvmlDeviceGetComputeRunningProcesses = lambda gpu: running
        assert nvml.ask_measured(nvml.foreign_processes) == 0
        assert nvml.ask_measured(nvml.own_bytes) == 12


@pytest.mark.parametrize(
    ("namespace", "pids", "count"),
    [
        ("pid:[4026531836]", [], 0),
        ("pid:[4026531836]", [-1, -2, -2], 2),
        ("pid:[4026532999]", [os.getpid(), -1], 1),
        ("pid:[4026532999]", [-1], None),
        ("pid:[4026532999]", [], None),
    ],
)
def test_foreign_processes_are_counted_unless_a_container_hides_them(
    namespace: str,
    pids: list[int],
    count: int | None,
    library: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nvml, "_PID_NAMESPACE", tmp_path / "pid")
    (tmp_path / "pid").symlink_to(namespace)
    library.nvmlDeviceGetComputeRunningProcesses = lambda gpu: list(map(process, pids))
    record = state()
    assert record["gpus"][0]["foreign_processes"] == count
    why = None if count is not None else "a container hides which processes are foreign"
    assert record["unread"].get("gpus[0].foreign_processes") == why
