"""On a terminal, which cell is running: its rounds, and the time left in its budget."""

from contextlib import AbstractContextManager, nullcontext
from shutil import get_terminal_size
from time import monotonic
from typing import Any, TextIO

__all__ = ["Live"]

PERIOD_S = 0.2

_SAVE, _RESTORE, _ERASE = "\x1b7", "\x1b8", "\x1b[K"
_DOWN, _UP = "\x1bD", "\x1b[A"
"""Down keeps the column, as a line feed does not, and scrolls on the last line."""


class Live:
    """A status line below pytest's own, which stays where it is; nothing without a terminal.

    It is written between rounds, outside the clock, a few times a second.
    """

    def __init__(self, stream: TextIO, capture: Any = None) -> None:
        """Write to `stream`; `capture` is pytest's capture manager, lifted for a moment."""
        self._stream = stream
        self._terminal = stream.isatty()  # asked now: a captured stream is a file
        self._capture = capture
        self._shown_at = 0.0
        self._shown = False

    def show(self, cell: str, done: int, rounds: int, seconds_left: float) -> None:
        """Say how far a cell is; calls that come sooner than 0.2 s after another are left out."""
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
        with self._lifted():
            self._stream.write(f"{_DOWN}{_UP}{_SAVE}{_DOWN}\r{line}{_ERASE}{_RESTORE}")
            self._stream.flush()

    def _lifted(self) -> AbstractContextManager[Any]:
        if self._capture is None:
            return nullcontext()
        lifted: AbstractContextManager[Any] = self._capture.global_and_fixture_disabled()
        return lifted
