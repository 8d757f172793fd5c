"""Cells of which one needs CUDA, one finds no weights, and one may send its process a signal."""

import json
import os
import platform
import resource
import signal
import socket
import time
from collections import Counter
from pathlib import Path

import pytest

from bench.measuring import workload
from bench.results.cell import Cell
from pipeline import needs
from pipeline.errors import Missing, UnavailableError

platform.node = socket.gethostname = lambda: "secret-host"
GPU = Missing("cuda", "a CUDA device", "no CUDA: hidden", "show it")
HUB = Missing("weights", "weights", "no weights: the hub is far", "bring them")
needs.NEEDS["cuda"] = lambda: GPU
if "LARGEST_FILE" in os.environ:  # as on a full disk: no file can grow beyond
    largest = int(os.environ["LARGEST_FILE"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))


def closing():
    """The reference workload, at the end of which somebody stops the run."""
    if "CLOSING" in os.environ and len(BEGUN) == 1:
        os.kill(os.getpid(), getattr(signal, os.environ["CLOSING"]))
        time.sleep(60)
    BEGUN.append(1)
    return {"copy_cpu_bytes_per_s": 4e9}


BEGUN = []
workload.measured = lambda *used: closing()

CALLS = Counter()
CELLS = [
    Cell("preprocess", {"work": "first"}),
    Cell("preprocess", {"work": "gpu"}, needs=("cuda",)),
    Cell("preprocess", {"work": "hub"}),
    Cell("preprocess", {"work": "second"}),
    Cell("preprocess", {"work": "third"}),
    Cell("preprocess", {"work": "fourth"}),
]


@pytest.fixture(scope="module", autouse=True)
def _calls():
    yield
    if CALLS:
        worker = os.environ.get("PYTEST_XDIST_WORKER", "")
        Path(f"calls{worker}.json").write_text(json.dumps(CALLS))


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
def test_work(measure, cell):
    if cell.id == "hub":
        raise UnavailableError("--sd-model owner/name", HUB)

    def work():
        CALLS[cell.id] += 1
        time.sleep(0.001)
        if cell.id == "third" and CALLS["third"] == 8 and "SEND" in os.environ:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.kill(os.getpid(), getattr(signal, os.environ["SEND"]))
            time.sleep(60)

    def extra():
        if cell.id == "second" and "AFTER_ROUNDS" in os.environ:
            os.kill(os.getpid(), getattr(signal, os.environ["AFTER_ROUNDS"]))
            time.sleep(60)
        return {"extra_s": 1.0}

    measure(work, check=lambda output: [], extra=extra)


def test_no_cell():
    pass
