"""The comparison: rows matched by cell, refused where they are not the same work, and decided."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean

from bench.comparing.sides import Side, other_load, workload_changed
from bench.comparing.verdict import DECIDED, Verdict, decide
from bench.results import fingerprint
from bench.results.cell import MEASURED, Cell, Row
from bench.statistics import bootstrap
from pipeline.errors import PipelineError

__all__ = ["ABSENT", "REFUSED", "Comparison", "Entry", "Line", "compare", "geometric_mean"]

REFUSED, ABSENT = "refused", "absent"
"""Words beside those of a verdict: both sides measured the cell, but not the same thing; or one
side alone measured it."""

Judge = Callable[[str], Verdict]
"""Decides on the cell of that name."""

NOT_MEASURED = "its run has no such cell"


@dataclass(frozen=True)
class Entry:
    """What one side has of a cell."""

    rows: tuple[Row, ...]
    """One row a run that measured it."""
    absence: str = ""
    """Why there is none; empty where there is."""

    @property
    def seconds(self) -> float | None:
        """Return the time of a call: the median, of several runs the mean of theirs."""
        return bootstrap.middle(self.samples) if self.rows else None

    @property
    def samples(self) -> list[tuple[float, ...]]:
        """Return the samples of each run."""
        return [row.samples for row in self.rows]


@dataclass(frozen=True)
class Line:
    """One cell on all sides."""

    name: str
    """pytest's id of the test, which rows are matched by."""
    cell: Cell
    entries: tuple[Entry, ...]
    """One a side."""
    verdicts: tuple[Verdict, ...]
    """One a side after the first, which they are compared with; the words `refused` and `absent`
    are among theirs."""
    changed: tuple[str, ...]
    """One a side after the first: how its output differs; empty where it does not."""


@dataclass(frozen=True)
class Comparison:
    """All sides and all cells that any of them measured."""

    sides: tuple[Side, ...]
    """The first is the baseline."""
    lines: tuple[Line, ...]
    """In the order of the baseline, then of the sides after it."""

    def of(self, family: str) -> list[Line]:
        """Return the lines of a family."""
        return [line for line in self.lines if line.cell.family == family]


def compare(
    sides: Sequence[Side], judge: Judge | None = None, noise: Sequence[float] = ()
) -> Comparison:
    """Compare every side with the first, cell by cell.

    `judge` decides of two sides that were measured in turn; without one their samples do, and
    `noise` is how far apart two runs on each side's machine lie, 0 where that is not on record.
    Raises `PipelineError` where no cell was measured on the first and another side.
    """
    by_name = [[{row.name: row for row in run.rows} for run in side.runs] for side in sides]
    cells: dict[str, Cell] = {}
    for side in sides:
        for run in side.runs:
            for row in run.rows:
                if row.status == MEASURED:
                    cells.setdefault(row.name, row.cell)
    lines = []
    for name, cell in cells.items():
        entries = [_entry([run[name] for run in runs if name in run]) for runs in by_name]
        pairs = [
            _pair(
                (sides[0], entries[0]),
                (sides[number], entries[number]),
                partial(judge, name) if judge else None,
                max(noise[0], noise[number]) if noise else 0.0,
            )
            for number in range(1, len(sides))
        ]
        verdicts, changed = zip(*pairs, strict=True)
        lines.append(Line(name, cell, tuple(entries), verdicts, changed))
    if all(verdict.word == ABSENT for line in lines for verdict in line.verdicts):
        raise PipelineError(
            ", ".join(file for side in sides for file in side.files),
            "a cell that two of them measured",
            "measure the same cells: options and ids must be the same",
        )
    return Comparison(tuple(sides), tuple(lines))


def geometric_mean(lines: Sequence[Line], side: int) -> tuple[float, int] | None:
    """Return the mean of a side's decided ratios and their number; None where none is decided."""
    verdicts = [line.verdicts[side] for line in lines]
    ratios = [each.ratio.value for each in verdicts if each.ratio and each.word in DECIDED]
    return (math.exp(fmean(map(math.log, ratios))), len(ratios)) if ratios else None


def _entry(rows: Sequence[Row]) -> Entry:
    measured = tuple(row for row in rows if row.status == MEASURED)
    if measured:
        return Entry(measured)
    if not rows:
        return Entry((), NOT_MEASURED)
    why = f"{rows[0].status}: {rows[0].reason}" if rows[0].reason else rows[0].status
    return Entry((), why)


def _pair(
    base: tuple[Side, Entry],
    new: tuple[Side, Entry],
    judge: Callable[[], Verdict] | None,
    noise: float,
) -> tuple[Verdict, str]:
    """Return the verdict on a cell, and how its output changed."""
    for side, entry in (base, new):
        if not entry.rows:
            return Verdict(ABSENT, "not measured", f"{side.label}: {entry.absence}"), ""
    first = base[1].rows[0]
    for side, entry in (base, new):
        for row in entry.rows:
            if differing := _difference(first, row):
                code, one, other = differing
                what = f"{code}: {base[0].label} {one}, {side.label} {other}"
                return Verdict(REFUSED, code, f"not the same {what}", REMEDIES[code]), ""
    samples = (base[1].samples, new[1].samples)
    runs = [run for side, _ in (base, new) for run in side.runs]
    shift = max(workload_changed(run, first.cell.device) for run in runs)
    verdict = judge() if judge else decide(*samples, _load(base, new), noise, shift)
    if verdict.code == "too few rounds" and first.limited_by == "fresh process":
        verdict = replace(verdict, why=FRESH, remedy="several runs of each side")
    distance = max(fingerprint.distance(first.fingerprint, row.fingerprint) for row in new[1].rows)
    changed = (
        f"its output changed: by up to {distance} of 255 between the fingerprints of "
        f"{base[0].label} and {new[0].label}; look at the images before trusting the time"
        if distance > fingerprint.TOLERANCE
        else ""
    )
    return verdict, changed


FRESH = "a side is one start in a fresh process, and one sample has no interval"
"""Why a row of `--cold` is undecided: no longer budget gives it another sample."""

REMEDIES = {
    "workload": "measure both with one version of the harness",
    "regime": "measure both with one version of the harness",
    "weights": "measure both on the same weights",
    "clock": "measure both by the same clock",
}


def _difference(one: Row, other: Row) -> tuple[str, str, str] | None:
    """Return what makes two rows of a cell different work, and what each has there."""
    for name in ("workload", "images", "steps"):
        values = (getattr(one.cell, name), getattr(other.cell, name))
        if values[0] != values[1]:
            what = "version" if name == "workload" else name
            return "workload", f"{what} {values[0]}", f"{what} {values[1]}"
    regimes = (one.cell.regime, other.cell.regime)
    for key in dict.fromkeys([*regimes[0], *regimes[1]]):
        if regimes[0].get(key) != regimes[1].get(key):
            first, second = (f"{key} {each.get(key, 'not recorded')}" for each in regimes)
            return "regime", first, second
    for name in ("weights", "clock"):
        values = (getattr(one, name), getattr(other, name))
        if values[0] != values[1]:
            return name, *(each or "not recorded" for each in values)  # type: ignore[return-value]
    return None


def _load(base: tuple[Side, Entry], new: tuple[Side, Entry]) -> float:
    """Return the load per CPU where other work on a machine may have decided, else 0.

    Of one run a side on either; several show in their spread what other work does, if it was there
    on both sides.
    """
    if base[1].rows[0].cell.device != "cpu":
        return 0.0
    loads = [
        max(other_load(run, row) for run in side.runs for row in entry.rows)
        for side, entry in (base, new)
    ]
    several = len(base[1].rows) + len(new[1].rows) > 2
    return 0.0 if several and all(loads) else max(loads)
