"""The cell of a test and the row of one that has ended, plain tests of any repository included."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from bench.machine import watch
from bench.measuring import internals
from bench.measuring.measure import Measure
from bench.results.cell import FAILED, MEASURED, UNAVAILABLE, Axis, Cell, Row
from pipeline.errors import PipelineError

__all__ = ["OTHER", "cell_of", "ended", "is_unchecked", "row_of", "watched"]

OTHER = "other"
"""The family of tests that use pytest-benchmark's own fixture."""

LONGEST = 40
"""Characters of a parameter's value that is an axis; of a longer one pytest's id is."""

LONGEST_REASON = 300
"""Characters of a reason; a Julia error can be screens long."""

_READINGS = pytest.StashKey[watch.Readings]()


def cell_of(item: pytest.Item) -> Cell | None:
    """Return the cell of a test: its parameter `cell`, else one that is made of its name.

    None for a test that measures nothing. One that uses `measure` is of the family that its group,
    else its file, names; one that uses pytest-benchmark's fixture alone is of the family `other`.
    """
    cell = _parameters(item).get("cell")
    if isinstance(cell, Cell):
        return cell
    fixtures = getattr(item, "fixturenames", ())
    if "measure" in fixtures:
        marker = item.get_closest_marker("benchmark")
        group = marker.kwargs.get("group") if marker is not None else None
        return Cell(str(group or item.nodeid.partition("::")[0]), _axes(item))
    return Cell(OTHER, _axes(item)) if "benchmark" in fixtures else None


def is_unchecked(item: pytest.Item) -> bool:
    """Say whether a test uses pytest-benchmark's own fixture alone."""
    fixtures = getattr(item, "fixturenames", ())
    return "benchmark" in fixtures and "measure" not in fixtures


@contextmanager
def watched(item: pytest.Item) -> Iterator[None]:
    """Watch the machine while a test uses pytest-benchmark's own fixture, for its row."""
    if not is_unchecked(item):
        yield
        return
    with watch.Watch("cpu") as watching:
        watching.look(0)
        yield
        item.stash[_READINGS] = watching.end(1)


def row_of(item: pytest.Item, cell: Cell) -> Row:
    """Return the row that a test has so far: that of its `measure`, where it has one."""
    measure = getattr(item, "funcargs", {}).get("measure")
    return measure.row if isinstance(measure, Measure) else Row(item.nodeid, cell, FAILED)


def ended(
    item: pytest.Item, cell: Cell, report: pytest.TestReport, call: pytest.CallInfo[None]
) -> Row | None:
    """Return the row of a test that has ended; None for one that measured nothing."""
    measure = getattr(item, "funcargs", {}).get("measure")
    if isinstance(measure, Measure) and report.failed:
        measure.withdraw()
    if is_unchecked(item) and not report.failed:
        return _unchecked(item, cell) if report.passed else None
    row = row_of(item, cell)
    if row.status == FAILED and row.reason and not report.passed:
        return row
    if report.failed:
        return _fault(row, call)
    if row.status != FAILED:
        return row
    if report.skipped:
        reason = str(call.excinfo.value) if call.excinfo is not None else ""
        return replace(row, status=UNAVAILABLE, reason=_shortened(reason))
    return replace(row, reason="the test has not called measure", remedy="measure(call)")


def _unchecked(item: pytest.Item, cell: Cell) -> Row | None:
    """Return the row of what pytest-benchmark's fixture measured; its JSON gets it too."""
    benchmark = getattr(item, "funcargs", {}).get("benchmark")
    if benchmark is None or benchmark.stats is None or not internals.samples(benchmark):
        return None
    readings = item.stash.get(_READINGS, None)
    row = Row(
        item.nodeid,
        cell,
        MEASURED,
        samples=tuple(internals.samples(benchmark)),
        iterations=internals.iterations(benchmark),
        unchecked=True,
        extra=readings.extra if readings else {},
        guards=readings.guards if readings else {},
    )
    benchmark.extra_info["cell"] = row.as_dict() | {"samples": []}
    return row


def _fault(row: Row, call: pytest.CallInfo[None]) -> Row:
    """Return the row of a cell that raised: an error of the pipeline holds its own remedy."""
    text, remedy = "it failed", "read its traceback"
    if call.excinfo is not None:
        text = call.excinfo.exconly()
        if isinstance(call.excinfo.value, PipelineError | pytest.fail.Exception):
            text, remedy = str(call.excinfo.value), ""
    return Row(row.name, row.cell, FAILED, _shortened(text), remedy)


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 1]}…"


def _axes(item: pytest.Item) -> dict[str, Axis]:
    """Return the name of a test, and its parameters where each can be an axis."""
    name = item.nodeid.partition("::")[2] or item.name
    parameters = _parameters(item)
    if "test" in parameters or not all(map(_is_axis, parameters.values())):
        return {"test": name}
    return {"test": name.partition("[")[0], **parameters}


def _is_axis(value: Any) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= LONGEST and value.isprintable()
    return type(value) is int and value >= 0


def _parameters(item: pytest.Item) -> Mapping[str, Any]:
    callspec = getattr(item, "callspec", None)
    return callspec.params if callspec is not None else {}
