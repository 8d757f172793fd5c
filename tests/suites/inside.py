"""Cells whose calls return the seconds that another clock has read, and one by the wall."""

import json
import time
from pathlib import Path

import pytest

from bench.results.cell import Cell
from support.counting import CALLS, calls_file  # noqa: F401 - a fixture

PERIODS = {
    "varying": lambda: 2**-10 * (1 + CALLS["varying"] % 7 / 64),
    "quick": lambda: 2**-16,
    "outlasting": lambda: 0.25,
    "wall": None,
}
SECONDS = {name: [] for name in PERIODS}
EXTRA = []


@pytest.fixture(scope="module", autouse=True)
def _seconds():
    yield
    Path("seconds.json").write_text(json.dumps(SECONDS | {"extra": EXTRA}))


@pytest.mark.parametrize(
    "cell", [Cell("forward", {"work": name}) for name in PERIODS], ids=lambda cell: cell.id
)
def test_work(measure, cell):
    period = PERIODS[cell.id]

    def work():
        CALLS[cell.id] += 1
        if period is None:
            time.sleep(0.0005)
            return "scores", None
        SECONDS[cell.id].append(period())
        return "scores", SECONDS[cell.id][-1]

    def extra():
        EXTRA.append([cell.id, CALLS[cell.id]])
        return {"julia_allocated_bytes": 1234.0}

    measure(
        work,
        check=lambda output: [] if output[0] == "scores" else 1 / 0,
        inside=(lambda output: output[1]) if period else None,
        extra=extra,
    )
