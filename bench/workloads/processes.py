"""A fresh Python process for one row: it runs to its end; one that fails or hangs is refused."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.errors import PipelineError

__all__ = ["ProcessError", "output"]

ROOT = Path(__file__).resolve().parents[2]

TIMEOUT_S = 900.0
"""torch.compile, CUDA.jl and a bulk run take minutes at most."""


class ProcessError(PipelineError):
    """A process that failed."""

    stderr = ""
    """All that it wrote there."""


def output(
    name: str, program: Sequence[str], remedy: str, environment: Mapping[str, str] | None = None
) -> str:
    """Run Python with the arguments `program` from the checkout; return its standard output.

    `environment` is added to this process's own. Raises `PipelineError` after `TIMEOUT_S`, and
    `ProcessError` with the last line of standard error where the exit code is not 0; both name
    `name` and `remedy`.
    """
    try:
        done = subprocess.run(
            [sys.executable, *program],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PipelineError(name, f"an end within {TIMEOUT_S:.0f} s", remedy) from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        failure = ProcessError(name, f"a process that ends well, not: {last[:200]}", remedy)
        failure.stderr = done.stderr
        raise failure
    return done.stdout
