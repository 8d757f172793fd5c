"""The record of a run, in pytest-benchmark's JSON and in a journal."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.machine.records import summary
from bench.results.cell import MEASURED, Cell, Row
from bench.results.rates import start_and_end
from bench.results.reading import Number, read
from pipeline.errors import PipelineError
from pipeline.files import writing

__all__ = [
    "ENDED",
    "JOURNAL",
    "SCHEMA",
    "Journal",
    "Run",
    "load",
    "load_journal",
    "nearest_journal",
    "update",
    "write",
]

SCHEMA = 1
"""Version of everything that is written here; a file of a newer one is refused."""

KEY = "sd_flux_bench"
JOURNAL = Path(".benchmarks") / "journal.jsonl"
MAXIMUM_BYTES = 1_000_000_000

ENDED = (0, 1)
"""pytest's exit codes of a run that came to its end: all held, or a test failed."""

AGAIN = "measure again"


@dataclass(frozen=True)
class Run:
    """One run as it was recorded."""

    machine: Mapping[str, Any]
    """The records `hardware`, `software` and `state`; `guards`: for every sensor, why it cannot be
    read; `workload`: rates at the run's start and end."""
    rows: tuple[Row, ...]
    """Every cell's row, in the order in which they ended; from a file, measured ones first."""
    begun: str = ""
    """Its date and time, as ISO 8601."""
    commit: Mapping[str, Any] = field(default_factory=dict)
    """pytest-benchmark's `commit_info`."""
    complete: bool = True
    """False where the run was cut short."""


@dataclass(frozen=True)
class _Stats:
    data: tuple[Number, ...] = ()


@dataclass(frozen=True)
class _Benchmark:
    """As much of one of pytest-benchmark's entries as is read."""

    stats: _Stats
    fullname: str | None = None
    group: str | None = None
    extra_info: Mapping[str, Any] = field(default_factory=dict)


def update(output: dict[str, Any], rows: Iterable[Row], machine: Mapping[str, Any]) -> None:
    """Add the machine and the rows without a number to pytest-benchmark's JSON, in place.

    These rows stay out of `benchmarks`: one entry there without `stats` makes `pytest-benchmark
    compare` drop the whole file. The plugin publishes the timing of a test that failed later: here
    that entry is removed.
    """
    others = [row.as_dict() for row in rows if row.status != MEASURED]
    withdrawn = {row["name"] for row in others}
    kept = [entry for entry in output["benchmarks"] if entry["fullname"] not in withdrawn]
    for entry in kept:
        cell = entry.get("extra_info", {}).get("cell")
        if cell is not None:
            entry["params"] = dict(cell["cell"]["axes"])
    output["benchmarks"][:] = kept
    output[KEY] = {"schema": SCHEMA, "machine": machine, "rows": others}


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file that is whole or absent; NaN and infinities raise ValueError."""
    text = json.dumps(document, indent=4, allow_nan=False)
    with writing(path) as file:
        file.write(text.encode() + b"\n")


def load(path: Path, plain: bool = False) -> Run:
    """Read a result file of pytest-benchmark that this harness has written, or a journal (.jsonl).

    With `plain` also one that pytest-benchmark wrote without this harness: its benchmarks are rows
    of the family that their group or file names. Raises `PipelineError` naming the first thing that
    is wrong with the file.
    """
    if path.suffix == JOURNAL.suffix:
        return load_journal(path)
    document = _parse(path, _read(path))
    if not isinstance(document, dict) or not isinstance(document.get("benchmarks"), list):
        raise _wrong(path, "a result file of pytest-benchmark", "pass what --benchmark-json wrote")
    ours = document.get(KEY)
    plain = plain and KEY not in document
    if plain:
        ours = {"schema": SCHEMA, "rows": []}
    elif not isinstance(ours, dict):
        raise _wrong(
            path, f"a result file of this harness (no {KEY!r} in it)", "measure with pytest bench/"
        )
    _check_schema(path, ours.get("schema"))
    with _first_wrong(path):
        benchmarks = read(tuple[_Benchmark, ...], document["benchmarks"], "benchmarks")
        rows = list((_plain_rows if plain else _measured)(benchmarks))
        place = f"{KEY}.rows"
        others = read(list, ours.get("rows"), place)
        rows += [Row.from_dict(row, f"{place}[{number}]") for number, row in enumerate(others)]
        _check_rows(rows)
        info = document.get("machine_info", {})
        return Run(
            _plain_machine(info) if plain else _machine(ours.get("machine"), f"{KEY}.machine"),
            tuple(rows),
            begun=read(str, document.get("datetime", ""), "datetime"),
            commit=read(Mapping[str, Any], document.get("commit_info", {}), "commit_info"),
        )


class Journal:
    """The run so far, as a crash leaves it: a line a row, on disk before the next cell begins."""

    def __init__(self, path: Path, machine: Mapping[str, Any]) -> None:
        """Replace the journal of the run before."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")
        begun = datetime.now(UTC).isoformat()
        self._line({"schema": SCHEMA, "begun": begun, "machine": machine})

    def add(self, row: Row) -> None:
        """Append one row and flush it to the disk."""
        self._line({"row": row.as_dict()})

    def end(self, exit_status: int, machine: Mapping[str, Any] | None = None) -> None:
        """Write that the run came to its end, and close the file.

        `machine` are the records as they are now: at the beginning torch had not been imported.
        """
        self._line({"ended": exit_status} | ({} if machine is None else {"machine": machine}))
        self._file.close()

    def _line(self, data: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(data, allow_nan=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def nearest_journal() -> Path:
    """Return the journal of the working folder, or of the nearest folder above it that has one."""
    here = Path.cwd()
    paths = (folder / JOURNAL for folder in (here, *here.parents))
    return next((path for path in paths if path.is_file()), JOURNAL)


def load_journal(path: Path) -> Run:
    """Read a journal; a last line that was cut off is left out.

    Raises `PipelineError` naming the first thing that is wrong with it.
    """
    *lines, rest = _read(path).split("\n")
    if not lines:
        raise _wrong(path, "a journal, but it has no whole line", "run pytest bench/ again")
    parsed = [_parse(path, line, number) for number, line in enumerate(lines, 1)]
    head, last = parsed[0], parsed[-1]
    if not isinstance(head, dict) or "machine" not in head:
        raise _wrong(path, "a journal that this harness has written", "run pytest bench/ again")
    _check_schema(path, head.get("schema"))
    with _first_wrong(path):
        entries = [
            read(Mapping[str, Any], entry, f"line {number}")
            for number, entry in enumerate(parsed, 1)
        ]
        rows = [
            Row.from_dict(entry["row"], f"line {number}, row")
            for number, entry in enumerate(entries, 1)
            if "row" in entry
        ]
        _check_rows(rows)
        return Run(
            machine=_machine(*_latest_machine(entries)),
            rows=tuple(rows),
            begun=read(str, head.get("begun", ""), "line 1, begun"),
            complete=last.get("ended") in ENDED and not rest,
        )


def _latest_machine(entries: list[Mapping[str, Any]]) -> tuple[Any, str]:
    """Return the last record of the machine, and its place."""
    number = max(number for number, entry in enumerate(entries, 1) if "machine" in entry)
    return entries[number - 1]["machine"], f"line {number}, machine"


def _measured(benchmarks: Iterable[_Benchmark]) -> Iterator[Row]:
    """Read the rows with a number; a benchmark that is not a cell of this harness is left out."""
    for number, benchmark in enumerate(benchmarks):
        if "cell" in benchmark.extra_info:
            place = f"benchmarks[{number}].extra_info.cell"
            row = Row.from_dict(benchmark.extra_info["cell"], place)
            yield replace(row, samples=benchmark.stats.data)


def _plain_rows(benchmarks: Iterable[_Benchmark]) -> Iterator[Row]:
    """Read the rows of pytest-benchmark alone."""
    for number, benchmark in enumerate(benchmarks):
        name = read(str, benchmark.fullname, f"benchmarks[{number}].fullname")
        if not benchmark.stats.data:
            raise ValueError(
                f"samples of {name} (--benchmark-save leaves them out: --benchmark-save-data)"
            )
        file, _, test = name.partition("::")
        cell = Cell(benchmark.group or file, {"test": test or name})
        yield Row(name, cell, MEASURED, samples=benchmark.stats.data)


def _plain_machine(data: Any) -> Mapping[str, Any]:
    """Return the records of a machine as far as pytest-benchmark has them, without its name."""
    info = read(Mapping[str, Any], data, "machine_info")
    cpu = read(Mapping[str, Any], info.get("cpu", {}), "machine_info.cpu")
    hardware = {
        "architecture": info.get("machine"),
        "cores": cpu.get("count"),
        "cpu": cpu.get("brand_raw"),
    }
    software = {
        "implementation": info.get("python_implementation"),
        "python": info.get("python_version"),
        "system": info.get("system"),
    }
    records = {"hardware": hardware, "software": software, "state": {}}
    return _machine(records, "machine_info")


def _machine(data: Any, place: str) -> Mapping[str, Any]:
    records: Mapping[str, Any] = read(Mapping[str, Mapping[str, Any]], data, place)
    try:
        summary(records)
        start_and_end(records)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"records of a machine at {place}") from error
    return records


def _check_rows(rows: list[Row]) -> None:
    names = set()
    for row in rows:
        if row.name in names:
            raise ValueError(f"each cell once, but {row.name} is there twice")
        if row.status == MEASURED and not row.samples:
            raise ValueError(f"samples of {row.name}, as --benchmark-json keeps them")
        names.add(row.name)


def _read(path: Path) -> str:
    try:
        if path.is_file() and path.stat().st_size > MAXIMUM_BYTES:
            raise _wrong(path, "at most 1 GB", "measure fewer cells into one file")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _wrong(path, "a text file", "pass what --benchmark-json wrote") from error
    except OSError as error:
        cause = error.strerror or str(error)
        raise _wrong(path, f"a file that can be read ({cause})", "check the path") from error


def _parse(path: Path, text: str, first_line: int = 1) -> Any:
    def refuse(constant: str) -> None:
        where = f"line {first_line + _line_of_constant(text)}"
        raise _wrong(path, f"finite numbers, not {constant} ({where})", AGAIN)

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        where = f"line {first_line + error.lineno - 1}, column {error.colno}"
        raise _wrong(
            path, f"whole JSON ({error.msg} at {where})", "it may be cut off: measure again"
        ) from error
    except RecursionError as error:
        raise _wrong(path, "JSON that is not nested this deep", AGAIN) from error
    except ValueError as error:  # sys.get_int_max_str_digits
        raise _wrong(path, "numbers of fewer than 4300 digits", AGAIN) from error


def _line_of_constant(text: str) -> int:
    """Count the lines before the first NaN or infinity that is not inside a string."""
    tokens = re.finditer(r'"(?:[^"\\]|\\.)*"|NaN|Infinity', text)
    first = next(token.start() for token in tokens if token[0][0] != '"')
    return text.count("\n", 0, first)


@contextmanager
def _first_wrong(path: Path) -> Iterator[None]:
    """Turn the first ValueError, which says what was expected and where, into one line."""
    try:
        yield
    except ValueError as error:
        raise _wrong(path, str(error), AGAIN) from error


def _check_schema(path: Path, schema: Any) -> None:
    if type(schema) is not int or schema < 1:
        raise _wrong(path, f"a schema version, not {schema!r:.40}", AGAIN)
    if schema > SCHEMA:
        raise _wrong(path, f"schema {SCHEMA} or older, not {schema!s:.20}", "update sd-flux-bench")


def _wrong(path: Path, expected: str, remedy: str) -> PipelineError:
    return PipelineError(str(path), expected, remedy)
