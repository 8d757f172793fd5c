"""The gate: what fails a comparison, from `--fail-on` or from `pyproject.toml`."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.comparing.comparison import ABSENT, REFUSED, Comparison, Line
from bench.comparing.verdict import SLOWER, UNDECIDED, percent
from bench.reporting.tables import LAYOUTS
from pipeline.arguments import parse_list
from pipeline.errors import PipelineError

__all__ = ["DEFAULT", "Gate", "Outcome", "from_project", "judge", "parse"]

DEFAULT = "default"
"""Stands in `pyproject.toml` for every family that has no line of its own."""

TOOL, TABLE = "sd-flux-bench", "fail-on"
PLACE = f"[tool.{TOOL}.{TABLE}]"

EXPECTED = "slower:10% (any percentage), missing, or both with a comma between"


@dataclass(frozen=True)
class Gate:
    """What fails a row."""

    slower: float | None = None
    """The share that its whole interval must be slower by: 0.1 is 10 %; None for never."""
    missing: bool = False
    """Whether it fails where the baseline measured it and a later side did not."""


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
    """Read `slower:10%`, `missing`, or both; `place` is where it stands.

    Raises `PipelineError` for anything else.
    """
    slower, missing = None, False
    for part in parse_list(text) if text.strip() else [""]:
        found = re.fullmatch(r"slower:(\d+(?:\.\d+)?)\s*%", part)
        if part == "missing":
            missing = True
        elif found and slower is None:
            slower = float(found[1]) / 100
        else:
            raise PipelineError(
                f"{place} {text.strip() or repr(text)}", EXPECTED, f"change {place}"
            )
    return Gate(slower, missing)


def from_project(folder: Path) -> dict[str, Gate]:
    """Return the gates by family that the nearest `pyproject.toml` names; often none.

    Raises `PipelineError` where that file, or a line of its table, is wrong.
    """
    path = next(
        (
            each / "pyproject.toml"
            for each in (folder, *folder.parents)
            if (each / "pyproject.toml").is_file()
        ),
        None,
    )
    if path is None:
        return {}
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # tomllib's own error is a ValueError
        raise PipelineError(path.name, f"TOML ({error})", "mend it") from error
    table: Any = settings
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


def judge(comparison: Comparison, gates: Mapping[str, Gate]) -> Outcome:
    """Hold every row against the gate of its family, or of `default`.

    Raises `PipelineError` for a gate whose family is neither of this project nor compared here.
    """
    known = [*LAYOUTS, *dict.fromkeys(line.cell.family for line in comparison.lines), DEFAULT]
    for family in gates:
        if family not in known:
            expected = " or ".join(dict.fromkeys(known))
            raise PipelineError(f"{PLACE} {family}", expected, "change the name of the family")
    failures, undecided, judged = [], [], 0
    for line in comparison.lines:
        gate = gates.get(line.cell.family, gates.get(DEFAULT, Gate()))
        for number, side in enumerate(comparison.sides[1:]):
            verdict = line.verdicts[number]
            judged += verdict.word not in (ABSENT, REFUSED)
            row = f"{side.label}  {line.cell.family} {line.cell.id}"
            if gate.missing and line.entries[0].rows and not line.entries[number + 1].rows:
                failures.append(f"{row}: not measured ({line.entries[number + 1].absence})")
            if gate.slower is None:
                continue
            if _is_slower(line, number, gate.slower):
                failures.append(f"{row}: {_interval(line, number)}, over {percent(gate.slower)}")
            elif verdict.word == UNDECIDED and _may_be_slower(line, number, gate.slower):
                undecided.append(row)
    return Outcome(tuple(failures), tuple(undecided), judged)


def _is_slower(line: Line, number: int, share: float) -> bool:
    """Say whether the whole interval is: a decided row whose low end lies above."""
    verdict = line.verdicts[number]
    low = verdict.ratio.low if verdict.ratio else None
    return verdict.word == SLOWER and low is not None and low > 1 + share


def _may_be_slower(line: Line, number: int, share: float) -> bool:
    """Say whether a part of the interval is, or there is none."""
    ratio = line.verdicts[number].ratio
    return ratio is None or ratio.high is None or ratio.high > 1 + share


def _interval(line: Line, number: int) -> str:
    ratio = line.verdicts[number].ratio
    assert ratio is not None
    return f"{ratio.value:.2f} times as long ({ratio.low:.2f}–{ratio.high:.2f})"
