"""Interleaved A/B: pairs of fresh processes until every row is decided or the budget is spent."""

import math
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from re import fullmatch
from shutil import get_terminal_size
from tempfile import gettempdir, mkdtemp
from time import monotonic
from typing import Any, NoReturn, TextIO

from bench.comparing import trees
from bench.comparing.comparison import Comparison, compare
from bench.comparing.pair import Half, OutOfTime, Pair, log_ratios, measure
from bench.comparing.sides import Side
from bench.comparing.verdict import UNDECIDED, Floor, decide_pairs
from bench.results.cell import Row
from bench.results.record import Run
from pipeline.errors import PipelineError, counted

__all__ = [
    "BLOCK",
    "BUDGET_S",
    "Progress",
    "Series",
    "budget",
    "compared",
    "halves",
    "options",
    "run",
    "scratch",
    "selection",
    "undecided",
]

BLOCK = 2
"""Pairs of a block: A starts the first, B the second."""

BUDGET_S = 600.0
"""The default budget; a pair of the default grid takes a minute or more."""

PREFIX = "sd-flux-bench-"
"""Of the folders that hold the trees."""

LOCK = "lock"
"""A file in them, which their owner has locked."""

Options = tuple[tuple[str, ...], Mapping[str, str]]
"""Of one side: pytest's options, and variables of the environment."""


@dataclass(frozen=True)
class Series:
    """The pairs that an A/B has measured."""

    pairs: tuple[Pair, ...]
    seconds: float
    """How long all of it took."""
    interrupted: bool = False
    """Whether Ctrl-C ended it."""

    def __str__(self) -> str:
        """Return what was measured, and the load meanwhile."""
        states = [run.machine.get("state") or {} for pair in self.pairs for run in pair.runs]
        loads = [load for state in states if (load := state.get("load_per_cpu")) is not None]
        load = f"; load per CPU {min(loads):.2g} to {max(loads):.2g}" if loads else ""
        end = "; interrupted" if self.interrupted else ""
        pairs = f"{counted(len(self.pairs), 'pair')} of fresh processes"
        return f"{pairs} in {self.seconds:.0f} s, in turns A B B A{load}{end}"


def run(
    sides: tuple[Half, Half],
    selected: Sequence[str],
    budget: float,
    root: Path,
    enough: Callable[[Series], bool],
) -> Series:
    """Measure pairs below `root` until `budget` seconds are over, or a whole block is `enough`.

    `enough` is asked after every pair. Ctrl-C ends the series with the pairs measured so far.
    Raises `PipelineError` for a budget too short for one block, and what `measure` raises.
    """
    begun = monotonic()
    series = Series((), 0.0)
    longest = 0.0
    try:
        while monotonic() + longest < begun + budget:
            start, count = monotonic(), len(series.pairs)
            pair = measure(sides, selected, count % BLOCK, begun + budget, root)
            longest = max(longest, monotonic() - start)
            series = Series((*series.pairs, pair), monotonic() - begun)
            if enough(series) and (count + 1) % BLOCK == 0:
                break
    except OutOfTime:
        pass
    except KeyboardInterrupt:
        return replace(series, seconds=monotonic() - begun, interrupted=True)
    if len(series.pairs) < BLOCK:
        first = f"; the first of its two pairs took {longest:.0f} s" if longest else ""
        expected = f"seconds enough for one block{first}"
        raise PipelineError(
            f"--budget {budget:g}", expected, "a longer --budget, or fewer cells (-k)"
        )
    return series


def compared(
    halves: tuple[Half, Half], pairs: Sequence[Pair], limit: Floor, final: bool = False
) -> Comparison:
    """Compare two sides by their pairs; `final` where no more will follow."""
    begun = pairs[0].runs[0].begun
    sides = [
        Side(half.label, (half.what,), tuple(_run(pair, number, begun) for pair in pairs))
        for number, half in enumerate(halves)
    ]
    return compare(sides, lambda name: decide_pairs(log_ratios(pairs, name), limit, final))


def undecided(comparison: Comparison) -> int:
    """Count the rows that more pairs may decide."""
    return sum(line.verdicts[0].word == UNDECIDED for line in comparison.lines)


def halves(
    root: Path, base: str | None, head: str | None, a: Options, b: Options
) -> tuple[Half, Half]:
    """Write both trees below `root`: the commits `base` and `head`, else the working tree."""
    made = []
    for label, reference, own in (("A", base, a), ("B", head, b)):
        folder = root / f"tree-{label}"
        folder.mkdir()
        tree = trees.commit(reference, folder) if reference else trees.working(folder)
        made.append(Half(label, tree, *own))
    return made[0], made[1]


def options(text: str) -> Options:
    """Split the options of one side from its variables, such as `OMP_NUM_THREADS=2`.

    Raises `PipelineError` for a quote that is not closed.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise PipelineError(text, f"pytest's options ({error})", "mend the quotes") from error
    is_variable = [fullmatch(r"[A-Za-z_][A-Za-z0-9_]*=.*", word) is not None for word in words]
    count = [*is_variable, False].index(False)
    pairs = (word.partition("=") for word in words[:count])
    return tuple(words[count:]), {name: value for name, _, value in pairs}


def budget(text: str) -> float:
    """Read `--budget`: a number of seconds above 0.

    Raises `PipelineError` for anything else.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise PipelineError(f"--budget {text}", "a number of seconds above 0", "change --budget")
    return value


def selection(arguments: Sequence[str]) -> list[str]:
    """Return pytest's arguments on both sides: with `bench/` where they name no file or folder.

    Without a folder `bench` pytest looks where its settings say.
    """
    words = [word for word in arguments if word != "--"]
    named = any(Path(word.partition("::")[0]).exists() for word in words if word[:1] != "-")
    return words if named or not Path("bench").is_dir() else ["bench/", *words]


class Progress:
    """Progress on standard error: one live line on a terminal, a plain line a block elsewhere."""

    def __init__(self, budget: float, stream: TextIO) -> None:
        """Take the budget in seconds."""
        self._budget = budget
        self._stream = stream
        self._live = stream.isatty()

    def show(self, series: Series, decided: tuple[int, int] | None) -> None:
        """Show how far it is; `decided` is how many rows are, and of how many."""
        pairs = len(series.pairs)
        text = f"block {(pairs + 1) // 2} · {series.seconds:.0f} s of at most {self._budget:g} s"
        if decided is not None:
            text += f" · {decided[0]} of {decided[1]} rows decided"
        if self._live:
            self._stream.write(f"\r{text[: get_terminal_size().columns - 1]}\x1b[K")
        elif pairs % BLOCK == 0:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Remove the live line."""
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder that is removed at the end, after Ctrl-C, SIGTERM and SIGHUP too.

    What a killed process has left is removed first: a folder whose lock nobody holds. A signal that
    is ignored stays so, as SIGHUP under nohup.
    """
    if not hasattr(signal, "SIGKILL"):
        raise PipelineError("python -m bench ab", "Linux or macOS", "use WSL")
    import fcntl

    for lock in Path(gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        with suppress(OSError), lock.open() as file:  # such as another user's
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if file.read():  # else it has just been made, and its owner is about to lock it
                _remove(lock.parent)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]

    def end(number: int, _: Any) -> NoReturn:
        for other in heard:  # a terminal that closes may send more than one
            signal.signal(other, signal.SIG_IGN)
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in heard}
    folder = Path(mkdtemp(prefix=PREFIX))
    try:
        with (folder / LOCK).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write("held\n")
            file.flush()
            try:
                yield folder
            finally:
                _remove(folder)
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is end:  # after a signal more are ignored until the end
                signal.signal(number, handler)


def _remove(folder: Path) -> None:
    """Remove a folder, its lock last: by that the next run finds what a kill in here leaves."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def _run(pair: Pair, number: int, begun: str) -> Run:
    """Return a side's run with the samples of its turns; its date is that of the series."""
    run = pair.runs[number]
    machine = {name: run.machine.get(name) or {} for name in ("hardware", "software")}
    rows = tuple(_row(row, pair, number) for row in run.rows)
    return replace(run, rows=rows, machine=machine | {"state": {}}, commit={}, begun=begun)


def _row(row: Row, pair: Pair, number: int) -> Row:
    turns = pair.turns[row.name][number] if row.name in pair.turns else ()
    samples = tuple(sample / row.iterations for turn in turns for sample in turn)
    return replace(row, samples=samples) if row.samples and samples else row
