"""What the doctor finds: on machines laid out by hand, with the command for one."""

import re
import sys
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from bench.machine import doctor, sensors
from bench.machine.sensors import CpuTime
from pipeline.doctor import Finding
from support.simulated_nvml import NVMLError, process, raises, simulated


@pytest.fixture
def cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up /sys/devices/system/cpu, on a machine that does nothing, without a GPU."""
    monkeypatch.setattr(doctor, "CPUS", tmp_path)
    monkeypatch.setattr(doctor, "LOOK_S", 0.0)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    work(monkeypatch)
    return tmp_path


@pytest.fixture
def nvml(cpus: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A simulated H100 that this process alone uses."""
    fake = simulated()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return fake


def work(monkeypatch: pytest.MonkeyPatch, others: float = 0.0, stolen: float = 0.0) -> None:
    """Let the CPUs spend 10 s, of which so much on others, while the doctor looks."""
    times = cycle([CpuTime(100.0, 5.0, 1000.0), CpuTime(100 + others, 5 + stolen, 1010.0)])
    replaced = [
        replace(sensor, read=lambda: next(times)) if sensor.name == "other processes" else sensor
        for sensor in sensors.SENSORS
    ]
    monkeypatch.setattr(sensors, "SENSORS", tuple(replaced))


def written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def finding(name: str) -> Finding:
    (one,) = [one for one in doctor.steadier() if one.name == name]
    return one


def test_a_governor_that_follows_the_load_is_told_with_the_command_that_holds_it(
    cpus: Path,
) -> None:
    for cpu, governor in enumerate(("powersave", "performance")):
        written(cpus / f"cpu{cpu}" / "cpufreq" / "scaling_governor", governor)
    assert finding("CPU governor") == Finding(
        "CPU governor",
        "change",
        "performance, powersave: the clock follows the load",
        "sudo cpupower frequency-set -g performance",
    )
    written(cpus / "cpu0" / "cpufreq" / "scaling_governor", "performance")
    assert finding("CPU governor") == Finding("CPU governor", "steady", "performance")


@pytest.mark.parametrize(
    ("file", "on", "off"), [("intel_pstate/no_turbo", "0", "1"), ("cpufreq/boost", "1", "0")]
)
def test_turbo_is_told_with_the_switch_of_this_machine(
    file: str, on: str, off: str, cpus: Path
) -> None:
    written(cpus / file, on)
    turbo = finding("CPU turbo")
    assert (turbo.state, turbo.remedy) == ("change", f"echo {off} | sudo tee {cpus / file}")
    written(cpus / file, off)
    assert finding("CPU turbo") == Finding("CPU turbo", "steady", "off")


def test_what_cannot_be_read_is_said_and_not_taken_for_steady(cpus: Path) -> None:
    assert finding("CPU governor").state == finding("CPU turbo").state == "not readable"


def test_load_of_others_and_stolen_time_are_told(
    cpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert finding("other load") == Finding(
        "other load", "steady", "other processes keep 0 % of the CPUs busy"
    )
    work(monkeypatch, others=5.1, stolen=0.3)
    by_name = {one.name: one for one in doctor.steadier()}
    assert by_name["other load"] == Finding(
        "other load",
        "change",
        "other processes keep 51 % of the CPUs busy",
        "end them: top -o %CPU lists them",
    )
    assert by_name["stolen time"].text == "other virtual machines take 3 % of the CPUs' time"


@pytest.mark.parametrize(("value", "state"), [("", "steady"), ("1", "steady"), ("8", "change")])
def test_threads_that_are_set_are_told(
    value: str, state: str, cpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    threads = finding("threads")
    assert threads.state == state
    assert (threads.remedy == "unset OMP_NUM_THREADS") == (state == "change")


def test_without_a_gpu_nothing_is_advised_for_one(cpus: Path) -> None:
    assert not [one for one in doctor.steadier() if one.name.startswith("GPU")]


def test_a_gpu_is_asked_for_what_moves_its_numbers(nvml: Any) -> None:
    assert finding("GPU persistence").state == "steady"
    assert finding("GPU sharing") == Finding("GPU sharing", "steady", "0 other processes on it")
    clock = finding("GPU clock")
    assert clock.text == (
        "1980 MHz now, by default up to 1980: it follows heat and power unless it is locked"
    )
    assert clock.remedy == "sudo nvidia-smi -lgc 1584   (nvidia-smi -rgc undoes it)"
    nvml.nvmlDeviceGetPersistenceMode = lambda gpu: 0
    assert finding("GPU persistence").remedy == "sudo nvidia-smi -pm 1"
    me = nvml.nvmlDeviceGetComputeRunningProcesses(0)
    nvml.nvmlDeviceGetComputeRunningProcesses = lambda gpu: [*me, process(-7)]
    assert finding("GPU sharing").text == "1 other process on it"
    assert finding("GPU sharing").remedy == "end them: nvidia-smi lists them"
    nvml.nvmlDeviceGetPersistenceMode = raises(NVMLError("Not Supported"))
    assert finding("GPU persistence").text == "NVML: Not Supported"


def test_sensors_without_an_answer_share_a_line_where_the_reason_is_one(cpus: Path) -> None:
    findings = doctor.watched()
    names = [one.name for one in findings]
    gpu = next(one for one in findings if one.name.startswith("GPU throttling"))
    assert gpu.name.split("\n") == [one.name for one in sensors.SENSORS if one.device == "cuda"]
    assert gpu.state == "not watched"
    assert re.match("no NVIDIA driver|no pynvml here: pip install", gpu.text)
    assert "other processes" in names


def test_every_sensor_of_a_gpu_that_answers_is_watched(nvml: Any) -> None:
    states = {one.name: one.state for one in doctor.watched()}
    for sensor in sensors.SENSORS:
        if sensor.device == "cuda":
            assert states[sensor.name] == "watched"
    nvml.nvmlDeviceGetTotalEnergyConsumption = raises(NVMLError("Not Supported"))
    energy = next(one for one in doctor.watched() if one.name == "GPU energy")
    assert (energy.text, energy.remedy) == (
        "NVML: Not Supported",
        "a GPU of the Volta generation or later counts it",
    )
