"""The layout of a table: columns of texts, as many as fit the width, and footnotes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Literal

from bench.reporting.texts import superscript, wrapped

if TYPE_CHECKING:
    from rich.table import Table

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

    @property
    def width(self) -> int:
        """Return the columns of text that it takes."""
        return max(map(len, (self.heading, *self.texts)))

    def justified(self, text: str) -> str:
        """Fill `text` up to the width; rich would strip what aligns the decimal points."""
        return text.ljust(self.width) if self.justify == "left" else text.rjust(self.width)


class Notes:
    """Footnotes, numbered as they first appear and printed once."""

    def __init__(self) -> None:
        """Start without any."""
        self._texts: list[str] = []

    def mark(self, text: str) -> str:
        """Return the sign of `text`: ¹, ², …"""
        if text not in self._texts:
            self._texts.append(text)
        return superscript(self._texts.index(text) + 1)

    def lines(self) -> list[str]:
        """Return the notes as they stand under the tables."""
        return [f"{superscript(number)} {text}" for number, text in enumerate(self._texts, 1)]


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

    def table(self, columns: Sequence[Column], always: int = ALWAYS) -> None:
        """Add a table of as many columns as fit, in order; an id may be folded, a number never is.

        The first column holds the ids; `always` is how many after it are never left out.
        """
        self._console.print(_table(columns, self.width, always))

    def text(self) -> str:
        """Return all lines, without spaces at their ends."""
        return "\n".join(line.rstrip() for line in self._out.getvalue().splitlines())


def _table(columns: Sequence[Column], width: int, always: int) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    ids, *others = columns
    room = width - min(ids.width, ID_WIDTH)
    while len(others) > always and sum(GAP + column.width for column in others) > room:
        others.pop()
    room = max(1, width - sum(GAP + column.width for column in others))
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, GAP - 1, 0, 0))
    table.add_column(ids.heading, overflow="fold")
    for column in others:
        table.add_column(column.justified(column.heading), no_wrap=True)
    for index, text in enumerate(ids.texts):
        cells = (column.justified(column.texts[index]) for column in others)
        table.add_row(_folded(text, room), *cells)
    return table


def _folded(text: str, width: int) -> str:
    """Break `text` into lines, after a hyphen where there is one."""
    return "\n".join(re.findall(rf".{{1,{width}}}(?:(?<=-)|$)|.{{1,{width}}}", text))
