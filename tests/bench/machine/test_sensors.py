"""Readings of the machine: of files and libraries that a test makes up, and of this machine."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from bench.machine import sensors
from bench.machine.sensors import SENSORS, read
from support.simulated_nvml import raises

BY_NAME = {sensor.name: sensor for sensor in SENSORS}

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is of Linux")


def times(**seconds: float) -> SimpleNamespace:
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    return SimpleNamespace(**dict.fromkeys(names, 0.0) | seconds)


def test_cpu_time_of_others_is_what_is_busy_less_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    read_once = times(user=10, nice=2, system=3, idle=50, iowait=1, irq=0.1, softirq=0.2, steal=3.7)
    monkeypatch.setattr(psutil, "cpu_times", lambda: read_once)
    monkeypatch.setattr(sensors, "_own_seconds", lambda: 2.0)
    cpu = sensors.cpu_time()
    assert (cpu.others, cpu.stolen, cpu.total) == pytest.approx((13.3, 3.7, 70.0))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda: times(), "the system counts no CPU time"),
        (lambda: SimpleNamespace(user=1, nice=2, system=3, idle=4), "no attribute 'irq'"),
        (raises(FileNotFoundError(2, "No such file or directory")), "No such file or directory"),
    ],
)
def test_a_system_that_does_not_count_is_no_reading(
    answer: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "cpu_times", answer)
    for name in ("other processes", "stolen time"):
        reading, reason = read(BY_NAME[name])
        assert reading is None
        assert why in reason


@linux
def test_a_child_that_works_is_no_other_process() -> None:
    code = "import time; print(flush=True); end = time.time() + 30\nwhile time.time() < end: pass"
    before = sensors._own_seconds()
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        deadline = time.monotonic() + 20
        while sensors._own_seconds() < before + 0.2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert sensors._own_seconds() >= before + 0.2
        child.kill()
    assert sensors._own_seconds() >= before + 0.2


def test_the_clock_is_that_of_the_fastest_cpu_that_may_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "_CPUS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    for cpu, khz in enumerate((800000, 3400000, 5000000)):
        folder = tmp_path / f"cpu{cpu}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_cur_freq").write_text(f"{khz}\n")
    assert read(BY_NAME["CPU clock"]) == (3400, "")
    monkeypatch.setattr(sensors, "_CPUS", tmp_path / "absent")
    assert read(BY_NAME["CPU clock"]) == (None, "no cpufreq here")


@linux
def test_the_peak_of_memory_begins_anew_when_it_is_reset() -> None:
    try:
        sensors.reset_peak_rss()
    except OSError as error:
        pytest.skip(f"clear_refs: {error.strerror}")
    block = b"\1" * 200_000_000
    high = sensors.peak_rss_bytes()
    del block
    sensors.reset_peak_rss()
    low = sensors.peak_rss_bytes()
    assert 190_000_000 < high - low < 400_000_000


def test_a_system_that_does_not_let_the_peak_be_reset_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "_OWN", tmp_path / "absent")
    assert read(BY_NAME["peak memory"]) == (None, "No such file or directory")


def test_every_sensor_says_what_it_tells_and_how_it_becomes_readable() -> None:
    assert len(BY_NAME) == len(SENSORS)
    for sensor in SENSORS:
        assert sensor.tells
        assert sensor.remedy
        assert sensor.device in (sensors.CPU, sensors.GPU)
