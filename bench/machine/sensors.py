"""What a machine tells of itself while it works: each reading by its name, or why there is none."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine import nvml

__all__ = [
    "CPU",
    "GPU",
    "SENSORS",
    "CpuTime",
    "Sensor",
    "cpu_mhz",
    "cpu_time",
    "peak_rss_bytes",
    "read",
    "reset_peak_rss",
    "sm_clock",
]

CPU, GPU = "cpu", "cuda"

_STAT, _CPUS = Path("/proc/stat"), Path("/sys/devices/system/cpu")
_OWN = Path("/proc/self")


@dataclass(frozen=True)
class CpuTime:
    """Seconds since the machine was started, of all its CPUs together."""

    others: float
    """Busy with other processes than this one and its children."""
    stolen: float
    """Given to other virtual machines while this one had work."""
    total: float
    """Busy, idle and stolen."""


@dataclass(frozen=True)
class Sensor:
    """One thing that can be watched: what it guards against, and how it becomes readable."""

    name: str
    device: str
    """`cpu`: it matters to every number; `cuda`: to those of a GPU."""
    tells: str
    """What its reading says, for people."""
    read: Callable[[], Any]
    """Returns the reading; raises one of `read`'s errors where there is none."""
    remedy: str
    """What makes it readable."""


def read(sensor: Sensor) -> tuple[Any, str]:
    """Return a sensor's reading and an empty text; or None, and in one line why there is none."""
    try:
        return sensor.read(), ""
    except OSError as error:
        return None, error.strerror or type(error).__name__
    except (ValueError, AttributeError) as error:  # a pynvml without the call
        return None, str(error)


def cpu_time() -> CpuTime:
    """Read what the CPUs have done (`/proc/stat`); a ValueError where it counts nothing."""
    fields = _STAT.read_text().partition("\n")[0].split()
    user, nice, system, idle, wait, irq, softirq, stolen = map(int, fields[1:9])
    busy = user + nice + system + irq + softirq
    total = busy + idle + wait + stolen
    if not total:
        raise ValueError("/proc/stat counts nothing here")
    ticks = os.sysconf("SC_CLK_TCK")
    return CpuTime(busy / ticks - _own_seconds(), stolen / ticks, total / ticks)


def cpu_mhz() -> int:
    """Read the clock of the fastest CPU that this process may use (cpufreq)."""
    has_affinity = hasattr(os, "sched_getaffinity")  # Linux
    cpus = os.sched_getaffinity(0) if has_affinity else range(os.cpu_count() or 1)
    files = [_CPUS / f"cpu{number}" / "cpufreq" / "scaling_cur_freq" for number in cpus]
    found = [int(file.read_text()) for file in files if file.exists()]
    if not found:
        raise ValueError("no cpufreq here")
    return round(max(found) / 1000)


def reset_peak_rss() -> None:
    """Let the peak of resident memory begin anew (proc_pid_clear_refs(5): the value 5)."""
    (_OWN / "clear_refs").write_text("5")


def peak_rss_bytes() -> int:
    """Read the most memory that this process has had resident, in bytes, since it was reset."""
    for line in (_OWN / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError("no VmHWM here")


def sm_clock(library: Any, gpu: Any) -> Mapping[str, float]:
    """The clock, and what it is judged by: NVIDIA's default, or the highest where none is told."""
    kind = library.NVML_CLOCK_SM
    try:
        default = library.nvmlDeviceGetDefaultApplicationsClock(gpu, kind)
    except library.NVMLError:
        default = library.nvmlDeviceGetMaxClockInfo(gpu, kind)
    return {"mhz": library.nvmlDeviceGetClockInfo(gpu, kind), "default_mhz": default}


def _own_seconds() -> float:
    """CPU time of this process, of children that have ended, and of those that run."""
    user, system, child_user, child_system, _ = os.times()
    return user + system + child_user + child_system + sum(map(_seconds_of, _children()))


def _children() -> list[str]:
    children: list[str] = []
    for task in (_OWN / "task").glob("*/children"):
        with suppress(OSError):
            children += task.read_text().split()
    return children


def _seconds_of(pid: str) -> float:
    """proc_pid_stat(5): utime and stime are the 14th and 15th, the name the 2nd."""
    try:
        fields = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_rss() -> int:
    reset_peak_rss()
    return peak_rss_bytes()


def _gpu(read_gpu: Callable[[Any, Any], Any]) -> Callable[[], Any]:
    return lambda: nvml.ask_measured(read_gpu)


_LINUX = "measure on Linux"
_NVIDIA = "nvidia-smi -q says what this GPU and its driver tell"
_HOST = "run on the host, or start the container with --pid=host"

SENSORS = (
    Sensor("other processes", CPU, "CPUs that others keep busy", cpu_time, _LINUX),
    Sensor("stolen time", CPU, "CPU time that other virtual machines take", cpu_time, _LINUX),
    Sensor(
        "CPU clock",
        CPU,
        "whether it falls while measuring",
        cpu_mhz,
        "a virtual machine hides it: measure on the machine itself",
    ),
    Sensor("peak memory", CPU, "the process's resident memory", _peak_rss, _LINUX),
    Sensor(
        "GPU throttling", GPU, "heat and power that slow it", _gpu(nvml.throttle_reasons), _NVIDIA
    ),
    Sensor("GPU clock", GPU, "whether it falls under 75 % of its default", _gpu(sm_clock), _NVIDIA),
    Sensor(
        "GPU temperature",
        GPU,
        "°C",
        _gpu(
            lambda library, gpu: library.nvmlDeviceGetTemperature(gpu, library.NVML_TEMPERATURE_GPU)
        ),
        _NVIDIA,
    ),
    Sensor(
        "foreign GPU processes", GPU, "who else computes there", _gpu(nvml.foreign_processes), _HOST
    ),
    Sensor("GPU process memory", GPU, "what the process holds there", _gpu(nvml.own_bytes), _HOST),
    Sensor(
        "GPU energy",
        GPU,
        "joules an image",
        _gpu(lambda library, gpu: library.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000),
        "a GPU of the Volta generation or later counts it",
    ),
)
"""Everything that is watched or could be, those of every number first."""
