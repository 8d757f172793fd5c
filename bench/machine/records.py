"""Hardware, software, state: three records of the machine, as plain data that names nobody.

A record is a dict of JSON values with sorted keys. A value that could not be read is None, and a
line of the record's `unread` gives the reason ("gpus[0].power_w": "NVML: Not Supported"). Each
collector can fail without the others; none imports what is measured.
"""

import importlib
import math
import os
import platform
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from textwrap import shorten
from typing import Any

from bench.machine import allocator, nvml, sensors
from pipeline.errors import plain

__all__ = ["hardware", "hardware_key", "records", "software", "state", "summary"]

_CGROUPS, _MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_CPUINFO = Path("/proc/cpuinfo")
_PACKAGES = (
    "diffusers juliacall numpy pillow pytest pytest-benchmark torch torchvision transformers"
)
_THREADS = "JULIA_NUM_THREADS MKL_NUM_THREADS OMP_NUM_THREADS OPENBLAS_NUM_THREADS"
_GPU_NOT_READ = "GPU not read"
_WIDTH = 78


def records() -> dict[str, Any]:
    """All three records, under `hardware`, `software` and `state`."""
    return {"hardware": hardware(), "software": software(), "state": state()}


def hardware() -> dict[str, Any]:
    """Return what keys a history: only what stays the same from one run to the next.

    `cores`: CPUs the process may use, by affinity and the quota of its cgroups (`/sys/fs/cgroup`);
    `cpu`: model name (`/proc/cpuinfo`); `gpus`: `memory_bytes` (total), `model` and `power_limit_w`
    (watts) of each GPU in `CUDA_VISIBLE_DEVICES` (numbers taken in PCI order), by NVML; `ram_gib`:
    memory in GiB, rounded, installed or allowed by its cgroups.
    """
    unread: dict[str, str] = {}
    return _collect(
        unread,
        architecture=platform.machine,
        cores=_cores,
        cpu=_cpu_model,
        gpus=partial(nvml.ask, partial(_gpus, _GPU_HARDWARE, unread)),
        ram_gib=_ram_gib,
    )


def software() -> dict[str, Any]:
    """Return what explains a step in a history: versions and settings.

    `allocator`: glibc's thresholds as they were pinned, in bytes; `driver`: of NVIDIA, by NVML;
    `julia`, if this process has started it: versions of Julia and Flux, threads of Julia and its
    BLAS; `kernel`: `major.minor` alone; `packages`: what is installed; `thread_variables`: numbers,
    None where unset; `torch`, if this process has imported it: `attention` (enabled backends),
    `conv_fp32` and `matmul_fp32` (`tf32`, `ieee`, or `none` where nobody set it), `cuda` and
    `cudnn` versions (None in a CPU build), `cudnn_benchmark`, `threads`.
    """
    unread: dict[str, str] = {}
    packages = {name: partial(version, name) for name in _PACKAGES.split()}
    variables = {name: partial(_thread_variable, name) for name in _THREADS.split()}
    return _collect(
        unread,
        allocator=allocator.settings,
        driver=partial(nvml.ask, lambda library: library.nvmlSystemGetDriverVersion()),
        implementation=platform.python_implementation,
        julia=_julia,
        kernel=lambda: _some(re.match(r"\d+(\.\d+)?", platform.release()), "number")[0],
        libc=lambda: _some(" ".join(platform.libc_ver()).strip(), "glibc"),
        machine=platform.machine,
        packages=partial(_collect, unread, "packages.", **packages),
        python=platform.python_version,
        system=platform.system,
        thread_variables=partial(_collect, unread, "thread_variables.", **variables),
        torch=partial(_torch, unread),
    )


def state() -> dict[str, Any]:
    """Return what explains a number: readings of this moment.

    `cpu_governor` and `cpu_mhz`, the clock of the fastest CPU (cpufreq, or psutil where there is
    none); `free_memory_bytes`: what the machine has left; `gpus`, as in `hardware`:
    `foreign_processes` (how many others compute there), `free_memory_bytes`, `power_w` (watts),
    `sm_clock_mhz`, `temperature_c` (°C), `throttle_reasons`, `utilisation_percent`, by NVML;
    `load_per_cpu`: load average of the last minute over all CPUs of the machine.
    """
    unread: dict[str, str] = {}
    return _collect(
        unread,
        cpu_governor=lambda: ", ".join(sorted({*sensors.cpufreq("scaling_governor", _all_cpus())})),
        cpu_mhz=_cpu_mhz,
        free_memory_bytes=lambda: _memory().available,
        gpus=partial(nvml.ask, partial(_gpus, _GPU_STATE, unread)),
        load_per_cpu=lambda: round(os.getloadavg()[0] / (os.cpu_count() or 1), 2),
    )


def hardware_key(hardware: Mapping[str, Any]) -> str:
    """Return a name for files: `nvidia-h100-80gb-hbm3`, `amd-epyc-7763-2cores`.

    It names the GPUs where there are any, else the CPU (`…-gpu-not-read` where the GPUs could not
    be read). It is no identity: machines with one GPU model and different CPUs share it.
    """
    words = gpu = _gpu_words(hardware)
    if not hardware.get("gpus"):
        cores = f"{hardware['cores']}cores".replace(".", "p") if hardware.get("cores") else ""
        cpu = _cpu_name(hardware) or "unknown CPU"
        words = f"{cpu} {cores} {gpu if gpu == _GPU_NOT_READ else ''}"
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "unknown"


def summary(records: Mapping[str, Any]) -> str:
    """Return a line of at most 78 characters for the header of a table; keys may be missing.

    `2 cores AMD EPYC 7763 · no GPU · torch 2.13.0 · Python 3.11.7`. A longer line loses the Python
    version first, then the end of the CPU's name.
    """
    hardware, software = records.get("hardware") or {}, records.get("software") or {}
    cores, gpu = hardware.get("cores"), _gpu_words(hardware)
    counted = f"{cores} core{'' if cores == 1 else 's'}" if cores else ""
    driver, python = software.get("driver"), software.get("python")
    torch = (software.get("packages") or {}).get("torch")
    parts = [
        gpu if hardware.get("gpus") else "",
        f"{counted} {_cpu_name(hardware)}".strip(),
        "" if hardware.get("gpus") else gpu,
        f"driver {driver.split('.')[0]}" if driver else "",
        f"torch {torch.split('+')[0]}" if torch else "",
        f"Python {python}" if python else "",
    ]
    if len(_joined(parts)) > _WIDTH:
        parts.pop()
    room = len(parts[1]) + _WIDTH - len(_joined(parts))
    parts[1] = shorten(parts[1], max(room, 1), placeholder="…")
    return plain(shorten(_joined(parts), _WIDTH, placeholder="…")) or "machine not recorded"


def _joined(parts: list[str]) -> str:
    return " · ".join(filter(None, parts))


def _cpu_name(hardware: Mapping[str, Any]) -> str:
    noise = r"\((R|TM)\)|\bCPU\b|\bProcessor\b|\b\d+-Core\b|@.*"
    return " ".join(re.sub(noise, " ", hardware.get("cpu") or "").split())


def _gpu_words(hardware: Mapping[str, Any]) -> str:
    if gpus := hardware.get("gpus"):
        models = Counter(gpu.get("model") or "unnamed GPU" for gpu in gpus)
        return " + ".join(f"{n}x {model}" if n > 1 else model for model, n in models.items())
    why = (hardware.get("unread") or {}).get("gpus", nvml.NO_DRIVER)
    return "" if "gpus" not in hardware else "no GPU" if why == nvml.NO_DRIVER else _GPU_NOT_READ


def _collect(
    unread: dict[str, str], prefix: str = "", /, **collectors: Callable[[], Any]
) -> dict[str, Any]:
    """Return each collector's value, or None and the reason in `unread`."""
    record: dict[str, Any] = {}
    for key, read in sorted(collectors.items()):
        try:
            record[key] = read()
        except (OSError, ValueError, KeyError, AttributeError, ImportError, RuntimeError) as error:
            record[key] = None
            unread[prefix + key] = _why(error)
    return record if prefix else record | {"unread": unread}


def _why(error: Exception) -> str:
    """Return one line without file names: a cgroup or a module can be named after its user."""
    text = error.strerror if isinstance(error, OSError) else str(error)
    path = r"\n|(?<!\w)/|\b[A-Za-z]:\\"
    return re.split(path, text or "")[0].rstrip(" (") or type(error).__name__


def _some(value: Any, what: str) -> Any:
    if not value:
        raise ValueError(f"no {what} here")
    return value


def _memory() -> Any:
    import psutil

    return psutil.virtual_memory()


def _all_cpus() -> range:
    return range(os.cpu_count() or 1)


def _cores() -> float:
    has_affinity = hasattr(os, "sched_getaffinity")  # Linux
    cpus = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    quota = _allowed("cpu", ["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"])
    cores = round(min(cpus, quota), 2)
    return int(cores) if cores == int(cores) else cores


def _ram_gib() -> int:
    allowed = _allowed("memory", ["memory.max"], ["memory.limit_in_bytes"])
    return round(min(float(_memory().total), allowed) / 2**30)


def _allowed(controller: str, *versions: list[str]) -> float:
    """Return the lowest limit of the cgroups.

    A file of v2 holds `150000 100000` or `max`, one of v1 a number, or -1 for none.
    """
    limits = [math.inf]
    for folder in _cgroups(controller):
        for files in versions:
            if (folder / files[0]).exists():
                limit, *period = " ".join((folder / file).read_text() for file in files).split()
                if limit not in ("max", "-1"):
                    limits.append(int(limit) / int(period[0] if period else 1))
    return min(limits)


def _cgroups(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's cgroup and those above it; not all of them exist."""
    for line in _MEMBERSHIP.read_text().splitlines() if _MEMBERSHIP.exists() else []:
        _, controllers, group = line.split(":", 2)
        mounts = [_CGROUPS, _CGROUPS / "unified"] if not controllers else []  # v2
        mounts += [_CGROUPS / controller] if controller in controllers.split(",") else []  # v1
        parts = PurePosixPath(group).parts[1:]
        for mount in mounts:
            yield from (mount.joinpath(*parts[:n]) for n in range(len(parts) + 1))


def _cpu_model() -> str:
    try:  # psutil has no name of the CPU, and py-cpuinfo takes a second
        name = re.findall(r"^model name\s*: *(.*)", _CPUINFO.read_text(), re.MULTILINE)[0]
    except (OSError, IndexError):  # ARM, macOS, Windows
        name = importlib.import_module("cpuinfo").get_cpu_info()["brand_raw"]
    return " ".join(name.split())


def _cpu_mhz() -> int:
    try:
        return round(max(map(int, sensors.cpufreq("scaling_cur_freq", _all_cpus()))) / 1000)
    except (OSError, ValueError):  # a virtual machine
        import psutil

        clocks = [float(cpu.current) for cpu in psutil.cpu_freq(percpu=True)]
        if not clocks:
            raise ValueError("no clock here") from None
        return round(max(clocks))


def _thread_variable(name: str) -> int | None:
    value = os.environ.get(name)
    if value and not value.isdecimal():
        raise ValueError("set, but not to one whole number")
    return int(value) if value else None


def _torch(unread: dict[str, str]) -> dict[str, Any]:
    torch = _some(sys.modules.get("torch"), "torch imported")
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    attention = ("cudnn", "flash", "math", "mem_efficient")
    return _collect(
        unread,
        "torch.",
        attention=lambda: [name for name in attention if getattr(cuda, f"{name}_sdp_enabled")()],
        conv_fp32=lambda: cudnn.conv.fp32_precision,  # `allow_tf32` is deprecated since torch 2.9
        cuda=lambda: torch.version.cuda,
        cudnn=lambda: cudnn.version(),
        cudnn_benchmark=lambda: cudnn.benchmark,
        matmul_fp32=lambda: cuda.matmul.fp32_precision,
        threads=lambda: torch.get_num_threads(),
    )


def _julia() -> dict[str, Any]:
    _some(sys.modules.get("juliacall"), "Julia started")
    return importlib.import_module("pipeline.flux.julia").software()  # type: ignore[no-any-return]


def _gpus(
    fields: Mapping[str, Callable[..., Any]], unread: dict[str, str], library: Any
) -> list[Any]:
    asked = [
        {key: partial(nvml.ask, read, gpu) for key, read in fields.items()}
        for gpu in nvml.visible(library)
    ]
    return [_collect(unread, f"gpus[{n}].", **collectors) for n, collectors in enumerate(asked)]


_GPU_HARDWARE: Mapping[str, Callable[..., Any]] = {
    "memory_bytes": lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).total,
    "model": lambda nvml, gpu: nvml.nvmlDeviceGetName(gpu),
    "power_limit_w": lambda nvml, gpu: round(nvml.nvmlDeviceGetPowerManagementLimit(gpu) / 1000),
}
_GPU_STATE: Mapping[str, Callable[..., Any]] = {
    "foreign_processes": nvml.foreign_processes,
    "free_memory_bytes": lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).free,
    "power_w": lambda nvml, gpu: round(nvml.nvmlDeviceGetPowerUsage(gpu) / 1000, 1),
    "sm_clock_mhz": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM),
    "temperature_c": lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(
        gpu, nvml.NVML_TEMPERATURE_GPU
    ),
    "throttle_reasons": nvml.throttle_reasons,
    "utilisation_percent": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu,
}
