"""One run of pytest: rows as they end, the journal, the JSON and the summary."""

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

import pytest

from bench.machine import records as machine
from bench.machine import watch
from bench.measuring import internals, memory, plain, workload
from bench.measuring.clock import Clock
from bench.measuring.live import Live, Progress
from bench.measuring.measure import DEFAULT_PRECISION, Measure
from bench.measuring.output import Patient
from bench.measuring.plain import cell_of
from bench.measuring.saving import Saving, Signals
from bench.results import record
from bench.results.cell import ESTIMATED, FAILED, MEASURED, OUT_OF_MEMORY, UNAVAILABLE, Cell, Row
from bench.statistics import stats
from pipeline import availability, needs
from pipeline.errors import Missing, PipelineError, UnavailableError
from pipeline.errors import plain as plain_text

__all__ = ["Session"]

UNUSED = "ignore:Benchmark fixture was not used:pytest_benchmark.logger.PytestBenchmarkWarning"
"""The row says it already. Other warnings of libraries are shown and fail no measurement."""

WORST = 1 + 1 / 3 + 1 + stats.MIN_ROUNDS
"""The most budgets that a cell can take: one for its first call, a third and one more call for its
pilot, and six rounds of up to a budget each."""

OF_THE_STOCK_TABLE = (
    "--benchmark-columns",
    "--benchmark-group-by",
    "--benchmark-histogram",
    "--benchmark-name",
    "--benchmark-sort",
)
"""Options that change nothing in the harness's own tables."""

OPTIONAL = {"cold": "cold starts", "bulk": "bulk runs"}
"""The families that run only with an option of their name: `--cold`, `--bulk`."""

Render = Callable[[list[Row], dict[str, Any], int, bool], str]
"""Makes text of rows and the machine's records, for a terminal's width, with or without color."""

_ROW = pytest.StashKey[Row]()
_ATTRIBUTE = "sd_flux_bench_row"
"""Carries a row on pytest's report, which crosses processes under xdist."""


class Session:
    """The hooks of one run; a worker of xdist measures nothing and sends its rows home."""

    def __init__(
        self, config: pytest.Config, required: list[str], render: Render, notes: Sequence[str] = ()
    ) -> None:
        """Take the needs that `--require` turns into failures, and what makes tables of rows.

        `notes` are lines to print before anything is measured.
        """
        self._config = config
        self._required = required
        self._render = render
        self._notes = notes
        self._rows: list[Row] = []
        self._saving = Saving(config.rootpath, config.option.benchmark_json, self._say)
        self._planned: dict[str, Cell] = {}
        self._used: list[tuple[str, str]] = []
        self._workload: dict[str, dict[str, float]] = {}
        self._unread: dict[str, str] = {}
        self._signals = Signals()
        self._at_work = not hasattr(config, "workerinput") and not config.option.collectonly
        self._output = Patient.instead_of_stdout() if self._at_work else None
        self._live = Live(sys.stdout, config.pluginmanager.get_plugin("capturemanager"))
        folder = Path.cwd() / record.JOURNAL.parent
        self._stray = None if folder.exists() or Path.cwd() == config.rootpath else folder

    # Before: what will run, how long it may take, and Julia before torch.

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Take the writing of JSON over from the plugin, and end on SIGTERM as on Ctrl-C."""
        if self._at_work:
            option = self._config.option
            hide_table = not option.stock_table
            saving = self._saving

            def regressed() -> None:
                if session.exitstatus == pytest.ExitCode.OK:
                    session.exitstatus = pytest.ExitCode.TESTS_FAILED

            internals.take_over(
                self._config, hide_table, saving.write_json, saving.failed_of, regressed
            )
            if getattr(option, "numprocesses", None):
                self._say("xdist is on: contracts are checked and nothing is timed; leave -n out")
            arguments = self._config.invocation_params.args
            typed = {str(argument).partition("=")[0] for argument in arguments}
            if names := [name for name in OF_THE_STOCK_TABLE if name in typed and hide_table]:
                self._say(f"{', '.join(names)}: of pytest-benchmark's own table; add --stock-table")
            for line in self._notes:
                self._say(line)
            self._signals.end_alike()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Give every cell the harness's clock, and its family as pytest-benchmark's group.

        Optional families are deselected without their option: they would double a run's time.
        """
        for family, plural in OPTIONAL.items():
            left_out = [item for item in items if (cell := cell_of(item)) and cell.family == family]
            if left_out and not getattr(self._config.option, family):
                items[:] = [item for item in items if item not in left_out]
                self._config.hook.pytest_deselected(items=left_out)
                if not items:
                    self._say(f"{len(left_out)} {plural} were left out: add --{family}")
        for item in items:
            cell = cell_of(item)
            if cell is not None and not plain.is_unchecked(item):
                marker = item.get_closest_marker("benchmark")
                typed = dict(marker.kwargs) if marker is not None else {}
                ours = pytest.mark.benchmark(**typed | {"group": cell.family, "timer": Clock()})
                item.add_marker(ours, append=False)
                item.add_marker(pytest.mark.filterwarnings("default", UNUSED))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Print how long it may take, and start Julia where a cell that will run needs it."""
        if self._config.option.collectonly:
            return
        cells = {
            item.nodeid: cell
            for item in session.items
            if (cell := cell_of(item)) and not _skipped(item)
        }
        option = self._config.option
        measuring = self._at_work and (option.benchmark_enable or not option.benchmark_disable)
        if cells and measuring:
            self._saving.begin(self._records(), cells)
        for cell in cells.values():
            _absent(cell)  # starts Julia, before torch is imported
        missing = {name: self._missing(cell) for name, cell in cells.items()}
        for absent in missing.values():
            if absent is not None and absent.need in self._required:
                self._saving.discard()
                pytest.exit(f"--require {absent.need}: {absent}", returncode=1)
        if not cells or not measuring:
            return
        self._planned = {name: cell for name, cell in cells.items() if missing[name] is None}
        running = list(self._planned.values())
        seconds = sum(map(self.budget, running))
        drawn = any(cell.family == "generate" for cell in running)
        self._say(
            f"{len(running)} of {len(cells)} cells can run here: about {ceil(seconds)} s, "
            f"at most {ceil(WORST * seconds)} s where calls are slow; plus model loading"
            + (" and judging pictures" if drawn else "")
        )
        self._live.progress = Progress((cell, self.budget(cell)) for cell in running)
        if running:  # after Julia has started, since this imports torch
            self._used = [(cell.device, cell.dtype) for cell in running if cell.dtype]
            self._workload["start"] = workload.measured(self._used, self._unread)
            self._saving.note(self._records())

    def budget(self, cell: Cell) -> float:
        """Return the seconds that a cell's pilot and rounds may take."""
        return cell.budget_factor * float(self._config.option.benchmark_max_time)

    # One cell: skip what is missing, measure, and turn what happened into a row.

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Show which cell begins; where there is no terminal, a line a family."""
        cell = self._planned.get(nodeid)
        if cell is not None:
            first = self._live.progress.begin(cell)
            if not self._live.say(f"{self._live.progress.text()} · {cell.id}") and first:
                self._say(f"{cell.family}: {self._live.progress.text()}")

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip a cell, with its row, where something that it needs is missing."""
        cell = cell_of(item)
        if cell is None or _skipped(item):
            return
        missing = self._missing(cell)
        if missing is not None:
            self._leave_out(item, cell, missing)

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
        """Skip a cell whose loading shows that something is missing; fail in one line.

        With `-v` an error of the pipeline keeps its traceback, and Julia's.
        """
        cell = cell_of(pyfuncitem)
        if cell is None:
            return (yield)
        try:
            with plain.watched(pyfuncitem):
                return (yield)
        except UnavailableError as error:
            missing = error.missing
        except PipelineError as error:
            if self._config.option.verbose > 0:
                raise
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        except Exception as error:
            if not memory.ran_out(error):
                raise
            row = plain.row_of(pyfuncitem, cell)
            reason = memory.reason(error, row.extra.get(ESTIMATED))
            row = Row(row.name, row.cell, OUT_OF_MEMORY, reason, memory.REMEDY, extra=row.extra)
            pyfuncitem.stash[_ROW] = row
            missing = None
        if missing is not None:  # outside the handlers, so that the skip has no traceback
            self._leave_out(pyfuncitem, plain.row_of(pyfuncitem, cell).cell, missing)
        memory.give_back()
        pytest.skip(f"out of memory: {row.reason}")

    def measure(self, item: pytest.Item, benchmark: Any) -> Measure:
        """Return what the `measure` fixture gives to the test of a cell."""
        cell = cell_of(item)
        marker = item.get_closest_marker("benchmark")
        assert cell is not None
        assert marker is not None  # since the test uses `measure`
        return Measure(
            benchmark,
            marker.kwargs["timer"],
            Row(item.nodeid, cell, FAILED),
            self.budget(cell),
            float(self._config.option.benchmark_precision or DEFAULT_PRECISION),
            self._live,
            partial(setattr, item.session, "shouldstop"),
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put the cell's row on the report of the phase that decided it."""
        report = yield
        cell = cell_of(item)
        if cell is None or call.when == "teardown" or _skipped(item):
            return report
        self._live.clear()
        row = item.stash.get(_ROW, None)
        if row is None and (report.failed or call.when == "call"):
            row = plain.ended(item, cell, report, call)
        if row is not None:
            setattr(report, _ATTRIBUTE, row.as_dict())
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a row, and write it to the disk before the next cell begins."""
        data = getattr(report, _ATTRIBUTE, None)
        if data is not None and self._at_work:
            row = Row.from_dict(data)
            self._rows.append(row)
            self._saving.add(row)

    # After: pytest-benchmark's JSON with what it does not know, and the tables.

    def pytest_benchmark_update_machine_info(self, machine_info: dict[str, Any]) -> None:
        """Remove what names a machine, and readings that change while it stays the same."""
        machine_info.pop("node", None)
        for key in ("hz_actual", "hz_actual_friendly"):
            machine_info.get("cpu", {}).pop(key, None)

    def pytest_benchmark_update_commit_info(self, commit_info: dict[str, Any]) -> None:
        """Remove the folder's name."""
        commit_info.pop("project", None)

    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        """Add the machine and the rows without a number."""
        record.update(output_json, self._rows, self._records())

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(
        self, session: pytest.Session, exitstatus: int
    ) -> Generator[None, None, None]:
        """Run the reference workload again, before the plugin makes its JSON; then finish."""
        complete = exitstatus in record.ENDED

        def stopped() -> None:
            session.exitstatus = pytest.ExitCode.INTERRUPTED

        if self._at_work:
            self._signals.hold(stopped)
        if self._workload and complete and any(row.status == MEASURED for row in self._rows):
            with self._signals.cutting_short():  # only the closing rates are then missing
                self._workload["end"] = workload.measured(self._used, self._unread)
        try:
            yield
        finally:
            self._write_where_the_plugin_has_nothing()
            self._saving.end(int(exitstatus), self._records())
            unwritten = self._saving.failed or not (self._output is None or self._output.end())
            if unwritten and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the tables, and where the numbers are."""
        if not self._rows:
            return
        terminalreporter.section("sd-flux-bench")
        width, color = get_terminal_size().columns, bool(terminalreporter.hasmarkup)
        table = self._render(self._rows, self._records(), width, color)
        terminalreporter.write_line(table)
        terminalreporter.write_line("")
        self._write_where_the_plugin_has_nothing()
        if self._saving.written:
            target = plain_text(str(self._config.option.benchmark_json))
            terminalreporter.write_line(f"results: {target}")
        for path in internals.compared(self._config):
            own = self._config.option.benchmark_json or self._saving.journal or "FILE"
            gate = internals.gate(self._config)
            line = plain_text(f"to compare: python -m bench compare {path} {own}{gate}")
            terminalreporter.write_line(line)
        journal, root = self._saving.journal, self._config.rootpath
        if journal is not None and not Path.cwd().is_relative_to(root):  # show looks upwards
            terminalreporter.write_line(f"to see this again: python -m bench show {journal}")

    def pytest_unconfigure(self) -> None:
        """Remove the empty folder that pytest-benchmark makes wherever pytest is started."""
        self._signals.give_back()
        if self._stray is not None:
            with suppress(OSError):
                self._stray.rmdir()
        if self._output is not None:
            self._output.step_back()

    def _write_where_the_plugin_has_nothing(self) -> None:
        if self._rows and not self._saving.done:
            self._saving.write_json(self._document())

    def _document(self) -> dict[str, Any]:
        hook, config = self._config.hook, self._config
        machine_info = hook.pytest_benchmark_generate_machine_info(config=config)
        hook.pytest_benchmark_update_machine_info(config=config, machine_info=machine_info)
        commit_info = hook.pytest_benchmark_generate_commit_info(config=config)
        hook.pytest_benchmark_update_commit_info(config=config, commit_info=commit_info)
        document: dict[str, Any] = hook.pytest_benchmark_generate_json(
            config=config,
            benchmarks=[],
            include_data=True,
            machine_info=machine_info,
            commit_info=commit_info,
        )
        hook.pytest_benchmark_update_json(config=config, benchmarks=[], output_json=document)
        return document

    def _records(self) -> dict[str, Any]:
        """Return the machine's records as they are now."""
        guards = watch.unread() | self._unread
        return {**machine.records(), "guards": guards, "workload": dict(self._workload)}

    def _missing(self, cell: Cell) -> Missing | None:
        """Return as `_absent`, then what torch says of CUDA; Julia must have started before."""
        missing = _absent(cell)
        if missing is None and "cuda" in cell.needs and "julia" not in cell.needs:
            missing = availability.torch_cuda()
        chosen = cell.family == "generate" and self._config.getoption("--sd-model", "")
        if missing is not None and missing.need == "cuda" and chosen and cell.device == "cuda":
            return replace(missing, remedy=f"add --sd-device cpu, or {missing.remedy}")
        return missing

    def _leave_out(self, item: pytest.Item, cell: Cell, missing: Missing) -> None:
        item.stash[_ROW] = Row(item.nodeid, cell, UNAVAILABLE, missing.reason, missing.remedy)
        if missing.need in self._required:  # weights, of which only loading knows
            pytest.fail(f"--require {missing.need}: {missing}", pytrace=False)
        pytest.skip(str(missing))

    def _say(self, line: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            writer = self._config.get_terminal_writer()
            if writer.width_of_current_line:  # behind the dots of -q
                writer.line()
            reporter.write_line(line)
        else:
            sys.stderr.write(f"{line}\n")


def _absent(cell: Cell) -> Missing | None:
    """Return the first of the cell's needs that is missing, or None; torch is not asked."""
    answers = (needs.NEEDS[need]() for need in cell.needs)
    return next((missing for missing in answers if missing is not None), None)


def _skipped(item: pytest.Item) -> bool:
    return item.get_closest_marker("skip") is not None
