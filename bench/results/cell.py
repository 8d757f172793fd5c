"""A cell, one point of a family's grid, and its row, the result: both plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from bench.results import thumbnail
from bench.results.reading import Number, Whole, read
from pipeline.arguments import Size, parse_size

__all__ = [
    "AGAIN",
    "AGREED",
    "CALL_FLOP",
    "CAPTURES",
    "CHECKED",
    "ESTIMATED",
    "FAILED",
    "JUDGED",
    "JULIA",
    "MEAN_OFF_EXACT",
    "MEASURED",
    "NOT_COMPARABLE",
    "OFF_EAGER",
    "OFF_EXACT",
    "OUT_OF_MEMORY",
    "PREGENERATED",
    "RECOMPILES",
    "RECOMPILE_LIMIT",
    "UNAVAILABLE",
    "WALL",
    "Axis",
    "Cell",
    "Row",
]

Axis = str | Whole

MEASURED = "measured"
UNAVAILABLE = "unavailable"
OUT_OF_MEMORY = "out of memory"
FAILED = "failed"
NOT_COMPARABLE = "not comparable"
"""A peer's output differs from the pipeline's: nothing was timed, and nothing of ours failed."""
CHECKED = "checked"
"""Its contract held, and nothing was timed (`--benchmark-disable`)."""

PREGENERATED = "pregenerated"
"""As a row's weights: no weights made its images, they are those of `fixtures/`."""

WALL, JULIA = "wall", "julia"

CALL_FLOP = "call_flop"
"""In a row's `extra`, the floating-point operations of one call."""

ESTIMATED = "estimated_bytes"
"""In a row's `extra`, the memory that a call should need, estimated before it was made."""

OFF_EAGER = "levels_off_eager"
"""In a row's `extra`, the largest difference of a pixel from eager's picture, in levels of 255."""

OFF_EXACT, MEAN_OFF_EXACT = "levels_off_exact", "mean_levels_off_exact"
"""In a row's `extra`, how far a scaled JPEG's batch lies from the exact one, in levels of 255."""

RECOMPILES, CAPTURES, AGAIN = "recompiles", "graph_captures", "again_s"
"""In the `extra` of a row for a new size: how often the call compiled, how often it captured a CUDA
graph, and the seconds of the next call at that size."""

RECOMPILE_LIMIT = "recompile_limit"
"""In the same `extra`, how often torch compiles one function: then its next shape is an error."""

AGREED, JUDGED = "agreed_images", "judged_images"
"""In a row's `extra`, how many pictures the network calls what their prompt says, of how many."""

SHORTEST = 1e-15
"""Seconds; what a file has of less, but for 0, no clock has shown, and ratios of it overflow."""

STATUSES = (MEASURED, UNAVAILABLE, OUT_OF_MEMORY, FAILED, NOT_COMPARABLE, CHECKED)

_PATTERNS = {"steps": "{}steps", "batch": "batch{}", "threads": "threads{}", "workers": "workers{}"}


@dataclass(frozen=True)
class Cell:
    """One point of a family's grid, before it is run."""

    family: str
    """generate, preprocess, forward or end_to_end."""
    axes: Mapping[str, Axis]
    """Its coordinates, in the order of the id and of the table."""
    needs: tuple[str, ...] = ()
    """What it needs: `cuda`, `julia`."""
    images: Whole = 1
    """Images that one call makes or takes."""
    steps: Whole = 0
    """Denoising steps of one call; 0 outside Stable Diffusion."""
    device: str = "cpu"
    """`cpu` or `cuda`; a call on a device ends with its synchronisation."""
    dtype: str = ""
    """The type that torch or Flux computes in, such as `float32`; empty where neither is used."""
    budget_factor: Number = 1.0
    """The cell's budget is this times `--benchmark-max-time`; in JSON it is `weight`."""
    regime: Mapping[str, Axis] = field(default_factory=dict)
    """What the clock includes; rows whose regimes differ are compared only across an axis."""
    workload: Whole = 1
    """Version of the work: raised when the work behind an id changes."""

    @property
    def id(self) -> str:
        """Return the id that pytest prints and `-k` selects, such as `tiny-cpu-64x64-4steps`."""
        return self.id_without("")

    def id_without(self, left_out: str) -> str:
        """Return the id that it would have if it had no such axis."""
        return "-".join(
            _PATTERNS.get(axis, "{}").format(value)
            for axis, value in self.axes.items()
            if axis != left_out
        )

    def setting(self, axis: str) -> Axis | None:
        """Return the value of an axis, also of one that the id leaves out, such as mode `eager`."""
        return self.axes.get(axis, self.regime.get(axis))

    @cached_property
    def size(self) -> Size:
        """Return the width and height that the axis `size` names; KeyError where there is none."""
        return parse_size(str(self.axes["size"]))


@dataclass(frozen=True)
class Row:
    """The result of one cell."""

    name: str
    """pytest's id of the test; results are matched by it."""
    cell: Cell
    status: str
    reason: str = ""
    """Why there is no number; empty for a measured cell."""
    remedy: str = ""
    """How to get a number."""
    samples: tuple[Number, ...] = ()
    """Seconds a call by `clock`, in the order of measuring, the device synchronised."""
    first_call: Number | None = None
    """Seconds of the first call, which the contract checked."""
    iterations: Whole = 1
    """Calls grouped into one sample; more than 1 only for CPU calls under 200 µs."""
    limited_by: str = ""
    """What set the number of rounds: precision, budget, cap, first call or fresh process."""
    weights: str = ""
    """The weights that it ran on; rows on different weights are never compared."""
    threads: Whole | None = None
    """Threads of torch and BLAS."""
    clock: str = WALL
    """The clock of the samples: the wall clock as Python reads it, or Julia's own."""
    extra: Mapping[str, Number] = field(default_factory=dict)
    """Other measurements, made apart from the timed rounds, by names that end in their unit."""
    profiled: Number | None = None
    """Seconds of one profiled call, apart from the timed rounds; None where none was profiled."""
    busy: Number | None = None
    """Seconds of that call in which the device ran kernels or copies; None on the CPU."""
    stages: Mapping[str, Number] = field(default_factory=dict)
    """Seconds of that call by stage: the device's work for it, on the CPU the host's time in it."""
    calls: Mapping[str, Whole] = field(default_factory=dict)
    """How often each stage was called; the UNet more often than there are steps with PNDM."""
    fingerprint: str = ""
    """An output box-averaged to 8×8×3 bytes, in hex."""
    thumbnail: Mapping[str, Axis] = field(default_factory=dict)
    """The first call's image as a small `jpeg` in base64, its size and its settings."""
    spoiled: Mapping[str, Whole] = field(default_factory=dict)
    """How many samples were dropped, by the cause that spoiled them."""
    unchecked: bool = False
    """Whether there was no contract for its output."""
    undersampled: str = ""
    """Why too few samples are left, and what to do; empty where six or more are."""
    guards: Mapping[str, str] = field(default_factory=dict)
    """Sensors that were watched during its rounds: an empty text, or why one could not be read."""

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values that `from_dict` reads back."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        data["cell"] = _renamed(data["cell"], "budget_factor", "weight")
        return data

    def check_samples(self) -> None:
        """Raise ValueError for a measured row without samples, or with one of no clock."""
        if self.status == MEASURED and not self.samples:
            raise ValueError(f"samples of {self.name}, as --benchmark-json keeps them")
        if shortest := next((one for one in self.samples if 0 < one < SHORTEST), None):
            raise ValueError(f"times from {SHORTEST:g} s, or 0, of {self.name}, not {shortest:g}")

    @classmethod
    def from_dict(cls, data: Any, place: str = "row") -> "Row":
        """Read what `as_dict` returned; keys that this version does not know are left out.

        Raises ValueError, such as "a list at row.samples, not null", for the first value that is
        missing or of another type; `place` is the name of `data` in it.
        """
        cell = data.get("cell") if isinstance(data, Mapping) else None
        if isinstance(cell, Mapping) and "weight" in cell:
            data = data | {"cell": _renamed(cell, "weight", "budget_factor")}
        row: Row = read(cls, data, place)
        if row.status not in STATUSES:
            raise ValueError(f"a status ({', '.join(STATUSES)}) at {place}, not {row.status!r:.40}")
        if min(row.cell.images, row.iterations) < 1:
            raise ValueError(f"at least one image and one call at {place}")
        if row.thumbnail and not thumbnail.is_jpeg(row.thumbnail.get("jpeg")):
            raise ValueError(f"a small JPEG in base64 at {place}.thumbnail.jpeg")
        if not _counts_agreement(row.extra):
            whole = f"whole numbers, {AGREED} from 0 to {JUDGED},"
            raise ValueError(f"{whole} at {place}.extra")
        return row


def _counts_agreement(extra: Mapping[str, Number]) -> bool:
    """Return whether both counts of pictures are there and fit each other, or neither is there."""
    if AGREED not in extra and JUDGED not in extra:
        return True
    agreed, judged = extra.get(AGREED, -1), extra.get(JUDGED, -1)
    return 0 <= agreed <= judged and agreed % 1 == judged % 1 == 0


def _renamed(data: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    """Return `data` with one key renamed, in its order."""
    return {new if key == old else key: value for key, value in data.items()}
