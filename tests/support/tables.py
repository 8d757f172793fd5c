"""What the tests of tables share: rows of the tiny pipeline, and the lines of a table."""

import re
from dataclasses import replace
from typing import Any

from bench.reporting import tables
from bench.results.cell import MEASURED, Row
from support.results import MACHINE, generate


def measured(*seconds: float, **known: Any) -> Row:
    """A row of the tiny pipeline with these samples."""
    return replace(
        generate("tiny", "cpu", "64x64", 4, MEASURED, samples=seconds),
        **{"first_call": 0.02, "limited_by": "precision", **known},
    )


def table_of(*rows: Row, width: int = 120) -> list[str]:
    """The lines of the first table, from its heading on, without the rule."""
    lines = tables.render(rows, MACHINE, width).split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith("cell "))
    return [lines[start], *lines[start + 2 : lines.index("", start)]]


def fields(line: str) -> list[str]:
    """The cells of a line of a table."""
    return re.split(r" {2,}", line)
