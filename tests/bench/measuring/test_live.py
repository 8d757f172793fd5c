"""The status line: only on a terminal, not too often, not too long, and pytest's line stays."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from os import terminal_size

import pytest

from bench.measuring import live
from bench.measuring.live import Live, Progress
from bench.results.cell import Cell

BEFORE = "\x1bD\x1b[A\x1b7\x1bD\r"  # room below, back up, remember the place, down, to its start
AFTER = "\x1b[K\x1b8"  # erase what is left of an older text, return to the place


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Screen:
    """As much of a terminal as the status line uses."""

    def __init__(self, height: int, written: str) -> None:
        self.lines = [""] * height
        self.row = self.column = 0
        saved = (0, 0)
        for token in re.findall(r"\x1b\[?[A-Z78]|.|\n|\r", written):
            if token in ("\x1bD", "\n"):
                self._down()
            elif token == "\x1b[A":
                self.row = max(0, self.row - 1)
            elif token == "\x1b7":
                saved = (self.row, self.column)
            elif token == "\x1b8":
                self.row, self.column = saved
            elif token == "\x1b[K":
                self.lines[self.row] = self.lines[self.row][: self.column]
            elif token != "\r":
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + token + line[self.column + 1 :]
                self.column += 1
            if token in ("\n", "\r"):
                self.column = 0

    def _down(self) -> None:
        if self.row == len(self.lines) - 1:
            self.lines = [*self.lines[1:], ""]
        else:
            self.row += 1


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time that stands still until a test moves it."""
    stopped = Clock()
    monkeypatch.setattr(live, "monotonic", stopped)
    return stopped


@pytest.fixture(autouse=True)
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "get_terminal_size", lambda: terminal_size((60, 24)))


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ("decode-rgb", "2 s left · decode-rgb 3/113 rounds"),
        (f"tiny-{'x' * 60}", f"2 s left · tiny-{'x' * 43}"),
    ],
)
def test_the_line_says_cell_rounds_and_the_time_left_as_far_as_it_fits(
    cell: str, line: str, clock: Clock
) -> None:
    stream = Terminal()
    Live(stream).show(cell, 3, 113, 1.6)
    assert len(line) < 60
    assert stream.getvalue() == BEFORE + line + AFTER


def test_it_says_which_cell_of_how_many_is_running_and_the_time_left() -> None:
    cells = [Cell(family, {"x": family}) for family in ("generate", "forward", "forward")]
    progress = Progress((cell, 2.0) for cell in cells)
    assert progress.text() == ""
    assert [progress.begin(cell) for cell in cells[:2]] == [True, True]
    assert progress.text() == "cell 2 of 3, about 4 s left"
    assert progress.text(0.6) == "cell 2 of 3, about 3 s left"
    assert not progress.begin(cells[2])
    assert progress.text(0.2) == "cell 3 of 3, about 0 s left"


def test_a_line_is_said_at_once_and_stays_for_a_fifth_of_a_second(clock: Clock) -> None:
    stream = Terminal()
    line = Live(stream)
    line.show("decode-rgb", 0, 6, 2.0)
    stream.truncate(stream.seek(0))
    line.say("large  estimated memory: 7.58 GiB")
    line.show("large", 0, 6, 2.0)
    assert stream.getvalue() == BEFORE + "large  estimated memory: 7.58 GiB" + AFTER


def test_nothing_is_written_without_a_terminal(clock: Clock) -> None:
    stream = io.StringIO()
    line = Live(stream)
    line.show("decode-rgb", 0, 6, 2.0)
    clock.now += 1
    line.show("decode-rgb", 1, 6, 1.0)
    line.say("large  estimated memory: 7.58 GiB")
    line.clear()
    assert stream.getvalue() == ""


def test_it_is_written_at_most_every_fifth_of_a_second(clock: Clock) -> None:
    stream = Terminal()
    line = Live(stream)
    shown = []
    for number in range(10):
        before = len(stream.getvalue())
        line.show("decode-rgb", number, 10, 1.0)
        if len(stream.getvalue()) > before:
            shown.append(number)
        clock.now += 0.0625
    assert shown == [0, 4, 8]


def test_clearing_writes_an_empty_line_once_and_at_once(clock: Clock) -> None:
    stream = Terminal()
    line = Live(stream)
    line.clear()
    assert stream.getvalue() == ""
    line.show("decode-rgb", 0, 6, 2.0)
    stream.truncate(stream.seek(0))
    line.clear()
    line.clear()
    assert stream.getvalue() == BEFORE + AFTER


@pytest.mark.parametrize("height", [5, 3], ids=["in the middle", "on the last line"])
def test_what_pytest_writes_goes_on_where_it_was(height: int, clock: Clock) -> None:
    stream = Terminal()
    line = Live(stream)
    stream.write("one\ntwo\nbench/test_forward.py .")
    line.show("flux-cpu-batch8", 1, 10, 1.0)
    lines = Screen(height, stream.getvalue()).lines
    below = lines.index("bench/test_forward.py .") + 1
    assert lines[below] == "1 s left · flux-cpu-batch8 1/10 rounds"
    clock.now += 1
    line.show("flux", 2, 10, 0.4)
    assert "0 s left · flux 2/10 rounds" in Screen(height, stream.getvalue()).lines
    line.clear()
    stream.write(".")
    screen = Screen(height, stream.getvalue())
    written = [text for text in screen.lines if text]
    assert written[-2:] == ["two", "bench/test_forward.py .."]
    assert screen.lines[screen.row] == "bench/test_forward.py .."


def test_capturing_is_lifted_while_it_writes(clock: Clock) -> None:
    stream = Terminal()
    moments: list[tuple[str, int]] = []

    class Capture:
        @contextmanager
        def global_and_fixture_disabled(self) -> Iterator[None]:
            moments.append(("lifted", len(stream.getvalue())))
            yield
            moments.append(("back", len(stream.getvalue())))

    Live(stream, Capture()).show("decode-rgb", 0, 6, 2.0)
    assert moments == [("lifted", 0), ("back", len(stream.getvalue()))]
