"""The history: result files as one series of medians a cell and machine, with their changes."""

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain, islice
from math import exp, log
from pathlib import Path
from statistics import fmean, median
from typing import Any

from bench.history import repository
from bench.history.changes import change_points
from bench.history.repository import Commits
from bench.machine.records import summary
from bench.results import record
from bench.results.cell import MEASURED, Cell
from bench.statistics.ratio import Ratio, ratio
from pipeline.errors import PipelineError, plain

__all__ = ["Change", "History", "Machine", "Moment", "Point", "Series", "gather"]
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""A commit's full name; elsewhere pytest-benchmark writes `unversioned`."""

DECODER = "decoder"
"""The part of a row's regime that is a library with its version: it may step inside a series."""

PARALLEL_FROM = 100
"""Files from which on several processes read them: a file of 200 KB takes about 5 ms."""


@dataclass(frozen=True)
class Moment:
    """One run: when, of which commit, with which software."""

    file: str
    begun: str
    """As ISO 8601; empty where the file does not say."""
    commit: str
    """Its full name; empty where it is not known."""
    dirty: bool
    """Whether changes were not committed."""
    subject: str
    """The first line of the commit's message, where git knows it."""
    software: Mapping[str, str]
    """What may explain a step: versions, threads, variables."""

    @property
    def name(self) -> str:
        """Return what people call it: its short commit, else its file."""
        changed = " with changes" if self.dirty else ""
        return f"{self.commit[:7]}{changed}" if self.commit else self.file

    @property
    def day(self) -> str:
        """Return its date; empty where it is not known."""
        return self.begun[:10]


@dataclass(frozen=True)
class Point:
    """A median in one run."""

    moment: Moment
    seconds: float
    decoder: str = ""
    """What decoded its pictures: software that is recorded beside the cell."""


@dataclass(frozen=True)
class Change:
    """A step of a series."""

    at: int
    """Index of the first point after it."""
    before: float
    """Seconds of a call in the segment before: the geometric mean of its medians."""
    after: float
    ratio: Ratio
    """After over before: above 1 is slower."""
    last_good: Moment
    first_bad: Moment
    software: Sequence[str]
    """What else changed there, such as `torch 2.14.1 → 2.15.0`."""
    skipped: int = 0
    """How many commits came in with the first bad one that were not measured on their own."""

    @property
    def word(self) -> str:
        """Return slower or faster."""
        return "slower" if self.ratio.value > 1 else "faster"


@dataclass(frozen=True)
class Series:
    """One cell on one machine."""

    cell: Cell
    points: Sequence[Point]
    """In the order of their commits, then of time."""
    changes: Sequence[Change]

    @property
    def levels(self) -> list[tuple[int, int, float]]:
        """The segments between changes: first index, index after the last, seconds."""
        ends = [0, *(change.at for change in self.changes), len(self.points)]
        return [
            (start, end, _middle(self.points[start:end])) for start, end in itertools.pairwise(ends)
        ]


@dataclass(frozen=True)
class Machine:
    """All runs on one kind of hardware."""

    name: str
    hardware: Mapping[str, Any]
    moments: Sequence[Moment]
    """In order."""
    series: Sequence[Series]
    software: Sequence[tuple[Moment, Sequence[str]]]
    """Where the software changed: the first run with it, and what changed."""

    def newest(self, count: int) -> set[str]:
        """Return the names of the newest commits that were measured; a file where there is none."""
        names = dict.fromkeys(moment.commit or moment.file for moment in reversed(self.moments))
        return set(list(names)[:count])


@dataclass(frozen=True)
class History:
    """What was read."""

    machines: Sequence[Machine]
    unread: Sequence[str]
    """One line for each file that was left out."""


@dataclass
class _Runs:
    """The runs of a machine while files are read: no sample is kept."""

    hardware: Mapping[str, Any]
    moments: list[Moment] = field(default_factory=list)
    cells: dict[Any, Cell] = field(default_factory=dict)
    medians: dict[Any, list[tuple[int, float, str]]] = field(default_factory=dict)
    """By cell: the number of the run, its median, and the decoder."""


def gather(files: Iterable[tuple[str, Path]]) -> History:
    """Read result files, each under the name that a reader knows it by.

    Many are read by as many processes as there are CPUs. Raises `PipelineError` where no
    file holds a measured cell.
    """
    machines: dict[str, _Runs] = {}
    unread: list[str] = []
    for summary_of_file in _summaries(files):
        if isinstance(summary_of_file, str):
            unread.append(summary_of_file)
        elif summary_of_file.medians:
            _add(machines, summary_of_file)
    if not machines:
        reason = f" ({unread[0]})" if unread else ""
        raise PipelineError(
            "history",
            f"a result file with a measured cell{reason}",
            "name the folder that holds what --benchmark-json wrote",
        )
    known = repository.commits(
        {moment.commit for runs in machines.values() for moment in runs.moments} - {""}
    )
    return History([_machine(runs, known) for runs in machines.values()], unread)


@dataclass(frozen=True)
class _Summary:
    """What is kept of a file: no sample."""

    hardware: Mapping[str, Any]
    moment: Moment
    medians: Sequence[tuple[Any, Cell, float]]
    """What makes rows comparable, the cell, and its median."""


def _summaries(files: Iterable[tuple[str, Path]]) -> Iterator[_Summary | str]:
    """Yield what is kept of each file; of one that cannot be read, a line that says why."""
    files = iter(files)
    first = list(islice(files, PARALLEL_FROM))
    if len(first) < PARALLEL_FROM:
        yield from map(_summarised, first)
        return
    files = chain(first, files)
    with ProcessPoolExecutor() as pool:
        while batch := list(islice(files, repository.BATCH)):
            yield from pool.map(_summarised, batch, chunksize=8)


def _summarised(file: tuple[str, Path]) -> _Summary | str:
    name, path = file
    try:
        run = record.load(path, plain=True)
    except PipelineError as error:
        return plain(f"{name}: expected {error.expected}; {error.remedy}")
    commit = str(run.commit.get("id") or "")
    moment = Moment(
        name,
        run.begun,
        commit if COMMIT.fullmatch(commit) else "",
        bool(run.commit.get("dirty")),
        "",
        dict(_flat(_known(run.machine.get("software")))),
    )
    measured = (row for row in run.rows if row.status == MEASURED and median(row.samples) > 0)
    medians = [
        (
            (
                row.name,
                row.cell.workload,
                json.dumps({**row.cell.regime, DECODER: ""}, sort_keys=True),
                row.weights,
                row.clock,
            ),
            row.cell,
            median(row.samples),
        )
        for row in measured
    ]
    return _Summary(_known(run.machine.get("hardware")), moment, medians)


def _add(machines: dict[str, _Runs], file: _Summary) -> None:
    key = json.dumps(file.hardware, sort_keys=True)
    runs = machines.setdefault(key, _Runs(file.hardware))
    runs.moments.append(file.moment)
    for row, cell, seconds in file.medians:
        runs.cells[row] = cell
        decoder = str(cell.regime.get(DECODER, ""))
        runs.medians.setdefault(row, []).append((len(runs.moments) - 1, seconds, decoder))


def _machine(runs: _Runs, known: Commits) -> Machine:
    order = _order(runs.moments, known)
    place = {number: index for index, number in enumerate(order)}
    moments = [_with_subject(runs.moments[number], known) for number in order]
    series = []
    for key, medians in runs.medians.items():
        ordered = sorted((place[number], seconds, decoder) for number, seconds, decoder in medians)
        points = [Point(moments[index], seconds, decoder) for index, seconds, decoder in ordered]
        series.append(Series(runs.cells[key], points, list(_changes(points))))
    steps = (
        (after, _differences(before.software, after.software))
        for before, after in itertools.pairwise(moments)
    )
    return Machine(
        summary({"hardware": runs.hardware}) or "unknown machine",
        runs.hardware,
        moments,
        series,
        [(moment, lines) for moment, lines in steps if lines],
    )


def _order(moments: Sequence[Moment], known: Commits) -> list[int]:
    """Return the numbers of runs by commit, and by time where git does not know the commit.

    A run of an unknown commit stands behind the latest known one that began before it.
    """
    by_time = sorted(range(len(moments)), key=lambda number: _time(moments[number].begun))
    ranks: dict[int, int] = {}
    latest = -1
    for number in by_time:
        rank = known.rank.get(moments[number].commit)
        if rank is not None:
            latest = max(latest, rank)
        ranks[number] = latest if rank is None else rank
    return sorted(by_time, key=lambda number: ranks[number])


def _changes(points: Sequence[Point]) -> Iterator[Change]:
    starts = [
        at
        for at in dict.fromkeys(
            _between_commits(points, at) for at in change_points([p.seconds for p in points])
        )
        if at is not None
    ]
    ends = [0, *starts, len(points)]
    for start, at, end in zip(ends, ends[1:], ends[2:], strict=False):
        before, after = points[start:at], points[at:end]
        change = ratio(*([[point.seconds] for point in part] for part in (before, after)))
        last, first = points[at - 1], points[at]
        if change is not None:
            yield Change(
                at,
                _middle(before),
                _middle(after),
                change,
                last.moment,
                first.moment,
                _differences(_software(last), _software(first)),
                repository.between(last.moment.commit, first.moment.commit),
            )


def _between_commits(points: Sequence[Point], at: int) -> int | None:
    """Move a step among the runs of one commit to the nearer end of them; None at either end."""
    commit = points[at].moment.commit
    start, end = at, at
    while commit and start and points[start - 1].moment.commit == commit:
        start -= 1
    while commit and end < len(points) and points[end].moment.commit == commit:
        end += 1
    nearest = start if at - start <= end - at else end
    return nearest if 0 < nearest < len(points) else None


def _with_subject(moment: Moment, known: Commits) -> Moment:
    return replace(moment, subject=known.subject.get(moment.commit, ""))


def _software(point: Point) -> dict[str, str]:
    return {**point.moment.software, **({DECODER: point.decoder} if point.decoder else {})}


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    names = dict.fromkeys([*before, *after])
    pairs = ((name, before.get(name), after.get(name)) for name in names)
    return [
        f"{name} {old or 'not recorded'} → {new or 'not recorded'}"
        for name, old, new in pairs
        if old != new
    ]


def _middle(points: Sequence[Point]) -> float:
    return exp(fmean(log(point.seconds) for point in points))


def _time(begun: str) -> float:
    try:
        moment = datetime.fromisoformat(begun)
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _known(data: Any) -> dict[str, Any]:
    return {key: value for key, value in (data or {}).items() if key != "unread"}


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the values of a record by name; packages and variables go by their own names."""
    for key, value in data.items():
        if isinstance(value, Mapping):
            inner = "" if key in ("packages", "thread_variables") else f"{prefix}{key} "
            yield from _flat(_known(value), inner)
        elif value is not None:
            yield f"{prefix}{key}".replace("_", " "), str(value)
