"""Interleaved A/B: pairs of fresh processes until every row is decided, or out of budget."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from re import fullmatch
from time import monotonic

from bench.comparing.comparison import Comparison, compare
from bench.comparing.pair import Half, OutOfTime, Pair, log_ratio, measure
from bench.comparing.sides import Side
from bench.comparing.verdict import UNDECIDED, Floor, Verdict
from bench.results.cell import Row
from bench.results.record import Run
from bench.statistics.sequential import judge
from pipeline.errors import PipelineError

__all__ = ["BLOCK", "Outcome", "compared", "options_of", "run", "undecided"]

BLOCK = 2
"""Pairs of a block: A starts the first, B the second."""


@dataclass(frozen=True)
class Outcome:
    """What an A/B has measured."""

    pairs: tuple[Pair, ...]
    seconds: float
    """How long all of it took."""
    interrupted: bool = False
    """Whether Ctrl-C ended it."""

    @property
    def loads(self) -> list[float]:
        """Return the load per CPU of every process."""
        states = [run.machine.get("state") or {} for pair in self.pairs for run in pair.runs]
        return [load for state in states if (load := state.get("load_per_cpu")) is not None]


def run(
    halves: tuple[Half, Half],
    selection: Sequence[str],
    budget: float,
    root: Path,
    tell: Callable[[Outcome], bool],
) -> Outcome:
    """Measure pairs below `root` until all is decided, or `budget` seconds are over.

    `tell` is told after each pair, and says whether that is enough, which counts after a block.
    Ctrl-C ends it with what there is. Raises `PipelineError` for a budget too short for one block,
    and what `bench.comparing.pair` raises.
    """
    begun = monotonic()
    outcome = Outcome((), 0.0)
    longest = 0.0
    try:
        while monotonic() + longest < begun + budget:
            start, count = monotonic(), len(outcome.pairs)
            pair = measure(halves, selection, count % BLOCK, begun + budget, root)
            longest = max(longest, monotonic() - start)
            outcome = Outcome((*outcome.pairs, pair), monotonic() - begun)
            if tell(outcome) and (count + 1) % BLOCK == 0:
                break
    except OutOfTime:
        pass
    except KeyboardInterrupt:
        return replace(outcome, seconds=monotonic() - begun, interrupted=True)
    if len(outcome.pairs) < BLOCK:
        took = f"; the first of its two pairs took {longest:.0f} s" if longest else ""
        raise PipelineError(
            f"--budget {budget:g}",
            f"seconds enough for one block{took}",
            "a longer --budget, or fewer cells (-k)",
        )
    return outcome


def compared(
    halves: tuple[Half, Half], pairs: Sequence[Pair], limit: Floor, final: bool = False
) -> Comparison:
    """Return the comparison of two sides by their pairs; `final` where none will follow."""
    sides = [
        Side(half.label, (half.what,), tuple(_run(pair, number) for pair in pairs))
        for number, half in enumerate(halves)
    ]
    begun = sides[0].runs[0].begun
    sides = [
        replace(side, runs=tuple(replace(run, begun=begun) for run in side.runs)) for side in sides
    ]

    def verdict(name: str) -> Verdict:
        ratios = [log_ratio(*pair.turns[name]) for pair in pairs if name in pair.turns]
        return judge([ratio for ratio in ratios if ratio is not None], limit, final)

    return compare(sides, verdict)


def undecided(comparison: Comparison) -> int:
    """Count the rows that more pairs may decide."""
    return sum(line.verdicts[0].word == UNDECIDED for line in comparison.lines)


def options_of(text: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Split what one side is told: pytest's options, and variables such as `OMP_NUM_THREADS=2`.

    Raises `PipelineError` for a quote that is not closed.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise PipelineError(text, f"pytest's options ({error})", "mend the quotes") from error
    count = next((n for n, word in enumerate(words) if not _variable(word)), len(words))
    pairs = (word.partition("=") for word in words[:count])
    return tuple(words[count:]), {name: value for name, _, value in pairs}


def _variable(word: str) -> bool:
    return fullmatch(r"[A-Za-z_][A-Za-z0-9_]*=.*", word) is not None


def _run(pair: Pair, number: int) -> Run:
    """Return a side's run with the samples of its turns, and nothing of the moment."""
    run = pair.runs[number]
    machine = {name: run.machine.get(name) or {} for name in ("hardware", "software")}
    rows = tuple(_row(row, pair, number) for row in run.rows)
    return replace(run, rows=rows, machine=machine | {"state": {}}, commit={})


def _row(row: Row, pair: Pair, number: int) -> Row:
    turns = pair.turns[row.name][number] if row.name in pair.turns else ()
    samples = tuple(sample / row.iterations for turn in turns for sample in turn)
    return replace(row, samples=samples) if row.samples and samples else row
