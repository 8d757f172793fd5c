"""Bulk runs: images through preprocess and the PyTorch reference, in one process or on Ray.

A row of the family `bulk` runs `python -m pipeline run --images …` in a fresh process and takes the
seconds from its report: from the first batch to the last, without start-up. The items are one
picture of `fixtures/` under many names, large enough to cost 20 ms and more.
"""

import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from pipeline.errors import Missing, PipelineError, UnavailableError
from pipeline.files import FIXTURES

__all__ = ["ITEMS", "PICTURE", "seconds_of"]

ITEMS = 256
"""Some seconds of work: a first batch that fills the stages is a small part of it."""

PICTURE = FIXTURES / "images" / "4000x3000.jpg"

ROOT = Path(__file__).resolve().parents[2]

TIMEOUT_S = 900.0

COMMAND = "python -m pipeline run --images FOLDER --engine reference --out OUT --json"


def seconds_of(place: str, workers: int) -> float:
    """Return the seconds of one run over `ITEMS` images.

    `place` is `process` or `ray`. Raises `UnavailableError` without pyarrow or Ray, and
    `PipelineError` for a run that fails or hangs.
    """
    for module, extra in {"pyarrow": "bulk", "ray": "cluster"}.items():
        if find_spec(module) is None and (module != "ray" or place == "ray"):
            reason, remedy = f"no {module}: it is not installed", f'pip install -e ".[{extra}]"'
            raise UnavailableError(place, Missing(extra, module, reason, remedy))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "images")
        folder.mkdir()
        for number in range(ITEMS):
            (folder / f"{number}.jpg").symlink_to(PICTURE)
        program = [sys.executable, "-m", "pipeline", "run", "--images", str(folder)]
        options = ["--engine", "reference", "--out", str(Path(scratch, "out")), "--json"]
        ray = ["--ray", "local"] if place == "ray" else []
        counts = ["--workers", str(workers)]
        try:
            done = subprocess.run(
                [*program, *options, *ray, *counts],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            remedy = f"run it by hand: {COMMAND}"
            raise PipelineError(place, f"an end within {TIMEOUT_S:.0f} s", remedy) from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        expected = f"a run that ends well, not: {last[:200]}"
        raise PipelineError(place, expected, f"run it by hand: {COMMAND}")
    report = json.loads(done.stdout)
    return float(report["seconds"])
