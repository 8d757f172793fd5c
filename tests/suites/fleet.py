"""Cells of three milliseconds; the second waits where, and as long as, a test holds it."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from bench.measuring.measure import Measure
from bench.results.cell import Cell

FOLDER = Path("FOLDER")
"""Of the test: what it holds, and what each process says of itself."""

NODE = os.environ.get("FLEET_TEST_NODE", "hand")
CELLS = [Cell("harness", {"name": name}) for name in ("first", "second", "third")]


def held() -> bool:
    hold = FOLDER / "hold"
    return hold.exists() and NODE in hold.read_text().split()


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
def test_cell(measure: Measure, cell: Cell) -> None:
    if cell.id == "second":
        (FOLDER / f"{NODE}.json").write_text(json.dumps(process()))
        while held():
            time.sleep(0.05)
    measure(lambda: time.sleep(0.003), check=lambda output: [])


def process() -> dict[str, object]:
    """What a process inherits of whoever starts it."""
    handlers = {number: str(signal.getsignal(number)) for number in signal.valid_signals()}
    return {
        "cwd": os.getcwd(),
        "parent": os.getppid(),
        "variables": dict(os.environ),
        "niceness": os.getpriority(os.PRIO_PROCESS, 0),
        "oom_score_adj": Path("/proc/self/oom_score_adj").read_text(),
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "handlers": handlers,
        "cpus": sorted(os.sched_getaffinity(0)),
    }
