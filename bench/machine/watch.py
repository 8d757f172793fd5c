"""What else happened while a cell was measured: looked at between its rounds, never inside them.

A sample is dropped for what was *seen* to spoil it, never for its value: dropping slow samples
because they are slow would bias every median. Load of the CPU is noise and no proof: it is told.
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

__all__ = ["CAUSES", "OTHERS_BUSY_PERCENT", "Seen", "Watch", "cause", "drop", "unread"]

PERIOD_S = 0.01
"""Least time between two looks."""

SHARE = 0.01
"""Most of the time that looking may take: what it costs is measured, and the next look waits."""

SHORTEST_S = 0.2
"""Rounds of less time say nothing of other processes: the system counts in ticks of 10 ms."""

OTHERS_BUSY_PERCENT = 33.0
"""Share of all CPUs' time that others took from which on a number may be due to them."""

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
"""What spoils a sample, the most telling first, and what to do."""

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
class Seen:
    """What was seen from the first round to the last."""

    spoiled: Mapping[int, str]
    """What spoiled a sample, by its index from 0."""
    extra: Mapping[str, float]
    """Readings, by names that end in their unit: `Row.extra`."""
    guards: Mapping[str, str]
    """What was watched: an empty text, or why it was not."""


class Watch:
    """Look at the machine between the rounds of a cell on `device`; a context manager."""

    def __init__(self, device: str) -> None:
        """Look at nothing yet."""
        self._on_gpu = device == GPU
        self._polled = ("CPU clock", *(WATCHED[GPU] if self._on_gpu else ()))
        self._guards: dict[str, str] = {}
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

    def end(self, done: int) -> Seen:
        """Look for the last time, and say what was seen."""
        self._look(done)
        spoiled = {}
        for (first, before), (end, after) in zip(self._looks, self._looks[1:], strict=False):
            worse = _worse(before, after)
            if worse:
                spoiled.update(dict.fromkeys(range(first, end), worse))
        return Seen(spoiled, self._extra(), dict(self._guards))

    def _look(self, done: int) -> None:
        now = {name: self._read(name) for name in self._polled}
        for name, reading in now.items():
            if reading is not None:
                self._readings[name].append(reading)
        self._looks.append((done, cause(now)))

    def _read(self, name: str) -> Any:
        """Ask a sensor, unless it has failed before."""
        if self._guards.get(name):
            return None
        reading, self._guards[name] = sensors.read(_SENSORS[name])
        return reading

    def _extra(self) -> dict[str, float]:
        found = dict(_meanwhile(self._cpu, self._read("other processes"), self._begun))
        for name, key, choose in (
            ("CPU clock", "cpu_lowest_mhz", min),
            ("CPU clock", "cpu_highest_mhz", max),
            ("GPU temperature", "gpu_highest_c", max),
        ):
            if readings := self._readings.get(name):
                found[key] = float(choose(readings))
        if clocks := self._readings.get("GPU clock"):
            found["gpu_lowest_mhz"] = float(min(clock["mhz"] for clock in clocks))
        if reasons := self._readings.get("GPU throttling"):
            capped = sum(POWER_CAP in each for each in reasons)
            found["gpu_power_capped_percent"] = 100 * capped / len(reasons)
        return found


def drop(
    samples: Sequence[float], spoiled: Mapping[int, str]
) -> tuple[list[float], dict[str, int], str]:
    """Return the samples that nothing spoiled, how many each cause took, and what is wrong then.

    The last is empty where at least six are left. Where none is, all stay, and it says so: a row
    without samples has no number, and one with NaN is worse.
    """
    kept = [sample for index, sample in enumerate(samples) if index not in spoiled]
    counts = dict(Counter(spoiled.values()).most_common())
    if not spoiled or len(kept) >= stats.MIN_ROUNDS:
        return kept, counts, ""
    causes = " and ".join(counts)
    remedy = "; ".join(dict.fromkeys(CAUSES[each] for each in counts))
    said = f"undersampled: {len(spoiled)} of {len(samples)} samples were spoiled by {causes}"
    if not kept:
        return list(samples), {}, f"{said}, so all were kept; {remedy}"
    return kept, counts, f"{said}; {remedy}"


def cause(reading: Mapping[str, Any]) -> str:
    """Return what of one look, readings by the names of their sensors, spoils a sample; or ""."""
    reasons = reading.get("GPU throttling") or ()
    found = [name for name in CAUSES if name in reasons]
    if reading.get("foreign GPU processes"):
        found.append(FOREIGN)
    clock = reading.get("GPU clock")
    slow = clock and clock["mhz"] < THROTTLED_BELOW * clock["default_mhz"]
    if slow and not set(CHOSEN) & set(reasons):
        found.append(SLOW_CLOCK)
    return found[0] if found else ""


def unread() -> dict[str, str]:
    """Ask every sensor there is: an empty text where it answers, else why it does not."""
    with nvml.held():
        return {sensor.name: sensors.read(sensor)[1] for sensor in sensors.SENSORS}


def _worse(*causes: str) -> str:
    return next((each for each in CAUSES if each in causes), "")


def _meanwhile(before: CpuTime | None, after: CpuTime | None, begun: float) -> Mapping[str, float]:
    """Return what shares of the CPUs' time others were busy for, and that was stolen."""
    seconds = perf_counter() - begun
    if before is None or after is None or seconds < SHORTEST_S or after.total <= before.total:
        return {}
    total = after.total - before.total
    others = max(0.0, after.others - before.others) / total
    stolen = max(0.0, after.stolen - before.stolen) / total
    return {"others_busy_percent": round(100 * others, 2), "stolen_percent": round(100 * stolen, 2)}
