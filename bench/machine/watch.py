"""Watching the machine while a cell is measured: between its rounds, never inside them.

A sample is dropped for a cause that was observed, never for its value: dropping slow samples
because they are slow would bias every median. Load of the CPU is noise and no proof of a cause: it
is recorded, and drops nothing.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import Any

from bench.machine import nvml, sensors
from bench.machine.sensors import CPU, GPU, CpuTime
from bench.statistics import stats

__all__ = ["CAUSES", "OTHERS_BUSY_PERCENT", "Readings", "Watch", "cause", "drop", "unread"]

PERIOD_S = 0.01
"""Least time between two looks."""

SHARE = 0.01
"""Largest share of the time that looks may take: each is timed, and the next one waits."""

SHORTEST_S = 0.2
"""Shortest rounds that show the load of other processes: the system counts ticks of 10 ms."""

OTHERS_BUSY_PERCENT = 33.0
"""Share of all CPUs' time taken by other processes above which a number may be due to them."""

THROTTLED_BELOW = 0.75
"""Share of the GPU's default clock under which a sample is spoiled, as in NVIDIA's nvbench
(nvbench/detail/measure_cold.cu)."""

CAUSES = {
    "hardware thermal slowdown": "cool the GPU: nvidia-smi -q -d TEMPERATURE,PERFORMANCE",
    "software thermal slowdown": "cool the GPU: nvidia-smi -q -d TEMPERATURE,PERFORMANCE",
    "hardware power brake": "check the GPU's power supply: nvidia-smi -q -d POWER,PERFORMANCE",
    "hardware slowdown": "ask the GPU why: nvidia-smi -q -d PERFORMANCE",
    "foreign processes on the GPU": "end them, or wait: nvidia-smi lists them",
    "a GPU clock under 75 % of its default": "ask the GPU why: nvidia-smi -q -d CLOCK,PERFORMANCE",
}
"""Causes that spoil a sample, the most specific first, each with its remedy."""

FOREIGN, SLOW_CLOCK = tuple(CAUSES)[-2:]

CHOSEN = ("GPU idle", "application clocks", "software power cap", "sync boost")
"""Reasons for which a low clock is no fault: an idle GPU, a user's choice, and the power limit,
at which a data-centre GPU under load is expected to run."""

POWER_CAP = "software power cap"

WATCHED = {
    CPU: ("other processes", "stolen time", "CPU clock"),
    GPU: ("GPU throttling", "GPU clock", "GPU temperature", "foreign GPU processes"),
}
"""Names of sensors that are read while a cell is measured, by where it runs."""

_SENSORS = {sensor.name: sensor for sensor in sensors.SENSORS}


@dataclass(frozen=True)
class Readings:
    """The readings from the first round to the last."""

    spoiled: Mapping[int, str]
    """The cause that spoiled a sample, by the sample's index from 0."""
    extra: Mapping[str, float]
    """Extremes and shares, by names that end in their unit: `Row.extra`."""
    guards: Mapping[str, str]
    """For each sensor an empty text, or why it could not be read."""


class Watch:
    """Look at the machine between the rounds of a cell on `device`; a context manager."""

    def __init__(self, device: str, unknown: Mapping[str, str] | None = None) -> None:
        """Prepare; the first look is made by `look`. `unknown`: sensors not to read, and why."""
        self._on_gpu = device == GPU
        self._polled = ("CPU clock", *(WATCHED[GPU] if self._on_gpu else ()))
        self._guards = dict(unknown or {})
        self._looks: list[tuple[int, str]] = []
        self._readings: dict[str, list[Any]] = {name: [] for name in self._polled}
        self._next = 0.0
        self._open = ExitStack()

    def __enter__(self) -> "Watch":
        """Begin."""
        if self._on_gpu:
            self._open.enter_context(nvml.held())
        self._begun = perf_counter()
        self._cpu = self._read("other processes")
        self._guards["stolen time"] = self._guards["other processes"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of NVML."""
        self._open.close()

    def look(self, done: int) -> None:
        """Look, when `done` rounds have ended, unless the last look was a moment ago."""
        now = perf_counter()
        if now >= self._next:
            self._look(done)
            spent = perf_counter() - now
            self._next = now + spent + max(PERIOD_S, spent / SHARE)

    def end(self, done: int) -> Readings:
        """Look for the last time, and return all readings."""
        self._look(done)
        if self._looks[0][1] == SLOW_CLOCK:  # a GPU that was idle is still raising its clock
            self._looks[0] = (self._looks[0][0], "")
        spoiled = {}
        for (first, before), (end, after) in zip(self._looks, self._looks[1:], strict=False):
            worst = next((cause for cause in CAUSES if cause in (before, after)), "")
            if worst:
                spoiled.update(dict.fromkeys(range(first, end), worst))
        return Readings(spoiled, self._extra(), dict(self._guards))

    def _look(self, done: int) -> None:
        readings = {name: self._read(name) for name in self._polled}
        for name, reading in readings.items():
            if reading is not None:
                self._readings[name].append(reading)
        self._looks.append((done, cause(readings)))

    def _read(self, name: str) -> Any:
        """Ask a sensor, unless it has failed before."""
        if self._guards.get(name):
            return None
        reading, self._guards[name] = sensors.read(_SENSORS[name])
        return reading

    def _extra(self) -> dict[str, float]:
        extra = _shares(self._cpu, self._read("other processes"), perf_counter() - self._begun)
        for name, key, choose in (
            ("CPU clock", "cpu_lowest_mhz", min),
            ("CPU clock", "cpu_highest_mhz", max),
            ("GPU temperature", "gpu_highest_c", max),
        ):
            if readings := self._readings.get(name):
                extra[key] = float(choose(readings))
        if clocks := self._readings.get("GPU clock"):
            extra["gpu_lowest_mhz"] = float(min(clock["mhz"] for clock in clocks))
        if reasons := self._readings.get("GPU throttling"):
            capped = sum(POWER_CAP in at_once for at_once in reasons)
            extra["gpu_power_capped_percent"] = 100 * capped / len(reasons)
        return extra


def drop(
    samples: Sequence[float], spoiled: Mapping[int, str]
) -> tuple[list[float], dict[str, int], str]:
    """Return the unspoiled samples, how many each cause spoiled, and a warning where few are left.

    The warning is empty where at least six are left. Where none is left all are kept, and it says
    so: a row without samples has no number, and NaN would be worse.
    """
    kept = [sample for index, sample in enumerate(samples) if index not in spoiled]
    counts = dict(Counter(spoiled.values()).most_common())
    if not spoiled or len(kept) >= stats.MIN_ROUNDS:
        return kept, counts, ""
    causes = " and ".join(counts)
    remedy = "; ".join(dict.fromkeys(CAUSES[cause] for cause in counts))
    warning = f"undersampled: {len(spoiled)} of {len(samples)} samples were spoiled by {causes}"
    if not kept:
        return list(samples), {}, f"{warning}, so all were kept; {remedy}"
    return kept, counts, f"{warning}; {remedy}"


def cause(reading: Mapping[str, Any]) -> str:
    """Return what spoils the samples around one look, from its readings by sensor; or ""."""
    reasons = reading.get("GPU throttling") or ()
    causes = [name for name in CAUSES if name in reasons]
    if reading.get("foreign GPU processes"):
        causes.append(FOREIGN)
    clock = reading.get("GPU clock")
    slow = clock and clock["mhz"] < THROTTLED_BELOW * clock["default_mhz"]
    if slow and not set(CHOSEN) & set(reasons):
        causes.append(SLOW_CLOCK)
    return causes[0] if causes else ""


def unread() -> dict[str, str]:
    """Return for every sensor an empty text, or why it cannot be read."""
    with nvml.held():
        return {sensor.name: sensors.read(sensor)[1] for sensor in sensors.SENSORS}


def _shares(before: CpuTime | None, after: CpuTime | None, seconds: float) -> dict[str, float]:
    """Return the shares of all CPUs' time that others used, and that was stolen."""
    if before is None or after is None or seconds < SHORTEST_S or after.total <= before.total:
        return {}
    total = after.total - before.total
    others = max(0.0, after.others - before.others) / total
    stolen = max(0.0, after.stolen - before.stolen) / total
    return {"others_busy_percent": round(100 * others, 2), "stolen_percent": round(100 * stolen, 2)}
