"""What a call needs of a device's memory, and the largest batch and size that fit into it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

from pipeline.arguments import Size
from pipeline.contracts import SIZE
from pipeline.errors import PipelineError
from pipeline.flux import network
from pipeline.stable_diffusion.architectures import Model
from pipeline.validation import meta
from pipeline.validation.tally import Cost, bytes_of, tally

__all__ = [
    "GUESS",
    "Overhead",
    "largest_batch",
    "largest_size",
    "learnt",
    "needed",
    "needed_bytes",
    "scoring_bytes",
]

STEP, SMALL_STEP = 64, 8
"""Sides grow by 64 pixels; those of models for less than 256 pixels by 8."""

LARGE = 256

FURTHEST = 1 << 20
"""No batch and no number of steps beyond this is looked for."""

_KEYS = ("gpu_process_bytes", "peak_reserved_bytes", "estimated_bytes")


@dataclass(frozen=True)
class Overhead:
    """What a device takes beyond the tensors that are alive at once."""

    slack: float
    """What the allocator and workspaces take, relative to the estimated peak."""
    context_bytes: int
    """CUDA's context and libraries."""
    rows: int = 0
    """Measured rows that it was learnt from; 0 where it is a guess."""
    error: float = 0.0
    """The most by which one of those rows lies above or below what it says, relative."""


GUESS = Overhead(slack=0.2, context_bytes=500_000_000)
"""Where nothing was measured: torch's own profile of the tiny pipeline on a CPU shows a peak up to
1.2 times the estimate, and a CUDA context with cuDNN and cuBLAS takes about half a gigabyte."""


def needed_bytes(cost: Cost, scoring_bytes: int, overhead: Overhead) -> int:
    """Return what a device needs for a call of the pipeline and the scores of its images.

    Stable Diffusion's weights stay while the network that scores runs, in `scoring_bytes`.
    """
    alive = max(cost.peak_bytes, cost.weights_bytes + scoring_bytes)
    return round(alive * (1 + overhead.slack)) + overhead.context_bytes


def needed(
    model: Model, size: Size | None, batch: int, dtype: str, scoring_bytes: int, overhead: Overhead
) -> int:
    """Return `needed_bytes` of a call that is described by its settings; raises as `meta.cost`."""
    return needed_bytes(meta.cost(model, size, batch, dtype), scoring_bytes, overhead)


def largest_batch(needed: Callable[[int], int], memory: int, batch: int) -> int:
    """Return the largest batch whose `needed` bytes fit; 0 where one image does not.

    `batch` is where to begin to look: `needed` grows about in proportion to it.
    """
    return _largest(needed, memory, batch, power=1)


def largest_size(needed: Callable[[Size], int], memory: int, size: Size) -> Size | None:
    """Return the largest size of about the same shape that fits; None where none does.

    `needed` grows about in proportion to the area.
    """
    step = STEP if max(size) >= LARGE else SMALL_STEP
    longer = max(size)

    def sides(steps: int) -> Size:
        width, height = (
            max(8, round(side * steps * step / longer / 8) * 8) if side < longer else steps * step
            for side in size
        )
        return width, height

    begin = max(1, longer // step)
    steps = _largest(lambda steps: needed(sides(steps)), memory, begin, power=2)
    return sides(steps) if steps else None


@lru_cache(maxsize=64)
def scoring_bytes(channels: int, batch: int) -> int:
    """Return the bytes of the project's network, its batch and activations, as PyTorch does it."""
    import torch

    counted = tally("meta")
    with torch.inference_mode(), torch.device("meta"):
        scorer = network.build(channels)
        with counted:
            scorer(torch.empty((batch, channels, SIZE, SIZE)))
    return bytes_of(scorer) + int(counted.peak)


def learnt(path: Path) -> Overhead:
    """Return the overhead that result files, one or a folder of them, show for CUDA.

    A row counts that has what the process held, what torch reserved, and the estimate. Raises
    `PipelineError` for a path that cannot be read, and where no row counts.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    rows = [row for file in files for row in _rows(file)]
    readings = [[float(row[key]) for key in _KEYS] for row in rows]
    if not readings:
        raise PipelineError(
            f"--calibrate {path}",
            "a result file with the measured memory of a generate row on CUDA",
            "measure one: pytest bench/test_generate.py --benchmark-only --benchmark-json FILE",
        )
    slack = median(reserved / estimated for _, reserved, estimated in readings) - 1
    context = median(process - reserved for process, reserved, _ in readings)
    overhead = Overhead(slack, max(0, round(context)), len(readings))
    errors = (abs(_held(estimated, overhead) / process - 1) for process, _, estimated in readings)
    return Overhead(slack, overhead.context_bytes, len(readings), max(errors))


def _held(estimated: float, overhead: Overhead) -> float:
    return estimated * (1 + overhead.slack) + overhead.context_bytes


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the `extra` of each row that has all readings."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        benchmarks = document["benchmarks"]
        extras = [entry["extra_info"].get("cell", {}).get("extra", {}) for entry in benchmarks]
        whole = [extra for extra in extras if all(key in extra for key in _KEYS)]
        if any(not 0 < float(extra[key]) < float("inf") for extra in whole for key in _KEYS):
            raise ValueError("memory that is not positive")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PipelineError(
            f"--calibrate {file}",
            f"a result file of --benchmark-json ({type(error).__name__})",
            "name another file or folder",
        ) from error
    yield from whole


def _largest(needed: Callable[[int], int], memory: int, begin: int, power: int) -> int:
    """Return the largest number from 1 on whose `needed` bytes fit; 0 where 1 does not.

    The first guess is where the bytes of `begin` and of twice as much, as a line over
    number ** power, reach `memory`. From there it looks 1, 2, 4 … further until one fits and one
    does not, then halves what lies between.
    """
    first, second = needed(begin), needed(2 * begin)
    slope = (second - first) / ((2 * begin) ** power - begin**power)
    reached = begin**power + (memory - first) / slope if slope > 0 else 0.0
    guess = int(min(FURTHEST, max(1.0, reached) ** (1 / power)))

    def fits(number: int) -> bool:
        return number < 1 or needed(number) <= memory

    low, high, reach = guess, guess + 1, 1
    while not fits(low):
        low, high, reach = max(0, low - reach), low, 2 * reach
    while guess < high <= FURTHEST and fits(high):
        low, high, reach = high, high + 2 * reach, 2 * reach
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
