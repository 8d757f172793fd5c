"""The record: what a run leaves behind, in pytest-benchmark's JSON and in a journal."""

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.harness.cell import MEASURED, Row
from pipeline.errors import PipelineError
from pipeline.files import writing

__all__ = ["JOURNAL", "SCHEMA", "Journal", "Run", "load", "load_journal", "update", "write"]

SCHEMA = 1
"""Version of everything that is written here; a file of a newer one is refused."""

KEY = "sd_flux_bench"
JOURNAL = Path(".benchmarks") / "journal.jsonl"
MAXIMUM_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Run:
    """One run as it was recorded."""

    machine: Mapping[str, Any]
    """The records `hardware`, `software` and `state`."""
    rows: tuple[Row, ...]
    """Every cell's row, in the order in which they ended; from a file, measured ones first."""
    begun: str = ""
    """When, as ISO 8601."""
    commit: Mapping[str, Any] = field(default_factory=dict)
    """What pytest-benchmark says of the commit."""
    complete: bool = True
    """False where the run was cut short."""


def update(output: dict[str, Any], rows: Iterable[Row], machine: Mapping[str, Any]) -> None:
    """Add to pytest-benchmark's JSON, in place, what it does not know: machine and other rows.

    Rows without a number stay out of `benchmarks`: one entry there without `stats` makes
    `pytest-benchmark compare` drop the whole file. The plugin publishes the timing of a test that
    failed after it; here that entry is withdrawn.
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


def load(path: Path) -> Run:
    """Read a result file of pytest-benchmark that this harness has written.

    Raises `PipelineError` naming the first thing that is wrong with it.
    """
    document = _parse(path, _read(path))
    if not isinstance(document, dict) or not isinstance(document.get("benchmarks"), list):
        raise _wrong(path, "a result file of pytest-benchmark", "pass what --benchmark-json wrote")
    ours = document.get(KEY)
    if not isinstance(ours, dict):
        raise _wrong(
            path, f"a result file of this harness (no {KEY!r} in it)", "measure with pytest bench/"
        )
    _check_schema(path, ours.get("schema"))
    rows = []
    for number, entry in enumerate(document["benchmarks"]):
        cell = entry.get("extra_info", {}).get("cell")
        if cell is not None:
            samples = entry.get("stats", {}).get("data", [])
            rows.append(_row(path, f"benchmarks[{number}]", cell | {"samples": samples}))
    for number, other in enumerate(ours.get("rows", [])):
        rows.append(_row(path, f"{KEY}.rows[{number}]", other))
    _check_unique(path, rows)
    return Run(
        machine=ours.get("machine", {}),
        rows=tuple(rows),
        begun=document.get("datetime", ""),
        commit=document.get("commit_info", {}),
    )


class Journal:
    """The durable copy of a run: one line a finished row, on disk before the next cell begins."""

    def __init__(self, path: Path, machine: Mapping[str, Any]) -> None:
        """Begin anew: the journal of the run before is replaced."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")
        begun = datetime.now(UTC).isoformat()
        self._line({"schema": SCHEMA, "begun": begun, "machine": machine})

    def add(self, row: Row) -> None:
        """Append one row and flush it to the disk."""
        self._line({"row": row.as_dict()})

    def end(self, exit_status: int) -> None:
        """Note that the run came to its end, and close the file."""
        self._line({"ended": exit_status})
        self._file.close()

    def _line(self, data: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(data, allow_nan=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def load_journal(path: Path) -> Run:
    """Read a journal; a last line that was cut off is left out.

    Raises `PipelineError` naming the first thing that is wrong with it.
    """
    lines = _read(path).split("\n")
    whole, rest = lines[:-1], lines[-1]
    if not whole:
        raise _wrong(path, "a journal, but it has no whole line", "run pytest bench/ again")
    parsed = [_parse(path, line) for line in whole]
    head = parsed[0]
    if not isinstance(head, dict) or "machine" not in head:
        raise _wrong(path, "a journal that this harness has written", "run pytest bench/ again")
    _check_schema(path, head.get("schema"))
    rows = [
        _row(path, f"line {number}", line["row"])
        for number, line in enumerate(parsed, 1)
        if "row" in line
    ]
    _check_unique(path, rows)
    ended = "ended" in parsed[-1] and parsed[-1]["ended"] in (0, 1) and not rest
    return Run(head["machine"], tuple(rows), head.get("begun", ""), complete=ended)


def _row(path: Path, place: str, data: Any) -> Row:
    try:
        row = Row.from_dict(data)
        finite = all(math.isfinite(sample) and sample >= 0 for sample in row.samples)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _wrong(path, f"a whole row at {place} ({error!r})", "measure again") from error
    if not finite:
        raise _wrong(path, f"finite samples at {place}", "measure again")
    if row.status == MEASURED and not row.samples:
        raise _wrong(path, f"samples at {place}", "measure again")
    return replace(row, samples=tuple(float(sample) for sample in row.samples))


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


def _parse(path: Path, text: str) -> Any:
    def refuse(constant: str) -> None:
        raise _wrong(path, f"finite numbers, not {constant}", "measure again")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _wrong(
            path, f"whole JSON ({error.msg} at {where})", "it may be cut off: measure again"
        ) from error
    except RecursionError as error:
        raise _wrong(path, "JSON that is not nested this deep", "measure again") from error


def _check_schema(path: Path, schema: Any) -> None:
    if not isinstance(schema, int) or schema < 1:
        raise _wrong(path, f"a schema version, not {schema!r}", "measure again")
    if schema > SCHEMA:
        raise _wrong(path, f"schema {SCHEMA} or older, not {schema}", "update sd-flux-bench")


def _check_unique(path: Path, rows: list[Row]) -> None:
    seen = set()
    for row in rows:
        if row.name in seen:
            raise _wrong(path, f"each cell once, but {row.name} is there twice", "measure again")
        seen.add(row.name)


def _wrong(path: Path, expected: str, remedy: str) -> PipelineError:
    return PipelineError(str(path), expected, remedy)
