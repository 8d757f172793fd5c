"""Runs of this project on the simulated CUDA device of `tests/simulated_cuda`."""

import os
from pathlib import Path

from support.runs import ROOT, Run, python_in

TESTS = ROOT / "tests"
BRIEF = ("-psimulated_cuda.plugin", "--benchmark-max-time=300", "--benchmark-precision=0.9")
"""Six rounds a cell, however slow: with the passes for memory, energy and stages."""

ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "0",
    "PYTHONPATH": os.pathsep.join(map(str, (TESTS / "simulated_cuda/startup", TESTS, ROOT))),
    "SIMULATED_CUDA": "1",
}


def python_on_cuda(folder: Path, *arguments: str, **environment: str) -> Run:
    return python_in(folder, *arguments, **(ENVIRONMENT | environment))


def pytest_on_cuda(folder: Path, *arguments: str, **environment: str) -> Run:
    """Run pytest with clocks that are checked, and the fault that `environment` names."""
    options = (*BRIEF, "--benchmark-json=out.json")
    return python_on_cuda(folder, "-m", "pytest", *options, *arguments, **environment)
