"""One node's run as the driver knows it: what was planned, which rows are on disk, how it ended."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

from bench.fleet.cluster import Node
from bench.machine.records import hardware_key
from bench.results import record
from bench.results.cell import FAILED, Row
from bench.results.record import ENDED, Run
from pipeline.errors import plain

__all__ = ["AGAIN", "Place", "claimed"]

AGAIN = "run the fleet again, or these cells on that node by hand"

CHANGE = "change what follows --"

USAGE, NOTHING = 4, 5
"""pytest's exit codes for a wrong word, and where no test was selected."""


@dataclass
class Place:
    """A node that measures, and the file that its rows go to as they end."""

    node: Node
    name: str
    """Its hardware and a number; the name of its files."""
    journal: Path
    submitted: float = field(default_factory=monotonic)
    begun: float | None = None
    """When it was taken, by this process's clock; None while it is waited for."""
    planned: list[dict[str, Any]] = field(default_factory=list)
    """Name and cell of each row, in the order of measuring."""
    done: int = 0
    seconds: float = 0.0
    """How long its run took, from its beginning to its end."""
    fault: str = ""
    """Why it did not end as it should; empty where it did, or goes on."""
    remedy: str = ""
    code: int | None = None
    """pytest's exit code."""
    result: str | None = None
    """The JSON that pytest wrote."""

    @property
    def cell(self) -> str:
        """Return the id of the cell that runs now; empty where none is known."""
        if self.done >= len(self.planned):
            return ""
        return str(self.planned[self.done]["name"]).partition("[")[2].removesuffix("]")

    def begin(self) -> None:
        """Note that the node is taken."""
        self.begun = monotonic()

    def add(self, lines: str) -> None:
        """Write whole lines of the node's journal to the disk, and count its rows."""
        with self.journal.open("ab", buffering=0) as file:
            file.write(lines.encode())
            os.fsync(file.fileno())
        for line in lines.splitlines():
            entry = json.loads(line)
            self.planned = entry.get("planned", self.planned)
            self.done += "row" in entry

    def end(self, code: int, result: str | None, error: str) -> None:
        """Note how pytest ended."""
        self.code, self.result = code, result
        if code == NOTHING or (code == 0 and result is None):
            self.fail("no cell was selected to be measured", CHANGE)
        elif code not in ENDED or result is None:
            remedy = CHANGE if code == USAGE else AGAIN
            self.fail(f"pytest ended with exit code {code}: {plain(error)}", remedy)

    def fail(self, fault: str, remedy: str = AGAIN) -> None:
        """Note why the run did not end as it should, and what helps; the first cause stays."""
        if not self.fault:
            self.fault, self.remedy = fault, remedy

    def close(self, commit: Mapping[str, Any]) -> Path | None:
        """Write the JSON, in which cells that did not end are rows with the reason.

        The journal is then removed. Returns None, and leaves no file, where no cell was planned.
        """
        target = self.journal.with_suffix(".json")
        if self.result is not None and not self.fault:
            document = json.loads(self.result)
        elif self.planned:
            from bench.measuring import saving  # imports pytest

            run = record.load_journal(self.journal)
            document = saving.document(replace(run, rows=(*run.rows, *self._missing(run))))
        else:
            self.journal.unlink(missing_ok=True)
            return None
        document["commit_info"] = dict(commit)
        record.write(target, document)
        self.journal.unlink(missing_ok=True)
        return target

    def _missing(self, run: Run) -> list[Row]:
        ended = {row.name for row in run.rows}
        return [
            Row.from_dict(planned | {"status": FAILED, "reason": self.fault, "remedy": self.remedy})
            for planned in self.planned
            if planned["name"] not in ended
        ]


def claimed(node: Node, hardware: Mapping[str, Any], out: Path) -> Place:
    """Return a node's place, with the first number in `out` that no file of its hardware has."""
    key = hardware_key(hardware)
    number = 1
    while True:
        journal = out / f"{key}-{number}.jsonl"
        if not journal.with_suffix(".json").exists():
            try:
                journal.open("xb").close()
                return Place(node, journal.stem, journal)
            except FileExistsError:
                pass
        number += 1
