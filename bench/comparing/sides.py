"""The sides of a comparison: which files are runs of one side, and how the machines differ."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import exists
from pathlib import Path
from statistics import median_low
from string import ascii_uppercase
from typing import Any

from bench.comparing.verdict import UNWATCHED, Floor
from bench.machine import watch
from bench.machine.records import summary
from bench.results import rates, record, units
from bench.results.cell import MEASURED, Row
from bench.results.record import Run
from pipeline.arguments import parse_list
from pipeline.errors import PipelineError

__all__ = [
    "Side",
    "common",
    "differences",
    "gather",
    "load_at_start",
    "raised_floors",
    "workload_changed",
]

COMMIT = re.compile(r"[0-9a-f]{7,64}")
"""Elsewhere pytest-benchmark writes `unversioned`."""

RECORDS = ("hardware", "software")

BUSY_LOAD = 0.75
"""Load per CPU over the last minute from which on a run may have waited for a CPU."""

OTHER_LOAD = 0.25
"""The least share of that load that must come from other work."""

BUSY = 1.0
"""What the floor of a machine with other work adds to its load per CPU. With L processes for each
CPU one gets 1 / L of it, and less for a while: identical code on 2 shared cores took up to 2.6
times as long at a load of 1.2 per CPU, and up to 3.5 times at 2.8."""

APART = 0.05
"""Difference of the shares that others took beside two sides from which on it may decide."""


@dataclass(frozen=True)
class Side:
    """One column: a machine, or a commit on it, with its runs."""

    label: str
    """A for the baseline, then B, C, …"""
    files: tuple[str, ...]
    """The files of its runs."""
    runs: tuple[Run, ...]
    """At least one."""
    settings: str = ""
    """Of the axes in which its cells differ from those of other sides."""

    @property
    def machine(self) -> Mapping[str, Any]:
        """Return the records of its machine, as its first run has them."""
        return self.runs[0].machine


def gather(arguments: Sequence[str], least: int = 2, apart: bool = False) -> list[Side]:
    """Read the files of a command line into sides, at least so many; the first is the baseline.

    Files joined by a comma are runs of one side. Among more than two files, none of them joined,
    those with the same hardware, software and clean commit become runs of one side, if that leaves
    another side; not where they are machines `apart`.

    Raises `PipelineError` for fewer than two sides, a run that is twice on a side, a run without a
    number, and whatever is wrong with a file.
    """
    groups = [[(file, _load(file)) for file in _files(argument)] for argument in arguments]
    if len(groups) > 2 and max(map(len, groups)) == 1 and not apart:
        groups = _grouped([group[0] for group in groups])
    if len(groups) < least:
        raise PipelineError(
            f"compare {' '.join(arguments)}",
            "two sides or more",
            "name the baseline first, then what is compared with it",
        )
    if len(groups) > len(ascii_uppercase):
        raise PipelineError(f"{len(groups)} sides", "at most 26", "compare fewer at a time")
    for group in groups:
        for number, (file, run) in enumerate(group):
            if any(run == other for _, other in group[:number]):
                raise PipelineError(file, "each run once on a side", "leave it out")
    return [
        Side(label, tuple(file for file, _ in group), tuple(run for _, run in group))
        for label, group in zip(ascii_uppercase, groups, strict=False)
    ]


def common(sides: Sequence[Side]) -> str:
    """Return what every side shares of its machine as one line; empty where they share nothing."""
    shared: Any = sides[0].machine
    for side in sides[1:]:
        shared = _shared(shared, side.machine)
    return summary(shared) if shared.get("hardware") or shared.get("software") else ""


def differences(sides: Sequence[Side]) -> list[str]:
    """Return one line a side: its label, its files, their dates, and what differs from others."""
    facts = [_facts(side) for side in sides]
    names = dict.fromkeys(name for known in facts for name in known)
    differing = [name for name in names if len({known.get(name) for known in facts}) > 1]
    lines = []
    for side, known in zip(sides, facts, strict=True):
        label = f"{side.label} (baseline)" if side is sides[0] else side.label
        own = [f"{name} {known[name]}".strip() for name in differing if known.get(name)]
        lines.append(f"{label}: {' · '.join([*_origin(side), *own])}")
    return lines


def raised_floors(sides: Sequence[tuple[Side, Sequence[Row]]]) -> list[Floor]:
    """Return the floors to which the machines of some sides, with their rows of a cell, raise it.

    What other processes took beside a row decides, where that was watched: the load of the minute
    before the run says nothing of the row, and is taken only where nothing else is known. A cell of
    a GPU does not wait for a CPU.
    """
    changed = max(
        workload_changed(run, rows[0].cell.device) for side, rows in sides for run in side.runs
    )
    floors = [Floor(changed, "the reference workload changed that far during a run", raised=True)]
    sides = [(side, rows) for side, rows in sides if rows[0].cell.device == "cpu"]
    beside = [_beside(rows) for _, rows in sides]
    known = [share for share in beside if share is not None]
    busy = [
        max(BUSY + share, _taken(share))
        for share in known
        if share > watch.OTHERS_BUSY_PERCENT / 100
    ]
    for (side, rows), share in zip(sides, beside, strict=True):
        if share is None:
            loads = [load_at_start(run, rows[0].threads or 1) for run in side.runs]
            busy += [BUSY + load for load in loads if load]
            if None in loads:
                floors.append(Floor(UNWATCHED, "nobody watched the load", raised=True))
    if busy:
        floors.append(Floor(max(busy), "the machine had other work", raised=True))
    if len(known) == len(sides) == 2 and max(known) - min(known) > APART:
        apart = _taken(max(known))
        floors.append(Floor(apart, "other work took more beside one side", raised=True))
    return floors


def _beside(rows: Sequence[Row]) -> float | None:
    """Return the largest share of all CPUs that others took beside a row; None if not watched."""
    percents = [row.extra.get("others_busy_percent") for row in rows]
    known = [percent for percent in percents if percent is not None]
    return max(known) / 100 if len(known) == len(percents) else None


def _taken(share: float) -> float:
    """Return how much longer work takes that gets what others leave; beside 87 % it was 5 times."""
    return 1 / (1 - min(share, 0.99)) - 1


def workload_changed(run: Run, device: str) -> float:
    """Return how far the reference workload on a device changed from start to end, relative.

    The lower median of its parts: a machine that has changed shows it in more than one part. One
    part alone takes a few hundredths of a second, and is 12 % off at times between runs whose rows
    agree within 3 %.
    """
    parts = ("_cuda_",) if device == "cuda" else ("_cpu_", "python_loop_")
    start, end = rates.start_and_end(run.machine)
    pairs = [
        (rate, end[name])
        for name, rate in start.items()
        if end.get(name) and rate and any(part in name for part in parts)
    ]
    return median_low([max(pair) / min(pair) - 1 for pair in pairs]) if pairs else 0.0


def load_at_start(run: Run, threads: int) -> float | None:
    """Return the load per CPU that a run does not explain; 0 where little, None if not read."""
    load = (run.machine.get("state") or {}).get("load_per_cpu")
    cores = (run.machine.get("hardware") or {}).get("cores")
    if not (isinstance(load, int | float) and isinstance(cores, int | float) and cores > 0):
        return None
    return load if load >= BUSY_LOAD and load - threads / cores >= OTHER_LOAD else 0.0


def _files(argument: str) -> list[str]:
    """Split at commas, unless a file has that very name."""
    return [argument] if exists(argument) else parse_list(argument)


def _load(file: str) -> Run:
    run = record.load(Path(file), plain=True)
    if not any(row.status == MEASURED for row in run.rows):
        raise PipelineError(
            file, "at least one measured row", f"python -m bench show {file} says what is missing"
        )
    gpus = (run.machine.get("hardware") or {}).get("gpus") or ()
    if any(str(gpu.get("model")).startswith("simulated") for gpu in gpus):
        expected = "results of a real device, not of the simulated GPU"
        raise PipelineError(file, expected, "measure on the device itself")
    return run


def _grouped(runs: Sequence[tuple[str, Run]]) -> list[list[tuple[str, Run]]]:
    """Put runs of the same machine and code together, in the order of the first of each."""
    groups: dict[str, list[tuple[str, Run]]] = {}
    for number, (file, run) in enumerate(runs):
        groups.setdefault(_key(run) or str(number), []).append((file, run))
    return list(groups.values()) if len(groups) > 1 else [[run] for run in runs]


def _key(run: Run) -> str:
    """Return what runs of the same machine and code have in common; empty where it is unknown."""
    commit = run.commit.get("id")
    if not (isinstance(commit, str) and COMMIT.fullmatch(commit)) or run.commit.get("dirty"):
        return ""
    records = [_known(run.machine.get(name) or {}) for name in RECORDS]
    return json.dumps([*records, commit], sort_keys=True)


def _known(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != "unread"}


def _shared(one: Any, other: Any) -> Any:
    """Return the keys that have the same value in two records, at any depth."""
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return one
    return {
        key: _shared(value, other[key])
        for key, value in one.items()
        if key in other
        and (value == other[key] or (isinstance(value, Mapping) and key != "unread"))
    }


def _origin(side: Side) -> list[str]:
    """Return a side's files, and how many runs it has, of which day, and whether one was cut."""
    days = dict.fromkeys(run.begun[:16].replace("T", " ") for run in side.runs if run.begun)
    runs = [f"{len(side.runs)} runs"] if len(side.runs) > 1 else []
    short = ["cut short"] if not all(run.complete for run in side.runs) else []
    settings = [side.settings] if side.settings else []
    return [", ".join(side.files), *settings, *runs, *days, *short]


def _facts(side: Side) -> dict[str, str]:
    """Return what can differ between machines, by the names that a table shows."""
    hardware, software = (_known(side.machine.get(name) or {}) for name in RECORDS)
    unread = (side.machine.get("hardware") or {}).get("unread", {})
    gpus = hardware.pop("gpus", None) or []
    cpu = {key: hardware.pop(key, None) for key in ("cpu", "cores")}
    facts = {
        "": summary({"hardware": {"gpus": gpus, "unread": unread}}) if gpus or unread else "",
        " ": summary({"hardware": cpu}) if any(cpu.values()) else "",
    }
    for key in dict.fromkeys(key for gpu in gpus for key in _known(gpu) if key != "model"):
        facts |= _flat({f"GPU_{key}": [gpu.get(key) for gpu in gpus]})
    facts |= _flat(hardware) | _flat(software)
    threads = {row.threads for run in side.runs for row in run.rows if row.threads is not None}
    loads = [(run.machine.get("state") or {}).get("load_per_cpu") for run in side.runs]
    return facts | {
        "threads": _text(sorted(threads)),
        "commit": _text([*dict.fromkeys(filter(None, map(_commit, side.runs)))]),
        "load per CPU": _text([load for load in loads if load is not None]),
    }


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return the values of a record as texts; packages and variables go by their own names."""
    facts: dict[str, str] = {}
    for key, value in _known(record).items():
        if isinstance(value, Mapping):
            facts |= _flat(value, "" if key in ("packages", "thread_variables") else f"{key} ")
            continue
        name = units.name(key)
        if name != key or key.islower():
            name = name.replace("_", " ")
        facts[prefix + ("RAM" if name == "ram" else name)] = _text(value, key)
    return facts


def _text(value: Any, key: str = "") -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_text(part, key) for part in value)
    if units.name(key) != key and isinstance(value, int | float):
        return units.text(key, value)
    return "" if value is None else str(value)


def _commit(run: Run) -> str:
    name = str(run.commit.get("id") or "")
    text = name[:7] if COMMIT.fullmatch(name) else ""
    return f"{text} with changes" if text and run.commit.get("dirty") else text
