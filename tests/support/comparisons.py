"""Rows on two sides, and result files of them, for the tests of `compare`."""

import json
import shutil
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from bench.comparing.sides import Side
from bench.results.cell import JULIA, MEASURED, UNAVAILABLE, Row
from bench.results.record import Run
from support.results import MACHINE, NO_JULIA, document, generate, named

PLAIN = Path(__file__).resolve().parents[1] / "compare"
"""Two files that pytest-benchmark wrote without this harness."""

TINY = {"weights": "tiny, trained", "threads": 1, "limited_by": "precision"}

LAPTOP: dict[str, Any] = {
    "hardware": {
        "architecture": "x86_64",
        "cores": 2,
        "cpu": "AMD EPYC 9354",
        "gpus": None,
        "ram_gib": 16,
        "unread": {"gpus": "no NVIDIA driver"},
    },
    "software": {
        "packages": {"diffusers": "0.42.1", "torch": "2.14.0+cu130"},
        "python": "3.11.7",
        "unread": {},
    },
    "state": {"load_per_cpu": 0.5, "unread": {}},
}


def around(seconds: float, seed: int, count: int = 24, spread: float = 0.01) -> tuple[float, ...]:
    """Samples whose median is close to `seconds`, the same ones for the same seed.

    Low and high ones alternate: a random order shows a correlation now and then.
    """
    random = Random(seed)
    values = (round(seconds * (1 + spread * random.uniform(-1, 1)), 7) for _ in range(count))
    rising = sorted(values)
    return tuple(rising.pop(-(number % 2)) for number in range(count))


def sampled(name: str, samples: Sequence[float], **known: Any) -> Row:
    """A measured row of one family whose only axis is this name."""
    return named("forward", {"engine": name}, MEASURED, samples=tuple(samples), **known)


def run(rows: Iterable[Row], machine: Any = LAPTOP, **known: Any) -> Run:
    return Run(machine=deepcopy(machine), rows=tuple(rows), **known)


def side(label: str, *runs: Run) -> Side:
    return Side(label, tuple(f"{label.lower()}{n}.json" for n, _ in enumerate(runs)), runs)


def main_rows() -> list[Row]:
    """The baseline's."""
    return [
        generate("tiny", "cpu", "64x64", 2, MEASURED, samples=around(0.0171, 1), **TINY),
        generate("tiny", "cpu", "64x64", 8, MEASURED, samples=around(0.048, 2), **TINY),
        generate("tiny", "cpu", "128x128", 2, MEASURED, samples=around(0.0304, 3), **TINY),
        named("preprocess", {"regime": "decode", "color": "rgb"}, MEASURED,
              samples=around(0.0061, 4), fingerprint="0a141e" * 64),
        named("preprocess", {"regime": "transform", "color": "rgb"}, MEASURED,
              samples=around(0.000395, 5, spread=0.2)),
        named("preprocess", {"regime": "transform", "color": "gray"}, MEASURED,
              samples=around(0.000436, 6), regime={"includes": "resize, convert"}),
        named("preprocess", {"regime": "file", "color": "rgb"}, MEASURED,
              samples=around(0.0069, 7)),
        named("forward", {"engine": "flux", "device": "cpu", "batch": 1}, MEASURED,
              samples=around(0.0022, 8)),
        named("forward", {"engine": "flux-inside", "device": "cpu", "batch": 1}, MEASURED,
              samples=around(0.002, 9), clock=JULIA),
        named("forward", {"engine": "reference", "device": "cpu", "batch": 1}, MEASURED,
              samples=around(0.00098, 10, count=3)),
        named("end_to_end", {"engine": "reference", "device": "cpu"}, MEASURED, images=3,
              samples=around(0.038, 11, count=12)),
    ]  # fmt: skip


def branch_rows() -> list[Row]:
    """The same cells after a change: every verdict, every refusal, rows of one side alone."""
    base = main_rows()
    drifting = tuple(0.038 * (1 + 0.3 * (number >= 6)) for number in range(12))
    return [
        replace(base[0], samples=around(0.0172, 21)),
        replace(base[1], samples=around(0.0624, 22)),
        replace(base[2], samples=around(0.0304, 23), weights="someone/model"),
        replace(base[3], samples=around(0.00305, 24), fingerprint="32141e" * 64),
        replace(base[4], samples=around(0.000433, 25, spread=0.2)),
        replace(base[5], cell=replace(base[5].cell, regime={"includes": "decode, resize"})),
        replace(base[6], cell=replace(base[6].cell, workload=2)),
        replace(base[7], status=UNAVAILABLE, samples=(), reason=NO_JULIA[0], remedy=NO_JULIA[1]),
        replace(base[8], clock="wall"),
        replace(base[9], samples=around(0.00099, 29, count=3)),
        replace(base[10], samples=drifting),
        named("forward", {"engine": "compiled", "device": "cpu", "batch": 1}, MEASURED,
              samples=around(0.00037, 31)),
    ]  # fmt: skip


def gpu_rows() -> list[Row]:
    """Some of the cells on another machine, and two of its own."""
    base = main_rows()
    return [
        replace(base[0], samples=around(0.0095, 41), threads=16),
        replace(base[1], samples=around(0.0271, 42), threads=16),
        replace(base[3], samples=around(0.0058, 43), threads=16),
        generate("sd15", "cuda", "512x512", 10, MEASURED, samples=around(0.241, 44)),
        generate("sd15", "cuda", "512x512", 30, MEASURED, samples=around(0.672, 45)),
    ]


def slow_rows(seed: int, times: float) -> list[Row]:
    """Two cells in one of several runs."""
    base = main_rows()
    return [
        replace(base[0], samples=around(0.0171 * times, seed)),
        replace(base[1], samples=around(0.048, seed + 1)),
    ]


def write_files(folder: Path) -> None:
    """Write every result file below `folder`, beside copies of those of pytest-benchmark alone."""
    shutil.copytree(PLAIN, folder, dirs_exist_ok=True)
    for name, content in _files().items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def _files() -> dict[str, dict[str, Any]]:
    old, new = "01234567", "89abcdef"
    busy = deepcopy(LAPTOP)
    busy["state"]["load_per_cpu"] = 1.4
    dirty = {"commit_info": {"id": old * 5, "branch": "main", "dirty": True}}
    contents = {
        "main": _content(main_rows(), LAPTOP, old),
        "branch": _content(branch_rows(), LAPTOP, new),
        "gpu": _content(gpu_rows(), MACHINE, old),
        "busy": _content(branch_rows()[:2], busy, old, **dirty),
        "other": _content([sampled("other", around(0.001, 51))], LAPTOP, old),
        "empty": _content([], LAPTOP, old),
    }
    for number, (one, other) in enumerate(((1.0, 1.08), (1.01, 1.10), (0.99, 1.11)), 1):
        contents[f"old-{number}"] = _content(slow_rows(60 + 2 * number, one), LAPTOP, old)
        contents[f"new-{number}"] = _content(slow_rows(80 + 2 * number, other), LAPTOP, new)
    return contents


def _content(rows: Iterable[Row], machine: Any, commit: str, **known: Any) -> dict[str, Any]:
    content = document(rows)
    content["commit_info"] = {"id": commit * 5, "branch": "main", "dirty": False}
    content["sd_flux_bench"]["machine"] = deepcopy(machine)
    return content | known
