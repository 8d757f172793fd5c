"""One run of pytest: rows as they end, the journal, the JSON and the summary."""

import sys
from collections.abc import Generator
from dataclasses import replace
from math import ceil
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

import pytest

from bench.machine import records as machine
from bench.machine import watch
from bench.measuring import costs, memory, workload
from bench.measuring.clock import Clock
from bench.measuring.live import Live
from bench.measuring.measure import DEFAULT_PRECISION, Measure
from bench.reporting import tables
from bench.results import record
from bench.results.cell import FAILED, MEASURED, OUT_OF_MEMORY, UNAVAILABLE, Cell, Row
from bench.statistics import stats
from pipeline import availability
from pipeline.errors import Missing, PipelineError, UnavailableError

__all__ = ["Session"]

LONGEST = 300
"""Characters of a reason; a Julia error can be screens long."""

UNUSED = "ignore:Benchmark fixture was not used:pytest_benchmark.logger.PytestBenchmarkWarning"
"""A library's warning must not fail a measurement: it is shown. This one is said by the row."""

WORST = 1 + 1 / 3 + 1 + stats.MIN_ROUNDS
"""Budgets that a cell can take: a first call and a call of its pilot just under the budget, the
pilot's own third, and the six rounds that are the least."""

COLD = "cold"
"""The family that runs with `--cold` alone."""

_ROW = pytest.StashKey[Row]()
_ATTRIBUTE = "sd_flux_bench_row"
"""Carries a row on pytest's report, which crosses processes under xdist."""


class Session:
    """The hooks of one run; a worker of xdist measures nothing and sends its rows home."""

    def __init__(self, config: pytest.Config, required: list[str]) -> None:
        """Take the names that `--require` turns from unavailable into failures."""
        self._config = config
        self._required = required
        self._rows: list[Row] = []
        self._journal: record.Journal | None = None
        self._saved = False
        self._used: list[tuple[str, str]] = []
        self._workload: dict[str, dict[str, float]] = {}
        self._live = Live(sys.stdout, config.pluginmanager.get_plugin("capturemanager"))
        self._at_work = not hasattr(config, "workerinput") and not config.option.collectonly

    # Before: what will run, how long it may take, and Julia before torch.

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Give every cell the harness's clock, and its family as pytest-benchmark's group.

        Cold starts are deselected without `--cold`: they would double the time of a run.
        """
        if not self._config.option.cold:
            left_out = [item for item in items if (cell := _cell(item)) and cell.family == COLD]
            items[:] = [item for item in items if item not in left_out]
            if left_out:
                self._config.hook.pytest_deselected(items=left_out)
            if left_out and not items:
                self._say(f"{len(left_out)} cold starts were left out: add --cold")
        for item in items:
            cell = _cell(item)
            if cell is not None:
                item.add_marker(pytest.mark.benchmark(group=cell.family, timer=Clock()))
                item.add_marker(pytest.mark.filterwarnings("default", UNUSED))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Say the upper bound of the time, and start Julia where a cell that will run needs it."""
        if self._config.option.collectonly:
            return
        cells = [cell for item in session.items if (cell := _cell(item)) and not _skipped(item)]
        if not cells:
            return
        running = [cell for cell in cells if _missing(cell) is None]
        option = self._config.option
        if self._at_work and (option.benchmark_enable or not option.benchmark_disable):
            seconds = sum(self.budget(cell) for cell in running)
            self._say(
                f"{len(running)} of {len(cells)} cells can run here: about {ceil(seconds)} s, "
                f"at most {ceil(WORST * seconds)} s where calls are slow; loading apart"
            )
            if running:  # after Julia has started: this imports torch
                self._used = [(cell.device, cell.dtype) for cell in running if cell.dtype]
                self._workload["start"] = workload.measured(self._used)
            self._journal = record.Journal(self._config.rootpath / record.JOURNAL, self._records())

    def budget(self, cell: Cell) -> float:
        """Return the seconds that a cell's pilot and rounds may take."""
        return cell.budget_factor * float(self._config.option.benchmark_max_time)

    # One cell: skip what is missing, measure, and turn what happened into a row.

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip a cell, with its row, where something that it needs is missing."""
        cell = _cell(item)
        if cell is None or _skipped(item):
            return
        absent = _missing(cell)
        if absent is not None:
            self._leave_out(item, cell, absent)

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
        """Skip a cell that finds out while loading that something is missing; tell in one line.

        With `-v` an error of the pipeline keeps its traceback, and Julia's.
        """
        cell = _cell(pyfuncitem)
        if cell is None:
            return (yield)
        try:
            return (yield)
        except UnavailableError as error:
            absent = error.missing
        except PipelineError as error:
            if self._config.option.verbose > 0:
                raise
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        except Exception as error:
            if not memory.ran_out(error):
                raise
            measure = pyfuncitem.funcargs.get("measure")
            extra = measure.row.extra if isinstance(measure, Measure) else {}
            reason = memory.gist(error, extra.get(costs.ESTIMATED))
            row = Row(pyfuncitem.nodeid, cell, OUT_OF_MEMORY, reason, memory.REMEDY, extra=extra)
            pyfuncitem.stash[_ROW] = row
            absent = None
        if absent is not None:
            self._leave_out(pyfuncitem, cell, absent)
        memory.give_back()
        pytest.skip(f"out of memory: {row.reason}")

    def measure(self, item: pytest.Item, benchmark: Any) -> Measure:
        """Return what the `measure` fixture gives to the test of a cell."""
        cell = _cell(item)
        marker = item.get_closest_marker("benchmark")
        if cell is None or marker is None:
            raise PipelineError(
                item.name, "a parameter called cell", "parametrize the test with it"
            )
        return Measure(
            benchmark,
            marker.kwargs["timer"],
            Row(item.nodeid, cell, FAILED),
            self.budget(cell),
            float(self._config.option.benchmark_precision or DEFAULT_PRECISION),
            self._live.show,
            self._live.say,
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put the cell's row on the report of the phase that decided it."""
        report = yield
        cell = _cell(item)
        if cell is None or call.when == "teardown" or _skipped(item):
            return report
        self._live.clear()
        row = item.stash.get(_ROW, None)
        if row is None and (report.failed or call.when == "call"):
            measure = getattr(item, "funcargs", {}).get("measure")
            row = measure.row if measure else Row(item.nodeid, cell, FAILED)
            if measure and report.failed:
                measure.withdraw()
            if report.failed and not (row.status == FAILED and row.reason):
                row = _fault(item, cell, call)
        if row is not None:
            setattr(report, _ATTRIBUTE, row.as_dict())
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a row, and have it on disk before the next cell begins."""
        data = getattr(report, _ATTRIBUTE, None)
        if data is not None and self._at_work:
            row = Row.from_dict(data)
            self._rows.append(row)
            if self._journal is not None:
                self._journal.add(row)

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
        self._saved = True
        record.update(output_json, self._rows, self._records())

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, exitstatus: int) -> Generator[None, None, None]:
        """Run the reference workload again, before the plugin writes its JSON; then finish."""
        complete = exitstatus in record.ENDED
        if self._workload and complete and any(row.status == MEASURED for row in self._rows):
            self._workload["end"] = workload.measured(self._used)
        try:
            yield
        finally:
            self._finish(exitstatus)

    def _finish(self, exitstatus: int) -> None:
        """Close the journal; write the JSON where the plugin has nothing to write."""
        if self._journal is not None:
            self._journal.end(int(exitstatus), self._records())
        path = self._config.option.benchmark_json
        if path is not None and self._rows and not self._saved:
            record.write(Path(path), self._document())

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the tables, and where the numbers are."""
        if not self._rows:
            return
        terminalreporter.section("sd-flux-bench")
        width = get_terminal_size().columns
        color = bool(terminalreporter.hasmarkup)
        terminalreporter.write_line(tables.render(self._rows, self._records(), width, color))
        terminalreporter.write_line("")
        if self._config.option.benchmark_json is not None:
            terminalreporter.write_line(f"results: {self._config.option.benchmark_json}")

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
        """Return what is known of the machine by now."""
        return {**machine.records(), "guards": watch.unread(), "workload": dict(self._workload)}

    def _leave_out(self, item: pytest.Item, cell: Cell, absent: Missing) -> None:
        row = Row(item.nodeid, cell, UNAVAILABLE, reason=absent.reason, remedy=absent.remedy)
        item.stash[_ROW] = row
        if absent.need in self._required:
            pytest.fail(f"--require {absent.need}: {absent}", pytrace=False)
        pytest.skip(str(absent))

    def _say(self, line: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(line)
        else:
            sys.stderr.write(f"{line}\n")


def _cell(item: pytest.Item) -> Cell | None:
    """Return the cell of a test that was parametrized with one, under the name `cell`."""
    callspec = getattr(item, "callspec", None)
    cell = callspec.params.get("cell") if callspec is not None else None
    return cell if isinstance(cell, Cell) else None


def _missing(cell: Cell) -> Missing | None:
    """Ask for what the cell needs, in its order, until something is missing."""
    answers = (availability.NEEDS[need]() for need in cell.needs)
    return next((absent for absent in answers if absent is not None), None)


def _skipped(item: pytest.Item) -> bool:
    return item.get_closest_marker("skip") is not None


def _fault(item: pytest.Item, cell: Cell, call: pytest.CallInfo[None]) -> Row:
    """Return the row of a cell that raised: an error of the pipeline holds its own remedy."""
    row = Row(item.nodeid, cell, FAILED, reason="it failed", remedy="read its traceback")
    if call.excinfo is None:
        return row
    error = call.excinfo.value
    told = isinstance(error, PipelineError | pytest.fail.Exception)
    text = " ".join((str(error) if told else call.excinfo.exconly()).split())
    reason = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return replace(row, reason=reason, remedy="" if told else row.remedy)
