"""Runs of this project on the simulated CUDA device of `tests/simulated_cuda`."""

import atexit
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from support.helpers import PYTEST
from support.runs import ROOT, Run, environment_of_runs, python_in

TESTS = ROOT / "tests"
BRIEF = ("-psimulated_cuda.plugin", "--benchmark-max-time=300")
"""Two rounds a cell, however slow: with the passes for memory, energy and stages."""

ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "0",
    "PYTHONPATH": os.pathsep.join(map(str, (TESTS / "simulated_cuda/startup", TESTS, ROOT))),
    "SIMULATED_CUDA": "1",
    "OMP_NUM_THREADS": "1",  # torch reads it when it is imported, before pytest's plugin pins it
    # A fork has imported what pytest would rewrite the asserts of.
    "PYTEST_ADDOPTS": f"{PYTEST['PYTEST_ADDOPTS']} -W ignore::pytest.PytestAssertRewriteWarning",
}


def python_on_cuda(folder: Path, *arguments: str, **environment: str) -> Run:
    """Do what Python does with `arguments` in a folder, in a fork of one that has torch already."""
    given = environment_of_runs() | ENVIRONMENT | environment
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with TemporaryDirectory() as kept:
        streams = [Path(kept, name) for name in ("out", "err")]
        print(json.dumps([str(folder), arguments, given, *map(str, streams)]), file=server.stdin)
        server.stdin.flush()
        code = int(server.stdout.readline())
        return Run(folder, code, *(stream.read_text() for stream in streams))


def pytest_on_cuda(folder: Path, *arguments: str) -> Run:
    """Run pytest with clocks that are checked."""
    return python_on_cuda(folder, *_pytest(arguments))


def pytest_on_driver(folder: Path, *arguments: str) -> Run:
    """Run pytest where the driver has a device that torch cannot use."""
    return python_in(folder, *_pytest(arguments), **ENVIRONMENT | {"SIMULATED_CUDA": "driver"})


def _pytest(arguments: tuple[str, ...]) -> tuple[str, ...]:
    return "-m", "pytest", *BRIEF, "--benchmark-json=out.json", *arguments


@cache
def _server() -> "subprocess.Popen[str]":
    """Start the process that forks; it ends with this one."""
    server = subprocess.Popen(
        [sys.executable, "-m", "simulated_cuda.forking"],
        env=environment_of_runs() | ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.communicate)
    return server
