"""The layout of a table: columns of texts, as many as fit the width, and footnotes."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from typing import Literal

from bench.reporting.texts import superscript, wrapped

__all__ = ["GAP", "ID_WIDTH", "Column", "Notes", "Screen"]

NARROWEST = 40
"""The fewest columns that lines are broken to."""

ID_WIDTH = 34
"""Columns that an id may take before other columns are left out; a longer one is folded."""

ALWAYS = 3
"""Columns after the id that no table leaves out: time, interval and rounds."""

GAP = 2


@dataclass(frozen=True)
class Column:
    """A heading, and one text a row."""

    heading: str
    texts: Sequence[str]
    justify: Literal["left", "right"] = "right"

    @cached_property
    def width(self) -> int:
        """Return the columns of text that it takes."""
        return max(map(len, (self.heading, *self.texts)))

    def justified(self, text: str) -> str:
        """Fill `text` up to the width."""
        return text.ljust(self.width) if self.justify == "left" else text.rjust(self.width)


class Notes:
    """Footnotes, numbered as they first appear and printed once."""

    def __init__(self) -> None:
        """Start without any."""
        self._numbers: dict[str, int] = {}

    def mark(self, text: str) -> str:
        """Return the sign of `text`: ¹, ², …"""
        return superscript(self._numbers.setdefault(text, len(self._numbers) + 1))

    def lines(self) -> list[str]:
        """Return the notes as they stand under the tables."""
        return [f"{superscript(number)} {text}" for text, number in self._numbers.items()]


class Screen:
    """Lines and tables of at most `width` columns, at least 40, as one text.

    Nothing in a text is markup; `color` adds a terminal's colours.
    """

    def __init__(self, width: int, color: bool) -> None:
        """Begin empty."""
        from rich.console import Console

        self.width = max(width, NARROWEST)
        self._out = StringIO()
        self._console = Console(
            file=self._out,
            width=self.width,
            force_terminal=color,
            no_color=not color,
            highlight=False,
            markup=False,
            emoji=False,
        )

    def print(self, line: str = "", style: str = "", indent: int = 0) -> None:
        """Add a line, broken between words; lines after the first are indented."""
        self._console.print(wrapped(line, self.width, indent), style=style)

    def table(self, columns: Sequence[Column], always: int = ALWAYS) -> Sequence[Column]:
        """Add a table of as many columns as fit, in order; an id may be folded, a number never is.

        The first column holds the ids; `always` is how many after it are never left out. Returns
        the columns that were left out.
        """
        shown = _fitting(columns, self.width, always)
        heading, rule, *lines = _lines(columns[:shown], self.width)
        self._console.print(heading, style="bold")
        # rich takes a millisecond a row, and nothing in these lines has a style
        self._out.write("".join(f"{line}\n" for line in (rule, *lines)))
        return columns[shown:]

    def text(self) -> str:
        """Return all lines, without spaces at their ends."""
        return "\n".join(line.rstrip() for line in self._out.getvalue().splitlines())


def _fitting(columns: Sequence[Column], width: int, always: int) -> int:
    """Return how many columns fit, the first of which holds the ids."""
    room = width - min(columns[0].width, ID_WIDTH)
    count = len(columns)
    while count > 1 + always and sum(GAP + column.width for column in columns[1:count]) > room:
        count -= 1
    return count


def _lines(columns: Sequence[Column], width: int) -> Iterator[str]:
    """Yield heading, rule and rows."""
    ids, *others = columns
    room = max(1, width - sum(GAP + column.width for column in others))
    folded = [_folded(text, room) for text in ids.texts]
    first = max(map(len, (ids.heading, *(line for lines in folded for line in lines))))
    gap = " " * GAP
    yield gap.join([ids.heading.ljust(first), *(one.justified(one.heading) for one in others)])
    yield "─" * (first + sum(GAP + column.width for column in others))
    for index, (line, *rest) in enumerate(folded):
        yield gap.join([line.ljust(first), *(one.justified(one.texts[index]) for one in others)])
        yield from rest


def _folded(text: str, width: int) -> list[str]:
    """Break `text` into lines, after a hyphen where there is one."""
    return re.findall(rf".{{1,{width}}}(?:(?<=-)|$)|.{{1,{width}}}", text) or [text]
