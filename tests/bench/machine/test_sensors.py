"""What the machine tells: read from files laid out by hand, and from the machine itself."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.machine import sensors
from bench.machine.sensors import SENSORS, CpuTime, read

BY_NAME = {sensor.name: sensor for sensor in SENSORS}

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is of Linux")


@pytest.fixture
def stat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc/stat in ticks of 10 ms, of a machine where this process has used 2 s."""
    monkeypatch.setattr(sensors, "_STAT", tmp_path / "stat")
    monkeypatch.setattr(sensors, "_own_seconds", lambda: 2.0)
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_CLK_TCK": 100}[name])
    return tmp_path / "stat"


def test_cpu_time_of_others_is_what_is_busy_less_our_own(stat: Path) -> None:
    #                    user nice system idle iowait irq softirq steal guest guest_nice
    stat.write_text("cpu  1000 200 300 5000 100 10 20 370 900 0\ncpu0 1 2 3\n")
    assert sensors.cpu_time() == CpuTime(others=13.3, stolen=3.7, total=70.0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cpu  0 0 0 0 0 0 0 0 0 0\n", "/proc/stat counts nothing here"),
        ("cpu  1 2 3 4\n", "not enough values to unpack (expected 8, got 4)"),
        (None, "No such file or directory"),
    ],
)
def test_a_stat_that_counts_nothing_is_no_reading(text: str | None, why: str, stat: Path) -> None:
    if text is not None:
        stat.write_text(text)
    assert read(BY_NAME["other processes"]) == (None, why)
    assert read(BY_NAME["stolen time"]) == (None, why)


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
