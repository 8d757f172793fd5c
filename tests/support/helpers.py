"""What several test files share: a fresh Python, and a Julia that is there or is hidden."""

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Missing
from pipeline.flux import julia

ROOT = Path(__file__).resolve().parents[2]

SUITES = ROOT / "tests" / "suites"
"""Python that tests run in processes of their own."""

PYTEST = {"PYTEST_ADDOPTS": "-p no:hypothesispytest -p no:anyio"}
"""What a pytest that a test starts gets: no benchmark needs these plugins, 2 s of a process."""

UNWANTED = shutil.ignore_patterns("*-pytest-*")
"""What a copy of a package does without; with its other caches it is compiled no second time."""

HIDDEN = Missing("julia", "Julia", "no Julia: this test hides it", "run another test")

NO_CUDA = Missing("cuda", "a CUDA device", "no CUDA: this test hides it", "run another test")


def fresh_python(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run Python in a process of its own, with the checkout importable from any folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def with_julia(code: str, **environment: str) -> Any:
    """Run `code` in a fresh Python after Julia has started; return the `answer` that it leaves.

    Skips, with the reason that `julia.missing` gives, where there is no Julia.
    """
    program = (
        "import json\n"
        "from pipeline.flux import julia\n"
        "absent = julia.missing()\n"
        "answer = None\n"
        "if absent is None:\n"
        f"    exec({code!r})\n"
        "print(json.dumps([str(absent or ''), answer]))\n"
    )
    done = fresh_python("-c", program, **environment)
    assert done.returncode == 0, done.stderr
    reason, answer = json.loads(done.stdout.splitlines()[-1])
    if reason:
        pytest.skip(reason)
    return answer


@cache
def absent_julia() -> Missing | None:
    """Return why a fresh process finds no Julia; None where it finds one."""
    program = (
        "import dataclasses, json\n"
        "from pipeline.flux import julia\n"
        "absent = julia.missing()\n"
        "print(json.dumps(absent and dataclasses.asdict(absent)))\n"
    )
    done = fresh_python("-c", program)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer and Missing(**answer)


def hide_julia(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process find no Julia: here torch is imported first, and the order matters."""
    monkeypatch.setattr(julia, "_start", lambda: HIDDEN)
