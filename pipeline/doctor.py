"""What is here, what can be watched while measuring, and what would make numbers steadier."""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.machine import nvml, sensors
from pipeline import availability
from pipeline.errors import Missing

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Finding", "here", "show", "steadier", "watched"]

_CPUS = Path("/sys/devices/system/cpu")

OTHERS_BUSY = 0.1
"""Share of the CPUs' time from which other processes are named."""

STOLEN = 0.01

LOOK_S = 0.5
"""How long the CPUs are watched: fifty of the ticks in which they count."""

LOCK_AT = 0.8
"""Share of a GPU's default clock at which it can stay whatever its heat; above the 75 % under
which a sample counts as spoiled."""

NVIDIA_REMEDY = "run on a machine with an NVIDIA GPU and its driver"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's answer."""

    name: str
    state: str
    """A word or two, such as here, missing, watched, steady or change."""
    text: str = ""
    remedy: str = ""
    """What to do, with the command to run where there is one; empty where nothing is to do."""


def show() -> None:
    """Print everything, in as many columns as the terminal has."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    sections = (
        ("", here()),
        ("While measuring, these are watched:", watched()),
        ("For steadier numbers:", steadier()),
    )
    width = max(len(name) for _, found in sections for each in found for name in _names(each))
    for title, found in sections:
        if title:
            console.print()
            console.print(Text(title, "bold"))
        console.print(_table(found, width))


def here() -> list[Finding]:
    """Say what is here and what is missing; this starts Julia."""
    flux = availability.flux()  # before torch
    answers = {
        "CUDA": availability.torch_cuda(),
        "Julia and Flux.jl": flux,
        "C++ compiler": availability.compiler(),
        "model hub": availability.network(),
    }
    found = [_presence(name, missing) for name, missing in answers.items()]
    return found + [Finding(name, "here", text) for name, text in _versions(flux is None).items()]


def watched() -> list[Finding]:
    """Ask every sensor; those that do not answer for one reason share a finding."""
    found: list[Finding] = []
    with nvml.held():
        for sensor in sensors.SENSORS:
            _, why = sensors.read(sensor)
            if not why:
                found.append(Finding(sensor.name, "watched", sensor.tells))
                continue
            remedy = NVIDIA_REMEDY if why == nvml.NO_DRIVER else sensor.remedy
            alike = found and (found[-1].text, found[-1].remedy) == (why, remedy)
            names = f"{found.pop().name}\n{sensor.name}" if alike else sensor.name
            found.append(Finding(names, "not watched", why, remedy))
    return found


def steadier() -> list[Finding]:
    """Say what moves numbers on this machine, and how to hold it still."""
    return [*_governor(), *_turbo(), *_load(), _threads(), *_gpu()]


def _governor() -> Iterable[Finding]:
    governors = sorted(set(_read("cpu*/cpufreq/scaling_governor").values()))
    if not governors:
        yield Finding(
            "CPU governor",
            "not readable",
            "no cpufreq here, as in most virtual machines",
            "measure on the machine itself, or trust the spread of several runs",
        )
    elif governors == ["performance"]:
        yield Finding("CPU governor", "steady", "performance")
    else:
        yield Finding(
            "CPU governor",
            "change",
            f"{', '.join(governors)}: the clock follows the load",
            "sudo cpupower frequency-set -g performance",
        )


def _turbo() -> Iterable[Finding]:
    for name, on in (("intel_pstate/no_turbo", "0"), ("cpufreq/boost", "1")):
        for file, switch in _read(name).items():
            if switch != on:
                yield Finding("CPU turbo", "steady", "off")
                return
            off = "1" if on == "0" else "0"
            yield Finding(
                "CPU turbo",
                "change",
                "on: the clock follows heat and how many cores work",
                f"echo {off} | sudo tee {file}",
            )
            return
    yield Finding(
        "CPU turbo",
        "not readable",
        "no switch for it here, as in most virtual machines",
        "measure on the machine itself, or trust the spread of several runs",
    )


def _load() -> Iterable[Finding]:
    by_name = {sensor.name: sensor for sensor in sensors.SENSORS}
    before, why = sensors.read(by_name["other processes"])
    time.sleep(LOOK_S)
    after, _ = sensors.read(by_name["other processes"])
    if before is None or after is None or after.total <= before.total:
        yield Finding("other load", "not readable", why or "the CPUs count nothing", "run: uptime")
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
        yield Finding(
            "stolen time",
            "change",
            f"other virtual machines take {100 * stolen:.0f} % of the CPUs' time",
            "measure on a machine of one's own",
        )


def _threads() -> Finding:
    value = os.environ.get("OMP_NUM_THREADS", "")
    if value in ("", "1"):
        return Finding("threads", "steady", "pytest bench/ pins torch and BLAS to one")
    return Finding(
        "threads",
        "change",
        f"OMP_NUM_THREADS={value}: threads wait for each other beside other work",
        "unset OMP_NUM_THREADS",
    )


def _gpu() -> Iterable[Finding]:
    asked: tuple[tuple[str, Callable[..., Finding]], ...] = (
        ("GPU persistence", _persistence),
        ("GPU clock", _gpu_clock),
        ("GPU sharing", _sharing),
    )
    for name, ask in asked:
        try:
            yield nvml.ask_measured(ask)
        except (ValueError, AttributeError) as error:
            if str(error) == nvml.NO_DRIVER:
                return
            yield Finding(name, "not readable", str(error), "run: nvidia-smi -q")


def _persistence(library: Any, gpu: Any) -> Finding:
    if library.nvmlDeviceGetPersistenceMode(gpu):
        return Finding("GPU persistence", "steady", "on")
    return Finding(
        "GPU persistence",
        "change",
        "off: the driver starts the GPU anew for each process",
        "sudo nvidia-smi -pm 1",
    )


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
    """What the files below the CPUs' folder hold, by their paths; those that can be read."""
    found = {}
    for file in sorted(_CPUS.glob(pattern)):
        with suppress(OSError):
            found[file] = file.read_text().strip()
    return found


def _presence(name: str, missing: Missing | None) -> Finding:
    if missing is None:
        return Finding(name, "here")
    return Finding(name, "missing", missing.reason, missing.remedy)


def _versions(with_julia: bool) -> dict[str, str]:
    from importlib.metadata import version

    names = ("torch", "torchvision", "diffusers", "transformers", "juliacall")
    found = {name: version(name) for name in names}
    if with_julia:
        from pipeline.flux import julia

        found["julia"] = julia.version()
    return found


def _names(finding: Finding) -> list[str]:
    return finding.name.split("\n")


def _table(found: list[Finding], width: int) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, min_width=width)
    table.add_column(no_wrap=True, min_width=len("not readable"))
    table.add_column()
    for each in found:
        said = "\n→ ".join(text for text in (each.text, each.remedy) if text)
        table.add_row(each.name, each.state, Text(said))
    return table
