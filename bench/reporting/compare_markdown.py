"""A comparison as GitHub's Markdown, for a pull request or a job summary."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress

from bench.comparing import sides
from bench.comparing.comparison import Comparison, Line
from bench.comparing.gate import Outcome
from bench.comparing.verdict import SAME
from bench.reporting.compare_tables import Sheet, gate_lines, how_to_read, tally, undecided
from bench.reporting.layout import Column, Notes
from bench.reporting.tables import families_of
from bench.reporting.texts import plain

__all__ = ["escaped", "render"]

LIVE = re.compile(r"@|#|(?i:https?|ftp):|(?i:www)(?=\.)|(?i:gh)(?=-\d)")
"""Where GitHub would see a mention, an issue or an address."""


def render(comparison: Comparison, outcome: Outcome | None = None, explain: bool = False) -> str:
    """Return the comparison with its tally first; rows that stayed the same are folded away.

    `outcome` is what came of a gate; with `explain` every verdict's reason is folded in.
    """
    notes = Notes()
    blocks = [[f"**{escaped(line)}**  " for line in tally(comparison)]]
    if outcome is not None:
        blocks.append(_items(line for line in gate_lines(outcome) if line))
    machine = sides.common(comparison.sides)
    blocks.append([escaped(machine)] if machine else [])
    blocks.append(_items(sides.differences(comparison.sides)))
    for family in families_of(line.cell for line in comparison.lines):
        blocks += _family(comparison, comparison.of(family), notes, explain)
    blocks.append(_items(line for line in undecided(comparison) if line))
    blocks.append([escaped(line) + "  " for line in notes.lines()])
    blocks.append([f"<sub>{escaped('; '.join(how_to_read(comparison)))}</sub>"])
    return "\n\n".join("\n".join(block).rstrip() for block in blocks if block)


def _family(
    comparison: Comparison, lines: Sequence[Line], notes: Notes, explain: bool
) -> Iterator[list[str]]:
    """Yield the title, the table of what is not the same, and the folded parts."""
    sheet = Sheet(comparison, lines, notes)
    columns = [sheet.cells(), sheet.base()]
    for number in range(1, len(comparison.sides)):
        columns += sheet.side(number)
    same = [all(verdict.word == SAME for verdict in line.verdicts) for line in lines]
    yield [f"#### {escaped(sheet.title)}"]
    if not all(same):
        yield _table(columns, [*(not unchanged for unchanged in same), True])
    if any(same):
        yield _folded(f"{sum(same)} the same", _table(columns, [*same, all(same)]))
    if explain:
        yield _folded("why", _items(sheet.explained()))


def _table(columns: Sequence[Column], shown: Sequence[bool]) -> list[str]:
    rules = [":--" if column.justify == "left" else "--:" for column in columns]
    rules[0] = ":--"
    rows = zip(*(column.texts for column in columns), strict=True)
    return [
        _row(escaped(column.heading) for column in columns),
        _row(rules),
        *(_row(escaped(text.strip()) for text in row) for row in compress(rows, shown)),
    ]


def _row(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _folded(summary: str, lines: Sequence[str]) -> list[str]:
    """Fold `lines` under a summary; GitHub wants empty lines around Markdown inside HTML."""
    return [f"<details><summary>{escaped(summary)}</summary>", "", *lines, "", "</details>"]


def _items(lines: Iterable[str]) -> list[str]:
    """Return a list; a line that is indented belongs under the one before it."""
    return [f"{'  ' if line.startswith(' ') else ''}- {escaped(line.strip())}" for line in lines]


def escaped(text: str) -> str:
    """Return `text` as it stands: nothing in it is Markdown, HTML, a link or the end of a cell.

    GitHub notifies for `@name` and links `#1` and addresses even where they are escaped: a space of
    no width keeps it from seeing them.
    """
    html = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped_text = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", html)
    return LIVE.sub("\\g<0>\u200b", escaped_text)
