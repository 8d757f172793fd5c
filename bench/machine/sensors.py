"""Readings of the machine while it works, each by its name, or why there is none."""

import os
from collections.abc import Callable, Iterable, Mapping
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

_CPUS = Path("/sys/devices/system/cpu")
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
    """A reading that can be watched: what it shows, and how to make it readable."""

    name: str
    device: str
    """`cpu`: it matters to every number; `cuda`: to those of a GPU."""
    tells: str
    """What its reading shows, for people."""
    read: Callable[[], Any]
    """Returns the reading; raises one of the errors that `read` catches where there is none."""
    remedy: str
    """What makes it readable."""


def read(sensor: Sensor) -> tuple[Any, str]:
    """Return a sensor's reading and ""; or None and the reason, in one line."""
    try:
        return sensor.read(), ""
    except OSError as error:
        return None, error.strerror or type(error).__name__
    except (ValueError, AttributeError, ImportError) as error:  # a library without the call
        return None, str(error)


def cpu_time() -> CpuTime:
    """Read the work of the CPUs; AttributeError where the system does not count stolen time."""
    import psutil

    times = psutil.cpu_times()
    busy = times.user + times.nice + times.system + times.irq + times.softirq
    total = busy + times.idle + times.iowait + times.steal
    if not total:
        raise ValueError("the system counts no CPU time")
    return CpuTime(busy - _own_seconds(), times.steal, total)


def cpu_mhz() -> int:
    """Read the clock of the fastest CPU that this process may use."""
    has_affinity = hasattr(os, "sched_getaffinity")  # Linux
    usable = os.sched_getaffinity(0) if has_affinity else range(os.cpu_count() or 1)
    khz = cpufreq("scaling_cur_freq", usable)
    return round(max(map(int, khz)) / 1000)


def cpufreq(name: str, cpus: Iterable[int]) -> list[str]:
    """Read a file of Linux's cpufreq for each CPU that has it; ValueError where none has."""
    files = [_CPUS / f"cpu{number}" / "cpufreq" / name for number in cpus]
    texts = [file.read_text().strip() for file in files if file.exists()]
    if not texts:
        raise ValueError("no cpufreq here")
    return texts


def reset_peak_rss() -> None:
    """Start the peak of resident memory anew (proc_pid_clear_refs(5): the value 5)."""
    (_OWN / "clear_refs").write_text("5")


def peak_rss_bytes() -> int:
    """Read the most resident memory of this process since the reset, in bytes.

    psutil 7 does not read VmHWM.
    """
    for line in (_OWN / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError("no VmHWM here")


def sm_clock(library: Any, gpu: Any) -> Mapping[str, float]:
    """Return the clock, and NVIDIA's default for it, or the highest where it has no default."""
    kind = library.NVML_CLOCK_SM
    try:
        default = library.nvmlDeviceGetDefaultApplicationsClock(gpu, kind)
    except library.NVMLError:
        default = library.nvmlDeviceGetMaxClockInfo(gpu, kind)
    return {"mhz": library.nvmlDeviceGetClockInfo(gpu, kind), "default_mhz": default}


def _own_seconds() -> float:
    """Return the CPU time of this process, of children that have ended, and of those that run."""
    import psutil

    own = psutil.Process()
    seconds = float(sum(own.cpu_times()[:4]))  # user, system; of ended children too
    for child in own.children():
        with suppress(psutil.NoSuchProcess):
            seconds += float(sum(child.cpu_times()[:4]))
    return seconds


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
        _gpu(nvml.joules),
        "a GPU of the Volta generation or later counts it",
    ),
)
"""Everything that is watched or could be, those of every number first."""
