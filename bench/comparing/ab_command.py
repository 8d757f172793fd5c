"""What `python -m bench ab` and `noise` share: their trees, their options and their progress."""

import math
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import get_terminal_size
from tempfile import TemporaryDirectory
from typing import Any, NoReturn, TextIO

from bench.comparing.ab import Outcome
from pipeline.errors import PipelineError

__all__ = ["DEFAULT_BUDGET", "Told", "headline", "scratch", "seconds", "selection"]

DEFAULT_BUDGET = 600.0
"""Seconds; the default grid takes a minute and more a pair."""

TERMINATED = 143


class Told:
    """Progress on standard error: one live line on a terminal, a plain line a block elsewhere."""

    def __init__(self, budget: float, stream: TextIO) -> None:
        """Take the budget in seconds."""
        self._budget = budget
        self._stream = stream
        self._live = stream.isatty()

    def say(self, outcome: Outcome, rows: tuple[int, int] | None) -> None:
        """Say how far it is; of `rows`, how many are decided, and how many there are."""
        pairs = len(outcome.pairs)
        text = f"block {(pairs + 1) // 2} · {outcome.seconds:.0f} s of at most {self._budget:g} s"
        if rows is not None:
            text += f" · {rows[0]} of {rows[1]} rows decided"
        if self._live:
            self._stream.write(f"\r{text[: get_terminal_size().columns - 1]}\x1b[K")
        elif pairs % 2 == 0:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Remove the live line."""
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder that vanishes with all that is in it, on Ctrl-C and on SIGTERM too."""
    if not hasattr(signal, "SIGKILL"):
        raise PipelineError("python -m bench ab", "Linux or macOS", "use WSL")

    def end(*_: Any) -> NoReturn:
        sys.exit(TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        with TemporaryDirectory(prefix="sd-flux-bench-") as folder:
            yield Path(folder)
    finally:
        signal.signal(signal.SIGTERM, before)


def seconds(text: str) -> float:
    """Read `--budget`.

    Raises `PipelineError` for anything but a number of seconds above 0.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise PipelineError(f"--budget {text}", "a number of seconds above 0", "change --budget")
    return value


def selection(arguments: Sequence[str]) -> list[str]:
    """Return what pytest is told on both sides: `bench/` unless a file or a folder is among it."""
    given = [argument for argument in arguments if argument != "--"]
    named = any(Path(each.partition("::")[0]).exists() for each in given if each[:1] != "-")
    return given if named else ["bench/", *given]


def headline(outcome: Outcome) -> str:
    """Return what was measured, and what else went on."""
    loads = outcome.loads
    load = f"; load per CPU {min(loads):.2g} to {max(loads):.2g}" if loads else ""
    ended = "; interrupted" if outcome.interrupted else ""
    count = len(outcome.pairs)
    pairs = f"{count} pair{'' if count == 1 else 's'} of fresh processes"
    return f"{pairs} in {outcome.seconds:.0f} s, in turns A B B A{load}{ended}"
