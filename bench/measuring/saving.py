"""What a run leaves on disk, its journal and its JSON: a failure to write stops no measurement.

`Signals` lets nobody stop a run between its last cell and its last file. `document` makes the JSON
of a run that has left a journal alone.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.measuring.internals import READ_AGAINST, statistics
from bench.results import record
from bench.results.cell import MEASURED, Cell, Row
from bench.results.journal import JOURNALS, Journal, begin
from bench.results.run import Run
from pipeline.errors import PipelineError

__all__ = ["Saving", "Signals", "document"]


class Saving:
    """Write the files of one run, and say once where one cannot be written."""

    def __init__(self, root: Path, target: Path | None, say: Callable[[str], None]) -> None:
        """Take the folder of journals, the file of `--benchmark-json`, and what prints a line."""
        self._root = root
        self._target = target
        self._say = say
        self._journal: Journal | None = None
        self.done = target is None
        """Whether writing the JSON is over."""
        self.written = False
        """Whether it is on disk."""
        self.failed = False
        """Whether a file that was asked for could not be written."""

    @property
    def journal(self) -> Path | None:
        """The journal, unless it could not be written."""
        return self._journal.path if self._journal is not None else None

    def begin(self, machine: Mapping[str, Any], cells: Mapping[str, Cell]) -> None:
        """Begin a journal, which says first which cells will follow."""
        try:
            self._journal = begin(self._root, machine)
        except OSError as error:
            self._give_up(error)
        self._to_journal(lambda journal: journal.plan(cells))

    def add(self, row: Row) -> None:
        """Write a row to the journal."""
        self._to_journal(lambda journal: journal.add(row))

    def note(self, machine: Mapping[str, Any]) -> None:
        """Write the machine's records to the journal, as they are by now."""
        self._to_journal(lambda journal: journal.note(machine))

    def end(self, status: int, machine: Mapping[str, Any]) -> None:
        """Write that the run has ended to the journal."""
        self._to_journal(lambda journal: journal.end(status, machine))

    def discard(self) -> None:
        """Remove the journal of a run that measures nothing: the one before is then the last."""
        if self._journal is not None:
            self._journal.close()
            self._journal.path.unlink(missing_ok=True)
            self._journal = None

    def write_json(self, document: Mapping[str, Any]) -> None:
        """Write the JSON, whole or not at all: an older file stays where the new one fails."""
        if self._target is None:
            return
        self.done = True
        try:
            record.write(self._target, document)
            self.written = True
        except PipelineError as error:
            self.fail(str(error))

    def failed_of(self, error: OSError) -> None:
        """Say that the plugin could not write a file of its own."""
        self.fail(str(error))

    def fail(self, reason: str) -> None:
        """Say that a file is missing that was asked for; the run then fails."""
        self.failed = True
        kept = "; the journal has its rows: python -m bench show --json" if self._journal else ""
        self._say(f"not saved: {reason}{kept}")

    def _to_journal(self, write: Callable[[Journal], None]) -> None:
        if self._journal is None:
            return
        try:
            write(self._journal)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        if self._journal is not None:
            self._journal.close()
        self._journal = None
        self._say(
            f"no journal: {JOURNALS} cannot be written ({error.strerror or error}), so a "
            "crash would lose this run's rows; measure in a folder that can be written"
        )


class Signals:
    """Ctrl-C and SIGTERM: both end the cells; the tables and files of a run come all the same."""

    def __init__(self) -> None:
        """Change nothing yet."""
        self._before: dict[int, Any] = {}
        self._cutting = False

    def end_alike(self) -> None:
        """Let SIGTERM end a run as Ctrl-C does."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.default_int_handler)

    def hold(self, stopped: Callable[[], None]) -> None:
        """Tell `stopped` of each from now on, and go on: what is left is a moment's work."""

        def stop(*_: Any) -> None:
            stopped()
            if self._cutting:
                self._cutting = False
                raise KeyboardInterrupt

        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is signal.default_int_handler:
                    self._before[number] = signal.signal(number, stop)

    @contextmanager
    def cutting_short(self) -> Iterator[None]:
        """Leave this block where one of them comes."""
        with suppress(KeyboardInterrupt):
            self._cutting = True
            yield
        self._cutting = False

    def give_back(self) -> None:
        """Let them end the process again."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


def document(run: Run) -> dict[str, Any]:
    """Return what `--benchmark-json` would have written of these rows."""
    hardware, software = (run.machine.get(name) or {} for name in ("hardware", "software"))
    output: dict[str, Any] = {
        "machine_info": {
            "machine": hardware.get("architecture"),
            "cpu": {"brand_raw": hardware.get("cpu"), "count": hardware.get("cores")},
            "python_implementation": software.get("implementation"),
            "python_version": software.get("python"),
            "system": software.get("system"),
        },
        "commit_info": dict(run.commit),
        "benchmarks": [_benchmark(row) for row in run.rows if row.status == MEASURED],
        "datetime": run.begun or datetime.now(UTC).isoformat(),
        "version": READ_AGAINST,
    }
    record.update(output, run.rows, run.machine)
    return output


def _benchmark(row: Row) -> dict[str, Any]:
    test = row.name.rpartition("::")[2]
    return {
        "group": row.cell.family,
        "name": test,
        "fullname": row.name,
        "params": dict(row.cell.axes),
        "param": test.partition("[")[2].removesuffix("]") or None,
        "extra_info": {"cell": row.as_dict() | {"samples": []}},
        "options": {},
        "stats": statistics(row.samples) | {"iterations": row.iterations},
    }
