"""A pair: one fresh process a side, and only the process that has the turn runs.

Processes that run one after the other meet different other work on the machine; turns of a
hundredth of a second meet the same. Two processes still differ (in where their memory lies), and so
do two pairs: a pair counts as one number.
"""

import ctypes
import json
import math
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from threading import TIMEOUT_MAX
from time import monotonic
from typing import Any

from bench.comparing.across import matched
from bench.comparing.trees import Tree
from bench.results import record
from bench.results.cell import MEASURED
from bench.results.record import Run
from pipeline.errors import PipelineError

__all__ = ["Half", "OutOfTime", "Pair", "error_line", "log_ratio", "log_ratios", "measure"]

PLUGIN = "sd_flux_bench_turns"

PLAN = ("--benchmark-max-time=0.5", "--benchmark-precision=1e-6")
"""A cell gets half a second in each process. Its own interval does not matter: pairs count."""

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when its parent dies."""

EMPTY = 5
"""pytest's exit code where it collected nothing."""


Turns = Sequence[Sequence[float]]
"""Seconds of each sample of each turn, without the time that its thread waited for a CPU."""


class OutOfTime(Exception):  # noqa: N818 - it is the budget's end, not an error
    """The budget ended before the pair did."""


@dataclass(frozen=True)
class Half:
    """One side of an A/B."""

    label: str
    """A or B."""
    tree: Tree
    options: tuple[str, ...] = ()
    """pytest's options on this side alone."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of this side alone."""

    @property
    def what(self) -> str:
        """Return its name in a table."""
        variables = (f"{name}={value}" for name, value in self.environment.items())
        return " ".join([self.tree.what, *variables, *self.options])


@dataclass(frozen=True)
class Pair:
    """What one process a side measured."""

    runs: tuple[Run, Run]
    """As each pytest recorded it, by its own clock; B's rows have the names of A's."""
    turns: Mapping[str, tuple[Turns, Turns]]
    """By name, the turns of each side."""


def log_ratios(pairs: Sequence[Pair], name: str) -> list[float]:
    """Return the log-ratio of a cell in each pair that measured it, in the order of measuring."""
    ratios = (log_ratio(*pair.turns[name]) for pair in pairs if name in pair.turns)
    return [ratio for ratio in ratios if ratio is not None]


def log_ratio(first: Turns, second: Turns) -> float | None:
    """Return the logarithm of B's time over A's: the median over the turns that lie side by side.

    None where a side had no turn, or a time is 0.
    """
    pairs = [(median(one), median(other)) for one, other in zip(first, second, strict=False)]
    if not pairs or min(map(min, pairs)) <= 0:
        return None
    return median(math.log(other / one) for one, other in pairs)


def measure(
    halves: tuple[Half, Half], selection: Sequence[str], first: int, deadline: float, root: Path
) -> Pair:
    """Measure one pair below `root`; side `first` starts and takes the first turn.

    Only one process runs at a time: the second starts when the first waits for its turn. Turns go
    A B B A. Raises `OutOfTime` at `deadline`, and `PipelineError` where pytest fails on a side, a
    side ran code of another tree, or the sides share no cell.
    """
    with ExitStack() as stack:
        children: dict[int, _Child] = {}
        for number in (first, 1 - first):
            child = _Child(halves[number], selection, root / halves[number].label, deadline)
            children[number] = stack.enter_context(child)
            child.start()
        names = matched(children[0].cells, children[1].cells)
        if not names:
            raise PipelineError(
                f"{halves[0].what} and {halves[1].what}",
                "a cell that both have",
                "choose cells whose ids, or all axes but one, are the same",
            )
        _alternate(children, names, first)
        runs = (children[0].run(), children[1].run())
        back = {other: name for name, other in names.items()}
        rows = tuple(replace(row, name=back.get(row.name, row.name)) for row in runs[1].rows)
        turns = {
            name: (children[0].turns.get(name, []), children[1].turns.get(other, []))
            for name, other in names.items()
        }
        return Pair((runs[0], replace(runs[1], rows=rows)), turns)


class _Child:
    """One pytest, and its line."""

    def __init__(self, half: Half, selection: Sequence[str], folder: Path, deadline: float) -> None:
        self._half = half
        self._selection = selection
        self._folder = folder
        self._deadline = deadline
        self._buffer = b""
        self.cells: dict[str, dict[str, Any]] = {}
        self.turns: dict[str, list[Sequence[float]]] = {}
        self.at: str | None = None
        """The cell that waits for a turn; None when all have ended."""
        self.reached: set[str] = set()
        """The cells that have waited for a turn."""
        self.cpu: int | None = None
        """The CPU on which the last turn ended, if one thread did its work."""

    def __enter__(self) -> "_Child":
        from bench.comparing import turns  # imports pytest, which no other command needs

        shutil.rmtree(self._folder, ignore_errors=True)
        (self._folder / "plugin").mkdir(parents=True)
        shutil.copy(turns.__file__, self._folder / "plugin" / f"{PLUGIN}.py")
        receive, self._send = os.pipe()
        self._receive, send = os.pipe()
        with (self._folder / "output.txt").open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, *self._arguments()],
                cwd=self._half.tree.folder,
                env=self._environment(f"{receive},{send}"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(receive, send),
                start_new_session=True,  # Ctrl-C reaches only this process, which ends both
                preexec_fn=_end_with_parent,
            )
        os.close(receive)
        os.close(send)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.close(self._send)
        os.close(self._receive)

    def start(self) -> None:
        """Run until the first cell waits for its turn."""
        self._listen()
        if not self.cells:
            self.run()
            raise self._fault("a cell to measure")

    def go(self, cpu: int | None) -> None:
        """Give one turn, on `cpu` unless None, and run until the next turn is waited for."""
        os.write(self._send, json.dumps(cpu).encode() + b"\n")
        self._listen()

    def run(self) -> Run:
        """Wait for the process to end; return what pytest recorded."""
        try:
            code = self._process.wait(max(0.1, self._deadline - monotonic()))
        except subprocess.TimeoutExpired:
            raise OutOfTime from None
        if code not in record.ENDED or not (self._folder / "out.json").is_file():
            raise self._fault("a cell to measure" if code == EMPTY else "pytest to measure")
        run = record.load(self._folder / "out.json")
        if code and not any(row.status == MEASURED for row in run.rows):
            raise self._fault("pytest to measure")
        return run

    def _listen(self) -> None:
        self.at = None
        for line in self._lines():
            message = json.loads(line)
            if "cells" in message:
                self._check(message["files"])
                self.cells = message["cells"]
            elif "turn" in message:
                self.turns.setdefault(message["at"], []).append(message["turn"])
                self.cpu = message["cpu"]
            else:
                self.at = str(message["at"])
                self.reached.add(self.at)
                return

    def _lines(self) -> Iterator[bytes]:
        """Yield lines until the other end is closed; raise `OutOfTime` at the deadline."""
        while True:
            line, end, rest = self._buffer.partition(b"\n")
            if end:
                self._buffer = rest
                yield line
                continue
            left = min(self._deadline - monotonic(), TIMEOUT_MAX)
            if left <= 0 or not select.select([self._receive], [], [], left)[0]:
                raise OutOfTime
            if not (data := os.read(self._receive, 65536)):
                return
            self._buffer += data

    def _check(self, files: Sequence[str]) -> None:
        """Refuse a side that imported the code of another tree."""
        tree = self._half.tree.folder.resolve()
        for file in files:
            has_own = (tree / Path(file).parent.name / "__init__.py").is_file()
            if has_own and not Path(file).resolve().is_relative_to(tree):
                raise PipelineError(
                    f"side {self._half.label} ({self._half.what})",
                    f"code of its own tree, but {Path(file).parent.name} came from elsewhere",
                    "uninstall what shadows it",
                )

    def _arguments(self) -> list[str]:
        own = ["-m", "pytest", "--benchmark-only", *PLAN, "-p", "pytest_benchmark.plugin"]
        own += ["-p", PLUGIN, "-p", "no:cacheprovider", "-q"]
        if not (self._half.tree.folder / "bench" / "options.py").is_file():
            own += ["-p", "sd_flux_bench", "--sd-flux-bench"]  # no checkout of this project
        output = f"--benchmark-json={self._folder / 'out.json'}"
        return [*own, *self._selection, *self._half.options, output]

    def _environment(self, channel: str) -> dict[str, str]:
        """Return its variables: its own tree on the path first, no plugin that it does not need."""
        from bench.comparing import turns

        paths = [str(self._half.tree.folder), str(self._folder / "plugin")]
        paths += filter(None, [os.environ.get("PYTHONPATH")])
        kept = {
            name: value
            for name, value in os.environ.items()
            if name != "PYTHONSAFEPATH" and not name.startswith("PYTEST_")
        }
        return {
            **kept,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            **self._half.environment,
            "PYTHONPATH": os.pathsep.join(paths),
            turns.CHANNEL: channel,
        }

    def _fault(self, expected: str) -> PipelineError:
        """Name the side, and the first line of pytest's output that names an error."""
        text = (self._folder / "output.txt").read_text(encoding="utf-8", errors="replace")
        line = error_line(text)
        return PipelineError(
            f"side {self._half.label} ({self._half.what})",
            f"{expected} ({line})",
            "run pytest --benchmark-only there",
        )


def error_line(output: str) -> str:
    """Return the first line of pytest's output that names an error, else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"E  |ERROR(?!: usage)|.*[Ee]rror: ", line)]
    line = next(iter([*errors, *reversed(lines)]), "it said nothing")
    return re.sub(r"^(E|ERROR:?|.*: error:)\s+", "", line)


def _alternate(children: Mapping[int, _Child], names: Mapping[str, str], first: int) -> None:
    """Give turns until both have ended: A B B A while both are at the same cell.

    The last three of these four are taken on the CPU where the first one ended: beside other work
    one CPU can be a quarter slower than another, and a process mostly stays where it is.
    """
    order = (first, 1 - first, 1 - first, first)
    back = {other: name for name, other in names.items()}
    number, at, cpu = 0, None, None
    while any(child.at is not None for child in children.values()):
        here = [children[0].at, back.get(children[1].at or "", children[1].at)]
        common = [name in names for name in here]
        if here[0] == here[1]:
            number, at = (number if here[0] == at else 0), here[0]
            child = children[order[number % 4]]
            child.go(cpu if number % 4 else None)
            cpu = cpu if number % 4 else child.cpu
            number += 1
            continue
        if None in here:
            behind = 1 if here[0] is None else 0
        elif not all(common):  # a cell of one side alone
            behind = 0 if not common[0] else 1
        else:  # the side that is at a cell which the other has reached
            behind = 0 if names[str(here[0])] in children[1].reached else 1
        children[behind].go(cpu if here[behind] == at and number % 4 else None)
        number = 0


def _end_with_parent() -> None:
    """End with the process that gives the turns, even where that is killed (on Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
