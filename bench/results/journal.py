"""The journal: a line a row, on disk before the next cell begins; one file for each run."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bench.results.cell import UNAVAILABLE, Cell, Row
from bench.results.reading import read
from bench.results.run import (
    ENDED,
    SCHEMA,
    Run,
    bytes_of,
    check_schema,
    first_wrong,
    machine_of,
    wrong,
)

__all__ = ["JOURNAL", "JOURNALS", "KEPT", "Journal", "begin", "load_journal", "nearest_journal"]

JOURNAL = Path(".benchmarks") / "journal.jsonl"
"""A symbolic link to the journal of the run that began last."""

JOURNALS = Path(".benchmarks") / "journals"

KEPT = 20
"""Journals that are kept, the newest."""

CHECKOUT = Path(__file__).resolve().parents[2]


class Journal:
    """What a run has ended so far."""

    def __init__(self, path: Path, machine: Mapping[str, Any]) -> None:
        """Begin a new file; raises OSError where it cannot be made, or is there already."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("xb", buffering=0)  # nothing is left to write when a disk is full
        begun = datetime.now(UTC).isoformat()
        try:
            self._line({"schema": SCHEMA, "begun": begun, "machine": machine})
        except OSError:
            self.close()
            path.unlink(missing_ok=True)
            raise

    def add(self, row: Row) -> None:
        """Append one row and flush it to the disk."""
        self._line({"row": row.as_dict()})

    def plan(self, cells: Mapping[str, Cell]) -> None:
        """Append which cells will follow, by name, in their order."""
        rows = (Row(name, cell, UNAVAILABLE).as_dict() for name, cell in cells.items())
        self._line({"planned": [{"name": row["name"], "cell": row["cell"]} for row in rows]})

    def note(self, machine: Mapping[str, Any]) -> None:
        """Append the machine's records as they are by now."""
        self._line({"machine": machine})

    def end(self, exit_status: int, machine: Mapping[str, Any] | None = None) -> None:
        """Write that the run came to its end, and close the file.

        `machine` are the records as they are now: at the beginning torch had not been imported.
        """
        self._line({"ended": exit_status} | ({} if machine is None else {"machine": machine}))
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _line(self, data: Mapping[str, Any]) -> None:
        rest = json.dumps(data, allow_nan=False).encode() + b"\n"
        while rest:
            rest = rest[self._file.write(rest) :]
        os.fsync(self._file.fileno())


def begin(root: Path, machine: Mapping[str, Any]) -> Journal:
    """Begin a run's journal under `root`, and let `JOURNAL` point to it; raises OSError.

    Journals of other runs, also of one that goes on now, are left alone but for the oldest.
    """
    folder = root / JOURNALS
    journal = Journal(folder / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S.%f}.jsonl", machine)
    with suppress(OSError):  # no links here, or a folder in its place: the newest is found by name
        link = root / JOURNAL.with_name(f".{journal.path.name}")
        link.symlink_to(Path(JOURNALS.name) / journal.path.name)
        try:
            os.replace(link, root / JOURNAL)
        finally:
            link.unlink(missing_ok=True)
    with suppress(OSError):
        for path in _by_age(folder)[:-KEPT]:
            path.unlink()
    return journal


def nearest_journal() -> Path:
    """Return the last journal of this folder, of the nearest above it, or of the checkout."""
    here = Path.cwd()
    for folder in (here, *here.parents, CHECKOUT):
        if (folder / JOURNAL).is_file():
            return folder / JOURNAL
        if journals := _by_age(folder / JOURNALS):
            return journals[-1]
    return JOURNAL


def load_journal(path: Path) -> Run:
    """Read a journal; lines that are damaged, or cut off at the end, are left out.

    Raises `PipelineError` where the first line is not that of a journal.
    """
    *lines, rest = bytes_of(path).split(b"\n")
    if not lines:
        raise wrong(path, "a journal, but it has no whole line", "no cell had begun; measure again")
    head = _entry(lines[0])
    if not isinstance(head, dict) or "machine" not in head:
        raise wrong(path, "a journal that this harness has written", "run pytest bench/ again")
    check_schema(path, head.get("schema"))
    with first_wrong(path):
        begun = read(str, head.get("begun", ""), "line 1, begun")
        machine = machine_of(head["machine"], "line 1, machine")
    rows: dict[str, Row] = {}
    skipped, ended = 0, None
    for number, line in enumerate(lines[1:], 2):
        try:
            entry = read(Mapping[str, Any], _entry(line), f"line {number}")
            if "machine" in entry:
                machine = machine_of(entry["machine"], "machine")
            if "row" in entry:
                row = Row.from_dict(entry["row"])
                row.check_samples()
                if row.name in rows:
                    raise ValueError("each cell once")
                rows[row.name] = row
            ended = entry.get("ended")
        except ValueError:
            skipped += 1
    complete = ended in ENDED and not rest
    return Run(machine, tuple(rows.values()), begun, complete=complete, skipped=skipped)


def _entry(line: bytes) -> Any:
    """Return the JSON of one line, or None where it is none, such as NaN or not UTF-8."""
    try:
        return msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return None


def _by_age(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.jsonl") if path.is_file())
