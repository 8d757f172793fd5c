"""The sides of a comparison: which files are runs of what, and how the machines differ."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low
from string import ascii_uppercase
from typing import Any

from bench.machine import watch
from bench.machine.records import summary
from bench.results import rates, record
from bench.results.cell import MEASURED, Row
from bench.results.record import Run
from pipeline.arguments import parse_list
from pipeline.errors import PipelineError

__all__ = ["Side", "common", "differences", "gather", "other_load", "workload_changed"]

COMMIT = re.compile(r"[0-9a-f]{7,64}")
"""Elsewhere pytest-benchmark writes `unversioned`."""

RECORDS = ("hardware", "software")

BUSY_LOAD = 0.75
"""Load of the last minute over all CPUs from which on a run may have waited for a CPU."""

OTHER_LOAD = 0.25
"""The least part of that load that the run itself does not explain."""


@dataclass(frozen=True)
class Side:
    """One column: a machine, or a commit on it, with its runs."""

    label: str
    """A for the baseline, then B, C, …"""
    files: tuple[str, ...]
    """What its runs were read from."""
    runs: tuple[Run, ...]
    """At least one."""

    @property
    def machine(self) -> Mapping[str, Any]:
        """Return the records of its machine, as its first run has them."""
        return self.runs[0].machine


def gather(arguments: Sequence[str]) -> list[Side]:
    """Read the files of a command line into sides; the first is the baseline.

    Files joined by a comma are runs of one side. Where nothing is joined and there are more than
    two files, those of equal hardware, software and commit, nothing uncommitted, are runs of one
    side too, if that leaves another side.

    Raises `PipelineError` for fewer than two sides, a run given twice to a side, a run without a
    number, and whatever is wrong with a file.
    """
    given = [_files(argument) for argument in arguments]
    groups = [[(file, _load(file)) for file in files] for files in given]
    if len(groups) > 2 and max(map(len, groups)) == 1:
        groups = _grouped([group[0] for group in groups])
    if len(groups) < 2:
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
    names = dict.fromkeys(name for each in facts for name in each)
    differing = [name for name in names if len({each.get(name) for each in facts}) > 1]
    return [
        f"{side.label}{' (baseline)' if side is sides[0] else ''}: "
        + " · ".join(
            [
                *_origin(side),
                *(f"{name} {each[name]}".strip() for name in differing if each.get(name)),
            ]
        )
        for side, each in zip(sides, facts, strict=True)
    ]


def other_load(run: Run, row: Row) -> float:
    """Return the load per CPU that `run` does not explain, at its start or beside `row`; else 0.

    What other processes took beside the row is a share of all CPUs, which is a load of at least
    that much; a load of the last minute says nothing of what began later.
    """
    beside = row.extra.get("others_busy_percent", 0.0)
    return max(
        _load_at_start(run, row.threads or 1),
        beside / 100 if beside > watch.OTHERS_BUSY_PERCENT else 0.0,
    )


def workload_changed(run: Run, device: str) -> float:
    """Return how far the reference workload's end lies from its start, on a device, relative.

    Of its parts the middle one, of an even number the lower of both: a machine that has changed
    shows it in more than one, while one alone, of a few hundredths of a second, is 12 % off at
    times between runs whose rows agree within 3 %.
    """
    parts = ("_cuda_",) if device == "cuda" else ("_cpu_", "python_loop_")
    start, end = rates.start_and_end(run.machine)
    pairs = [
        (rate, end[name])
        for name, rate in start.items()
        if end.get(name) and rate and any(part in name for part in parts)
    ]
    return median_low([max(pair) / min(pair) - 1 for pair in pairs]) if pairs else 0.0


def _load_at_start(run: Run, threads: int) -> float:
    load = (run.machine.get("state") or {}).get("load_per_cpu")
    cores = (run.machine.get("hardware") or {}).get("cores")
    if not (isinstance(load, int | float) and isinstance(cores, int | float) and cores > 0):
        return 0.0
    return load if load >= BUSY_LOAD and load - threads / cores >= OTHER_LOAD else 0.0


def _files(argument: str) -> list[str]:
    """Split at commas, unless there is a file of that very name."""
    return [argument] if Path(argument).exists() else parse_list(argument)


def _load(file: str) -> Run:
    run = record.load(Path(file), plain=True)
    if not any(row.status == MEASURED for row in run.rows):
        raise PipelineError(
            file, "at least one measured row", f"python -m bench show {file} says what is missing"
        )
    return run


def _grouped(given: Sequence[tuple[str, Run]]) -> list[list[tuple[str, Run]]]:
    """Put runs of the same machine and code together, in the order of the first of each."""
    groups: list[list[tuple[str, Run]]] = []
    for file, run in given:
        key = _key(run)
        same = (group for group in groups if key is not None and _key(group[0][1]) == key)
        group = next(same, None)
        if group is None:
            groups.append([(file, run)])
        else:
            group.append((file, run))
    return groups if len(groups) > 1 else [[each] for each in given]


def _key(run: Run) -> Any:
    """Return what runs of the same machine and code have in common; None where that is unknown."""
    commit = run.commit.get("id")
    if not (isinstance(commit, str) and COMMIT.fullmatch(commit)) or run.commit.get("dirty"):
        return None
    return [_known(run.machine.get(name) or {}) for name in RECORDS] + [commit]


def _known(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != "unread"}


def _shared(one: Any, other: Any) -> Any:
    """Return the keys that two records have with one value, at any depth."""
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return one
    both = [key for key in one if key in other]
    return {
        key: _shared(one[key], other[key])
        for key in both
        if one[key] == other[key] or (isinstance(one[key], Mapping) and key != "unread")
    }


def _origin(side: Side) -> list[str]:
    """Return a side's files, and what to know of its runs."""
    days = dict.fromkeys(run.begun[:16].replace("T", " ") for run in side.runs if run.begun)
    runs = [f"{len(side.runs)} runs"] if len(side.runs) > 1 else []
    short = ["cut short"] if not all(run.complete for run in side.runs) else []
    return [", ".join(side.files), *runs, *days, *short]


def _facts(side: Side) -> dict[str, str]:
    """Return what can differ between machines, by the name that a reader knows it by."""
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
        stem, _, last = key.rpartition("_")
        scale, unit = UNITS.get(last, (None, ""))
        name = (stem if unit else key).replace("_", " ") if key.islower() or unit else key
        facts[prefix + ("RAM" if name == "ram" else name)] = _text(value, scale, unit)
    return facts


UNITS = {"bytes": (1e-9, " GB"), "gib": (None, " GiB"), "w": (None, " W")}
"""What the end of a record's key says of its numbers: a factor, and the unit then."""


def _text(value: Any, scale: float | None = None, unit: str = "") -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_text(each, scale, unit) for each in value)
    if scale is not None and isinstance(value, int | float):
        value = f"{value * scale:.1f}"
    return "" if value is None else f"{value}{unit}"


def _commit(run: Run) -> str:
    text = str(run.commit.get("id") or "")[:7]
    return f"{text} with changes" if text and run.commit.get("dirty") else text
