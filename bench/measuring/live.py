"""On a terminal, which cell is running: its rounds, and the time left in its budget."""

from contextlib import nullcontext
from shutil import get_terminal_size
from time import monotonic
from typing import Any, TextIO

__all__ = ["Live"]

PERIOD_S = 0.2

_SAVE, _RESTORE, _ERASE = "\x1b7", "\x1b8", "\x1b[K"
_DOWN, _UP = "\x1bD", "\x1b[A"
"""Down keeps the column, which a line feed does not, and scrolls on the last line."""


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

    def show(self, cell: str, done: int, rounds: int, seconds_left: float) -> None:
        """Show a cell's progress, at most once in 0.2 s."""
        if monotonic() - self._shown_at >= PERIOD_S:
            self.say(f"{cell}  {done}/{rounds} rounds, {seconds_left:.0f} s left in its budget")

    def say(self, line: str) -> None:
        """Show a line, which stays until another follows."""
        if self._terminal:
            self._shown_at, self._shown = monotonic(), True
            self._write(line)

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
