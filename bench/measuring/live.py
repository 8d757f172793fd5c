"""Progress: on a terminal a status line, elsewhere a line a family."""

from collections.abc import Iterable
from contextlib import nullcontext
from shutil import get_terminal_size
from time import monotonic
from typing import Any, TextIO

from bench.results.cell import Cell

__all__ = ["Live", "Progress"]

PERIOD_S = 0.2

_SAVE, _RESTORE, _ERASE = "\x1b7", "\x1b8", "\x1b[K"
_DOWN, _UP = "\x1bD", "\x1b[A"
"""Down keeps the column, which a line feed does not, and scrolls on the last line."""


class Progress:
    """Which cell of how many is running, and how long the rest may take by their budgets."""

    def __init__(self, budgets: Iterable[tuple[Cell, float]] = ()) -> None:
        """Take the cells that will run, with their budgets in seconds."""
        self._budgets = [seconds for _, seconds in budgets]
        self._begun = 0
        self._family = ""

    def begin(self, cell: Cell) -> bool:
        """Note that a cell begins; return whether it is the first of its family."""
        self._begun += 1
        first = cell.family != self._family
        self._family = cell.family
        return first

    def text(self, seconds_left: float | None = None) -> str:
        """Return `cell 12 of 38, about 25 s left`; `seconds_left` are the running cell's.

        Before a cell has begun it is empty.
        """
        if not self._begun:
            return ""
        if seconds_left is None:
            seconds_left = self._budgets[self._begun - 1]
        left = seconds_left + sum(self._budgets[self._begun :])
        return f"cell {self._begun} of {len(self._budgets)}, about {left:.0f} s left"


class Live:
    """A status line below pytest's own line, which stays in place; nothing without a terminal.

    It is written between rounds, outside the clock, a few times a second.
    """

    def __init__(self, stream: TextIO, capture: Any = None) -> None:
        """Write to `stream`; `capture` is pytest's capture manager, suspended for each write."""
        self._stream = stream
        self._terminal = stream.isatty()  # asked now: later pytest's capture makes it a file
        self._capture = capture
        self._shown_at = 0.0
        self._shown = False
        self.progress = Progress()

    def show(
        self, cell: str, done: int, count: int, seconds_left: float, unit: str = "rounds"
    ) -> None:
        """Show how far the run and a cell are, at most once in 0.2 s."""
        if monotonic() - self._shown_at >= PERIOD_S:
            run = self.progress.text(seconds_left) or f"{seconds_left:.0f} s left"
            self.say(f"{run} · {cell} {done}/{count} {unit}")

    def say(self, line: str) -> bool:
        """Show a line, which stays until another follows; return whether there is a terminal."""
        if self._terminal:
            self._shown_at, self._shown = monotonic(), True
            self._write(line)
        return self._terminal

    def clear(self) -> None:
        """Remove the line."""
        if self._shown:
            self._shown = False
            self._write("")

    def _write(self, text: str) -> None:
        line = text[: get_terminal_size().columns - 1]
        suspended = self._capture.global_and_fixture_disabled() if self._capture else nullcontext()
        with suspended:
            self._stream.write(f"{_DOWN}{_UP}{_SAVE}{_DOWN}\r{line}{_ERASE}{_RESTORE}")
            self._stream.flush()
