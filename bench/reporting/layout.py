"""The layout of a table: columns of texts, as many as a width has room for, and footnotes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Literal

from bench.reporting.texts import superscript

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["GAP", "ID_WIDTH", "NARROWEST", "Column", "Notes", "console_of", "table_of"]

NARROWEST = 40
"""Columns below which lines are not made shorter."""

ID_WIDTH = 34
"""Columns that an id may take before other columns are left out; a longer one is folded."""

ALWAYS = 3
"""Columns that no table leaves out: time, interval and rounds."""

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


def console_of(out: StringIO, width: int, color: bool) -> "Console":
    """Return what prints to `out` as it stands: nothing in a text is markup."""
    from rich.console import Console

    return Console(
        file=out,
        width=width,
        force_terminal=color,
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
    )


def table_of(columns: Sequence[Column], width: int, always: int = ALWAYS) -> "Table":
    """Lay out as many columns as fit, in their order; an id may be folded, a number never is.

    The first one is the ids; `always` is how many after it are never left out.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    ids, *others = columns
    room = width - min(ids.width, ID_WIDTH)
    while len(others) > always and sum(GAP + each.width for each in others) > room:
        others.pop()
    room = max(1, width - sum(GAP + each.width for each in others))
    folded = [_folded(each, room) for each in ids.texts]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, GAP - 1, 0, 0))
    table.add_column(ids.heading, overflow="fold")
    for column in others:
        table.add_column(column.justified(column.heading), no_wrap=True)
    for index, text in enumerate(folded):
        table.add_row(text, *(column.justified(column.texts[index]) for column in others))
    return table


def _folded(text: str, width: int) -> str:
    """Break `text` into lines, after a hyphen where there is one."""
    return "\n".join(re.findall(rf".{{1,{width}}}(?:(?<=-)|$)|.{{1,{width}}}", text))
