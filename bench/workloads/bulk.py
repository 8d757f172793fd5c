"""Bulk runs: images through preprocess and the PyTorch reference, in one process or on Ray.

A row of the family `bulk` runs `python -m pipeline run --images …` in a fresh process and takes the
seconds from its report: from the first batch to the last, without start-up. The items are one
picture of `fixtures/` under many names, large enough to cost 20 ms and more.
"""

import json
import tempfile
from importlib.util import find_spec
from pathlib import Path

from bench.workloads import processes
from pipeline.errors import Missing, UnavailableError
from pipeline.files import FIXTURES

__all__ = ["ITEMS", "PICTURE", "seconds_of"]

ITEMS = 256
"""Some seconds of work: a first batch that fills the stages is a small part of it."""

PICTURE = FIXTURES / "images" / "4000x3000.jpg"

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
        program = ["-m", "pipeline", "run", "--images", str(folder), "--engine", "reference"]
        ray = ["--ray", "local"] if place == "ray" else []
        options = ["--out", str(Path(scratch, "out")), "--json", "--workers", str(workers)]
        printed = processes.output(place, [*program, *ray, *options], f"run it by hand: {COMMAND}")
    return float(json.loads(printed)["seconds"])
