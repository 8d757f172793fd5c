"""Runs of pytest in folders of their own, with this repository's conftest and settings."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import availability
from support import warm
from support.helpers import PYTEST, UNWANTED, absent_julia

ROOT = Path(__file__).resolve().parents[2]
SUITES = ROOT / "tests" / "suites"


@dataclass(frozen=True)
class Run:
    """What one run of pytest left behind."""

    folder: Path
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The result file, `out.json`."""
        return json.loads((self.folder / "out.json").read_text())

    @property
    def measured(self) -> dict[str, Any]:
        """The result file's entries with a number, by the id of their cell."""
        return {entry["param"]: entry for entry in self.document["benchmarks"]}

    @property
    def others(self) -> dict[str, Any]:
        """The result file's rows without a number, by the id of their cell."""
        rows = self.document["sd_flux_bench"]["rows"]
        return {row["name"].partition("[")[2].removesuffix("]"): row for row in rows}

    @property
    def calls(self) -> Any:
        """How often each cell's work was called, as the suite counted."""
        return json.loads((self.folder / "calls.json").read_text())


def folder_of(path: Path, suite: str) -> Path:
    """Lay out a folder with this repository's conftest and settings, and `suite` as its tests."""
    path.mkdir(parents=True, exist_ok=True)
    for name in ("conftest.py", "pyproject.toml"):
        (path / name).write_text((ROOT / name).read_text())
    (path / "test_cells.py").write_text(suite)
    return path


def suite_in(path: Path, name: str) -> Path:
    """Lay out a folder as `folder_of`, with a suite of tests/suites, which may import `support`."""
    return folder_of(path, (SUITES / f"{name}.py").read_text())


def copy_of_bench(path: Path) -> Path:
    """Lay out a folder with the benchmarks themselves: the repository keeps its own journal."""
    shutil.copytree(ROOT / "bench", path / "bench", ignore=UNWANTED)
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, path)
    return path


def pytest_in(folder: Path, *arguments: str, **environment: str) -> Run:
    """Run pytest in a folder."""
    return python_in(folder, "-m", "pytest", *arguments, **environment)


def warm_pytest_in(folder: Path, *arguments: str) -> Run:
    """Run pytest in a folder, in a process that begins with diffusers imported.

    Beside Julia, which must come before torch, and CUDA it is a fresh one.
    """
    if availability.cuda() is None or absent_julia() is None:
        return pytest_in(folder, *arguments)
    process = warm.start(folder, *warm.PYTEST, *arguments, environment=environment_of_runs())
    return Run(folder, *process.wait())


def compare(folder: Path, file: Path) -> Run:
    """Let `pytest-benchmark compare` print a result file."""
    return python_in(folder, "-m", "pytest_benchmark", "compare", str(file))


def python_in(folder: Path, *arguments: str, **environment: str) -> Run:
    """Run Python in a folder, 80 columns wide, where no CUDA device and no outer pytest is seen."""
    child = start_python_in(folder, *arguments, **environment)
    out, err = child.communicate()
    return Run(folder, child.returncode, out, err)


def start_python_in(folder: Path, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """Start what `python_in` runs, and do not wait for it."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment_of_runs() | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines_after(text: str, title: str) -> Sequence[str]:
    """Return the lines below the one that holds `title`."""
    lines = text.splitlines()
    return lines[next(number for number, line in enumerate(lines, 1) if title in line) :]


def environment_of_runs() -> dict[str, str]:
    """Return what a run sees: no outer pytest, no CUDA device, 80 columns, no colour."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTEST_") and name not in ("FORCE_COLOR", "PY_COLORS")
    }
    return {
        **kept,
        **PYTEST,
        "COLUMNS": "80",
        "CUDA_VISIBLE_DEVICES": "",
        "NO_COLOR": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    }
