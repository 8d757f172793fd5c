"""The machine's noise: how far one tree differs from itself, and the floors that follow."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from os.path import isfile
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from bench.comparing.comparison import compare
from bench.comparing.pair import Pair, log_ratios
from bench.comparing.sides import Side
from bench.comparing.verdict import FASTER, IN_TURNS, SLOWER, Floor, decide_pairs
from bench.machine.records import hardware_key
from bench.results.cell import MEASURED, Cell
from bench.results.reading import Number, Whole, read
from bench.statistics import stats
from bench.statistics.fit import BETWEEN
from bench.statistics.sequential import FIRST_LOOK
from pipeline.errors import PipelineError
from pipeline.files import writing

__all__ = [
    "FEWEST",
    "FOLDER",
    "CellNoise",
    "Noise",
    "Rate",
    "between",
    "by_cell",
    "keep",
    "known",
    "overall",
    "wrong_of_pairs",
    "wrong_of_runs",
]

FOLDER = Path(".benchmarks") / "noise"

FEWEST = 10
"""Pairs that a record needs: they are 190 pairings of two processes, and 9 degrees of freedom."""

MOST_APART, MOST_IN_TURNS = 4.0, 1.0
"""The highest floors that a record may hold: beyond them nothing could be told apart."""

LEAST = 0.01
"""The lowest floor of turns that a record gives: a tree against itself does not show what an
unrelated change does, such as where code lies in memory."""

WRONG = (FASTER, SLOWER)


@dataclass(frozen=True)
class CellNoise:
    """What one cell showed."""

    cell: Cell
    seconds: float
    """The median of the runs' medians."""
    apart: tuple[float, ...]
    """Relative distance of the medians of every two runs, sorted."""
    spread: float
    """Standard deviation of the pairs' log-ratios."""
    low: float
    """Low end of the interval of their mean; those of all cells hold together at 95 %."""
    high: float
    """High end."""


@dataclass(frozen=True)
class Noise:
    """The record of a machine."""

    hardware: Mapping[str, Any]
    """The whole hardware record: its key is a name, which machines can share."""
    begun: str
    """When, as ISO 8601."""
    pairs: Whole
    runs_apart: Number
    """Relative: 95 of 100 pairings of two single runs lay closer."""
    in_turns: Number
    """The floor of two sides that are measured in turns."""


@dataclass(frozen=True)
class Rate:
    """How many verdicts on equal code were faster or slower."""

    wrong: int
    count: int

    def __str__(self) -> str:
        """Return `2 of 57 (3.5 %)`."""
        share = f" ({self.wrong / self.count:.1%})".replace("%", " %") if self.count else ""
        return f"{self.wrong} of {self.count}{share}"


def by_cell(pairs: Sequence[Pair]) -> list[CellNoise]:
    """Return what each cell showed that two pairs or more have measured."""
    cells = {row.name: row.cell for row in pairs[0].runs[0].rows if row.status == MEASURED}
    medians: dict[str, list[float]] = {name: [] for name in cells}
    for row in (row for pair in pairs for run in pair.runs for row in run.rows):
        if row.name in cells and row.status == MEASURED:
            medians[row.name].append(median(row.samples))
    ratios = {name: log_ratios(pairs, name) for name in cells}
    measured = [name for name in cells if len(ratios[name]) >= 2]
    return [
        _cell_noise(
            cells[name], medians[name], ratios[name], (1 - stats.CONFIDENCE) / len(measured)
        )
        for name in measured
    ]


def overall(cells: Sequence[CellNoise], pairs: Sequence[Pair]) -> Noise:
    """Return the record of the machine that all cells together give.

    The floor of turns is how far the interval of a cell's mean reaches at most. It exceeds the
    default only where an interval excludes 0: one that is merely wide is also wide in `ab`.
    """
    farthest = max(math.expm1(max(abs(cell.low), abs(cell.high))) for cell in cells)
    biased = any(cell.low > 0 or cell.high < 0 for cell in cells)
    in_turns = max(LEAST, farthest) if farthest < IN_TURNS or biased else IN_TURNS
    apart = [distance for cell in cells for distance in cell.apart]
    first = pairs[0].runs[0]
    return Noise(
        dict(first.machine.get("hardware") or {}),
        first.begun,
        len(pairs),
        stats.quantile(apart, stats.CONFIDENCE),
        in_turns,
    )


def wrong_of_runs(pairs: Sequence[Pair]) -> Rate:
    """Compare each run with the next one, as `compare` does with two files."""
    words: Counter[str] = Counter()
    for one, other in pairwise(run for pair in pairs for run in pair.runs):
        sides = [Side(label, (label,), (run,)) for label, run in (("A", one), ("B", other))]
        words.update(line.verdicts[0].word for line in compare(sides).lines)
    return Rate(sum(words[word] for word in WRONG), words.total())


def wrong_of_pairs(pairs: Sequence[Pair], limit: Floor) -> Rate:
    """Decide on every four pairs in a row, as `ab` does at its first look."""
    words: Counter[str] = Counter()
    for row in pairs[0].runs[0].rows:
        ratios = log_ratios(pairs, row.name)
        for start in range(0, len(ratios) - FIRST_LOOK + 1, FIRST_LOOK):
            words[decide_pairs(ratios[start : start + FIRST_LOOK], limit).word] += 1
    return Rate(sum(words[word] for word in WRONG), words.total())


def keep(noise: Noise, folder: Path) -> Path:
    """Write the record below `folder`; it replaces an older one of this hardware."""
    path = folder / FOLDER / f"{hardware_key(noise.hardware)}.json"
    with writing(path) as file:
        file.write(json.dumps(asdict(noise), indent=4, allow_nan=False).encode() + b"\n")
    return path


def known(hardware: Mapping[str, Any], folder: Path) -> Noise | None:
    """Return the record of a machine from `folder`, or from a folder above it in its checkout.

    It counts only where the whole hardware record is equal. Raises `PipelineError` for a file that
    is no such record, or whose values no machine can show.
    """
    paths = (place / FOLDER / f"{hardware_key(hardware)}.json" for place in _checkout(folder))
    path = next(filter(isfile, paths), None)
    if path is None:
        return None
    try:
        noise: Noise = read(Noise, json.loads(path.read_text(encoding="utf-8")), "noise")
        for value, least, most, what in (
            (noise.pairs, FEWEST, math.inf, "pairs"),
            (noise.runs_apart, 0.0, MOST_APART, "runs_apart"),
            (noise.in_turns, LEAST, MOST_IN_TURNS, "in_turns"),
        ):
            if not least <= value <= most:
                raise ValueError(f"{least:g} to {most:g} at noise.{what}, not {value:g}")
    except (OSError, ValueError, RecursionError) as error:  # JSONDecodeError is a ValueError
        raise PipelineError(
            str(path), f"a record of python -m bench noise ({error})", "remove it"
        ) from error
    return noise if noise.hardware == hardware else None


def between(records: Mapping[str, Any], folder: Path) -> float:
    """Return the relative spread between cells of one run on a machine: on record, or the default.

    95 of 100 pairings of runs lie within 1.96 times the root of 2 times the spread of one.
    """
    noise = known(records.get("hardware") or {}, folder)
    return math.log1p(noise.runs_apart) / (1.96 * math.sqrt(2)) if noise else BETWEEN


def _checkout(folder: Path) -> list[Path]:
    """Return `folder` and those above it up to its checkout's; `folder` alone where it has none."""
    places = [folder, *folder.parents]
    top = next((number for number, place in enumerate(places) if (place / ".git").exists()), 0)
    return places[: top + 1]


def _cell_noise(
    cell: Cell, medians: Sequence[float], ratios: Sequence[float], share: float
) -> CellNoise:
    """Return what a cell showed; `share` is how often its interval of the mean may be wrong."""
    apart = sorted(max(pair) / min(pair) - 1 for pair in combinations(medians, 2))
    mean, spread = fmean(ratios), stdev(ratios)
    reach = stats.student_t(len(ratios) - 1, 1 - share) * spread / math.sqrt(len(ratios))
    return CellNoise(cell, median(medians), tuple(apart), spread, mean - reach, mean + reach)
