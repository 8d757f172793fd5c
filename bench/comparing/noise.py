"""The machine's own noise: what one tree shows against itself, and the floors that follow."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from bench.comparing.comparison import compare
from bench.comparing.pair import Pair, log_ratio
from bench.comparing.sides import Side
from bench.comparing.verdict import FASTER, IN_TURNS, SLOWER, Floor
from bench.machine.records import hardware_key
from bench.results.cell import MEASURED, Cell
from bench.results.reading import Number, Whole, read
from bench.statistics import stats
from bench.statistics.sequential import FIRST_LOOK, judge
from pipeline.errors import PipelineError
from pipeline.files import writing

__all__ = [
    "FEWEST",
    "FOLDER",
    "CellNoise",
    "Noise",
    "Rate",
    "by_cell",
    "keep",
    "known",
    "overall",
    "wrong_of_pairs",
    "wrong_of_runs",
]

FOLDER = Path(".benchmarks") / "noise"

FEWEST = 10
"""Pairs from which on a record is kept: 20 processes are 190 pairings, 10 pairs have 9 degrees of
freedom."""

LEAST = 0.01
"""The lowest floor of turns that a record can lead to: the same tree against itself does not show
what an unrelated change does, such as where code lies in memory."""

WRONG = (FASTER, SLOWER)


@dataclass(frozen=True)
class CellNoise:
    """What one cell showed."""

    cell: Cell
    seconds: float
    """The median of the runs' medians."""
    apart: tuple[float, ...]
    """How far apart each two of its runs lay, relative, from the least."""
    spread: float
    """Standard deviation of the pairs' log-ratios."""
    low: float
    """Low end of the interval of their mean, all cells of a run together at 95 %."""
    high: float
    """High end."""


@dataclass(frozen=True)
class Noise:
    """What is kept of it."""

    hardware: Mapping[str, Any]
    """The whole record: its key is a name, which machines can share."""
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
    every = {name: _ratios(pairs, name) for name in cells}
    measured = {name: ratios for name, ratios in every.items() if len(ratios) >= 2}
    found = []
    for name, ratios in measured.items():
        middles = [
            median(row.samples)
            for pair in pairs
            for run in pair.runs
            for row in run.rows
            if row.name == name and row.status == MEASURED
        ]
        apart = sorted(max(one, two) / min(one, two) - 1 for one, two in combinations(middles, 2))
        share = (1 - stats.CONFIDENCE) / len(measured)
        middle, spread = fmean(ratios), stdev(ratios)
        reach = stats.student_t(len(ratios) - 1, 1 - share) * spread / math.sqrt(len(ratios))
        found.append(
            CellNoise(
                cells[name], median(middles), tuple(apart), spread, middle - reach, middle + reach
            )
        )
    return found


def overall(cells: Sequence[CellNoise], pairs: Sequence[Pair]) -> Noise:
    """Return what is kept of the cells together.

    The floor of turns is the farthest that the interval of a cell's mean reaches where that is less
    than the default, and more than it only where an interval excludes 0: where it is wide alone,
    `ab` will see so itself.
    """
    farthest = max(math.expm1(max(abs(cell.low), abs(cell.high))) for cell in cells)
    biased = any(cell.low > 0 or cell.high < 0 for cell in cells)
    in_turns = max(LEAST, farthest) if farthest < IN_TURNS or biased else IN_TURNS
    apart = [each for cell in cells for each in cell.apart]
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
    """Decide as `ab` does at its first look, from each four pairs that follow each other."""
    words: Counter[str] = Counter()
    for row in pairs[0].runs[0].rows:
        ratios = _ratios(pairs, row.name)
        for start in range(0, len(ratios) - FIRST_LOOK + 1, FIRST_LOOK):
            words[judge(ratios[start : start + FIRST_LOOK], limit).word] += 1
    return Rate(sum(words[word] for word in WRONG), words.total())


def keep(noise: Noise, folder: Path) -> Path:
    """Write the record below `folder`, in place of an older one of this hardware."""
    path = folder / FOLDER / f"{hardware_key(noise.hardware)}.json"
    with writing(path) as file:
        file.write(json.dumps(asdict(noise), indent=4, allow_nan=False).encode() + b"\n")
    return path


def known(hardware: Mapping[str, Any], folder: Path) -> Noise | None:
    """Return the record of a machine that `folder`, or the nearest above it with one, holds.

    It counts only where the whole hardware record is equal. Raises `PipelineError` for a file that
    is no such record.
    """
    name = f"{hardware_key(hardware)}.json"
    paths = (each / FOLDER / name for each in (folder, *folder.parents))
    path = next((each for each in paths if each.is_file()), None)
    if path is None:
        return None
    try:
        noise: Noise = read(Noise, json.loads(path.read_text(encoding="utf-8")), "noise")
    except (OSError, ValueError) as error:  # JSONDecodeError is a ValueError
        raise PipelineError(
            str(path), f"a record of python -m bench noise ({error})", "remove it"
        ) from error
    return noise if noise.hardware == hardware else None


def _ratios(pairs: Sequence[Pair], name: str) -> list[float]:
    ratios = [log_ratio(*pair.turns[name]) for pair in pairs if name in pair.turns]
    return [ratio for ratio in ratios if ratio is not None]
