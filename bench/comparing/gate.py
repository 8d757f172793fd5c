"""The gate: which rows fail a comparison, by `--fail-on` or by `pyproject.toml`."""

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.comparing.comparison import ABSENT, REFUSED, Comparison
from bench.comparing.verdict import SLOWER, UNDECIDED, WORSE
from bench.results.units import percent
from pipeline.arguments import parse_list
from pipeline.errors import PipelineError

__all__ = ["DEFAULT", "Gate", "Outcome", "from_project", "judge", "parse"]

DEFAULT = "default"
"""Stands in `pyproject.toml` for every family that has no line of its own."""

TOOL, TABLE = "sd-flux-bench", "fail-on"
PLACE = f"[tool.{TOOL}.{TABLE}]"

EXPECTED = "slower:10% (any percentage), missing, undecided, or several with commas between"


@dataclass(frozen=True)
class Gate:
    """What fails a row."""

    slower: float | None = None
    """The share that its whole interval must be slower by: 0.1 is 10 %; None for never. A row with
    worse pictures fails then too."""
    missing: bool = False
    """Whether it fails where the baseline measured it and a later side did not."""
    undecided: bool = False
    """Whether it fails where nothing can be said of it."""


@dataclass(frozen=True)
class Outcome:
    """What came of a gate."""

    failures: tuple[str, ...]
    """One line a row that fails."""
    open: tuple[str, ...]
    """One line a row that may be that much slower, but is undecided."""
    judged: int
    """How many rows were compared: where none was, the gate has nothing to say."""


def parse(text: str, place: str = "--fail-on") -> Gate:
    """Read `slower:10%`, `missing`, `undecided`, or several; `place` is where it stands.

    Raises `PipelineError` for anything else.
    """
    slower, words = None, set()
    for part in parse_list(text) if text.strip() else [""]:
        threshold = re.fullmatch(r"slower:(\d+(?:\.\d+)?)\s*%", part)
        if part in ("missing", "undecided"):
            words.add(part)
        elif threshold and slower is None:
            slower = float(threshold[1]) / 100
        else:
            question = f"{place} {text.strip() or repr(text)}"
            raise PipelineError(question, EXPECTED, f"change {place}")
    return Gate(slower, "missing" in words, "undecided" in words)


def from_project(folder: Path) -> dict[str, Gate]:
    """Return the gates by family that the nearest `pyproject.toml` names; often none.

    Raises `PipelineError` where that file, or a line of its table, is wrong.
    """
    paths = (place / "pyproject.toml" for place in (folder, *folder.parents))
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return {}
    try:
        table: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # tomllib's own is a ValueError
        raise PipelineError(path.name, f"TOML ({error})", "mend it") from error
    for key in ("tool", TOOL, TABLE):
        table = table.get(key, {}) if isinstance(table, dict) else None
    if not isinstance(table, dict):
        raise PipelineError(f"{path.name} {PLACE}", "a table", 'write forward = "slower:10%"')
    gates = {}
    for family, text in table.items():
        place = f"{path.name} {PLACE} {family} ="
        if not isinstance(text, str):
            raise PipelineError(f"{place} {text!r}", f"text: {EXPECTED}", "put it in quotes")
        gates[family] = parse(text, place)
    return gates


def judge(
    comparison: Comparison, gates: Mapping[str, Gate], families: Collection[str] = ()
) -> Outcome:
    """Hold every row against the gate of its family, or of `default`.

    Raises `PipelineError` for a gate whose family is neither compared here nor among `families`.
    """
    known = dict.fromkeys([*families, *(line.cell.family for line in comparison.lines), DEFAULT])
    for family in gates:
        if family not in known:
            remedy = "change the name of the family"
            raise PipelineError(f"{PLACE} {family}", " or ".join(known), remedy)
    failures, undecided, judged = [], [], 0
    for line in comparison.lines:
        gate = gates.get(line.cell.family, gates.get(DEFAULT, Gate()))
        sides = zip(comparison.sides[1:], line.entries[1:], line.verdicts, strict=True)
        for side, entry, verdict in sides:
            judged += verdict.word not in (ABSENT, REFUSED)
            row = f"{side.label}  {line.cell.family} {line.cell.id}"
            if gate.missing and line.entries[0].rows and not entry.rows:
                failures.append(f"{row}: not measured ({entry.absence})")
            if gate.undecided and verdict.word == UNDECIDED:
                failures.append(f"{row}: undecided ({verdict.why})")
            if gate.slower is None:
                continue
            if verdict.word == WORSE:
                failures.append(f"{row}: worse pictures ({verdict.why})")
            ratio, edge = verdict.ratio, 1 + gate.slower
            if verdict.word == SLOWER and ratio and (ratio.low or 0.0) > edge:
                ends = f"{ratio.value:.2f} times as long ({ratio.low:.2f}–{ratio.high:.2f})"
                failures.append(f"{row}: {ends}, over {percent(gate.slower)}")
            elif (
                verdict.word == UNDECIDED
                and not gate.undecided
                and (ratio is None or ratio.high is None or ratio.high > edge)
            ):
                undecided.append(row)
    return Outcome(tuple(failures), tuple(undecided), judged)
