"""The measuring half of `python -m pipeline doctor`: what is watched, and what moves numbers."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.machine import nvml, sensors
from pipeline.doctor import Finding

__all__ = ["sections", "steadier", "watched"]

CPUS = Path("/sys/devices/system/cpu")

OTHERS_BUSY = 0.1
"""Share of the CPUs' time above which the load of other processes is worth a change."""

STOLEN = 0.01

LOOK_S = 0.5
"""How long the CPUs are watched: fifty ticks of their counters."""

LOCK_AT = 0.8
"""Share of a GPU's default clock that it can hold at any temperature; above the 75 % below which
a sample counts as spoiled."""

NVIDIA_REMEDY = "run on a machine with an NVIDIA GPU and its driver"
NO_SWITCH_REMEDY = "measure on the machine itself, or trust the spread of several runs"


def sections() -> list[tuple[str, list[Finding]]]:
    """Return the findings that concern measuring, below their headings."""
    return [
        ("While measuring, these are watched:", watched()),
        ("For steadier numbers:", steadier()),
    ]


def watched() -> list[Finding]:
    """Ask every sensor; neighbours that fail for the same reason share a finding."""
    findings: list[Finding] = []
    with nvml.held():
        for sensor in sensors.SENSORS:
            _, reason = sensors.read(sensor)
            if not reason:
                findings.append(Finding(sensor.name, "watched", sensor.tells))
                continue
            remedy = NVIDIA_REMEDY if reason == nvml.NO_DRIVER else sensor.remedy
            shared = findings and (findings[-1].text, findings[-1].remedy) == (reason, remedy)
            names = f"{findings.pop().name}\n{sensor.name}" if shared else sensor.name
            findings.append(Finding(names, "not watched", reason, remedy))
    return findings


def steadier() -> list[Finding]:
    """Return what moves numbers on this machine, and how to hold it still."""
    return [_governor(), _turbo(), *_load(), _threads(), *_gpu()]


def _governor() -> Finding:
    name = "CPU governor"
    governors = sorted(set(_read("cpu*/cpufreq/scaling_governor").values()))
    if not governors:
        reason = "no cpufreq here, as in most virtual machines"
        return Finding(name, "not readable", reason, NO_SWITCH_REMEDY)
    if governors == ["performance"]:
        return Finding(name, "steady", "performance")
    text = f"{', '.join(governors)}: the clock follows the load"
    return Finding(name, "change", text, "sudo cpupower frequency-set -g performance")


def _turbo() -> Finding:
    for pattern, on, off in (("intel_pstate/no_turbo", "0", "1"), ("cpufreq/boost", "1", "0")):
        for file, switch in _read(pattern).items():
            if switch != on:
                return Finding("CPU turbo", "steady", "off")
            text = "on: the clock follows heat and how many cores work"
            return Finding("CPU turbo", "change", text, f"echo {off} | sudo tee {file}")
    reason = "no switch for it here, as in most virtual machines"
    return Finding("CPU turbo", "not readable", reason, NO_SWITCH_REMEDY)


def _load() -> Iterator[Finding]:
    (sensor,) = (sensor for sensor in sensors.SENSORS if sensor.name == "other processes")
    before, reason = sensors.read(sensor)
    time.sleep(LOOK_S)
    after, _ = sensors.read(sensor)
    if before is None or after is None or after.total <= before.total:
        text = reason or "the CPUs' counters stand still"
        yield Finding("other load", "not readable", text, "run: uptime")
        return
    total = after.total - before.total
    others = max(0.0, after.others - before.others) / total
    stolen = max(0.0, after.stolen - before.stolen) / total
    text = f"other processes keep {100 * others:.0f} % of the CPUs busy"
    if others > OTHERS_BUSY:
        yield Finding("other load", "change", text, "end them: top -o %CPU lists them")
    else:
        yield Finding("other load", "steady", text)
    if stolen > STOLEN:
        text = f"other virtual machines take {100 * stolen:.0f} % of the CPUs' time"
        yield Finding("stolen time", "change", text, "measure on a machine of your own")


def _threads() -> Finding:
    value = os.environ.get("OMP_NUM_THREADS", "")
    if value in ("", "1"):
        return Finding("threads", "steady", "pytest bench/ pins torch and BLAS to one")
    text = f"OMP_NUM_THREADS={value}: threads wait for each other beside other work"
    return Finding("threads", "change", text, "unset OMP_NUM_THREADS")


def _gpu() -> Iterator[Finding]:
    questions: dict[str, Callable[..., Finding]] = {
        "GPU persistence": _persistence,
        "GPU clock": _gpu_clock,
        "GPU sharing": _sharing,
    }
    for name, question in questions.items():
        try:
            yield nvml.ask_measured(question)
        except (ValueError, AttributeError) as error:
            if str(error) == nvml.NO_DRIVER:
                return
            yield Finding(name, "not readable", str(error), "run: nvidia-smi -q")


def _persistence(library: Any, gpu: Any) -> Finding:
    if library.nvmlDeviceGetPersistenceMode(gpu):
        return Finding("GPU persistence", "steady", "on")
    text = "off: the driver starts the GPU anew for each process"
    return Finding("GPU persistence", "change", text, "sudo nvidia-smi -pm 1")


def _gpu_clock(library: Any, gpu: Any) -> Finding:
    clock = sensors.sm_clock(library, gpu)
    return Finding(
        "GPU clock",
        "change",
        f"{clock['mhz']:.0f} MHz now, by default up to {clock['default_mhz']:.0f}: it follows heat "
        "and power unless it is locked",
        f"sudo nvidia-smi -lgc {LOCK_AT * clock['default_mhz']:.0f}   (nvidia-smi -rgc undoes it)",
    )


def _sharing(library: Any, gpu: Any) -> Finding:
    others = nvml.foreign_processes(library, gpu)
    text = f"{others} other process{'' if others == 1 else 'es'} on it"
    if others:
        return Finding("GPU sharing", "change", text, "end them: nvidia-smi lists them")
    return Finding("GPU sharing", "steady", text)


def _read(pattern: str) -> dict[Path, str]:
    """Return the text of the readable files below the CPUs' folder, by path."""
    texts = {}
    for file in sorted(CPUS.glob(pattern)):
        with suppress(OSError):
            texts[file] = file.read_text().strip()
    return texts
