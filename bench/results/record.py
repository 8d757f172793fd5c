"""The record of a run in pytest-benchmark's JSON, written and read."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.results.cell import MEASURED, Cell, Row
from bench.results.journal import JOURNAL, Journal, load_journal, nearest_journal
from bench.results.reading import Number, read
from bench.results.run import (
    ENDED,
    SCHEMA,
    Run,
    check_schema,
    first_wrong,
    machine_of,
    parsed,
    text_of,
    wrong,
)
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

KEY = "sd_flux_bench"


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
    """Write a JSON file that is whole or absent; NaN and infinities raise ValueError.

    Parameters of tests that JSON does not know are written as pytest-benchmark writes them.
    """
    text = json.dumps(document, indent=4, allow_nan=False, default="UNSERIALIZABLE[{!r}]".format)
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
    document = parsed(path, text_of(path))
    if not isinstance(document, dict) or not isinstance(document.get("benchmarks"), list):
        raise wrong(path, "a result file of pytest-benchmark", "pass what --benchmark-json wrote")
    ours = document.get(KEY)
    plain = plain and KEY not in document
    if plain:
        ours = {"schema": SCHEMA, "rows": []}
    elif not isinstance(ours, dict):
        raise wrong(
            path, f"a result file of this harness (no {KEY!r} in it)", "measure with pytest bench/"
        )
    check_schema(path, ours.get("schema"))
    with first_wrong(path):
        benchmarks = read(tuple[_Benchmark, ...], document["benchmarks"], "benchmarks")
        rows = list((_plain_rows if plain else _measured)(benchmarks))
        place = f"{KEY}.rows"
        others = read(list, ours.get("rows"), place)
        rows += [Row.from_dict(row, f"{place}[{number}]") for number, row in enumerate(others)]
        _check_rows(rows)
        info = document.get("machine_info", {})
        return Run(
            _plain_machine(info) if plain else machine_of(ours.get("machine"), f"{KEY}.machine"),
            tuple(rows),
            begun=read(str, document.get("datetime", ""), "datetime"),
            commit=read(Mapping[str, Any], document.get("commit_info", {}), "commit_info"),
        )


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
    return machine_of(records, "machine_info")


def _check_rows(rows: list[Row]) -> None:
    names = set()
    for row in rows:
        if row.name in names:
            raise ValueError(f"each cell once, but {row.name} is there twice")
        row.check_samples()
        names.add(row.name)
