"""The comparison: rows matched by cell, refused where they are not the same work, and decided."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import geometric_mean as geometric_mean_of

from bench.comparing import agreement
from bench.comparing.across import without
from bench.comparing.sides import Side, raised_floors
from bench.comparing.verdict import WORSE, Verdict, decide
from bench.results import fingerprint
from bench.results.cell import MEASURED, Axis, Cell, Row
from bench.statistics.ratio import middle
from pipeline.errors import PipelineError
from pipeline.preprocessing.fast import PILLOW

__all__ = ["ABSENT", "REFUSED", "Comparison", "Entry", "Line", "compare", "geometric_mean"]

REFUSED, ABSENT = "refused", "absent"
"""Words beside those of a verdict: both sides measured the cell, but not the same work; only one of
them measured it."""

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

    @cached_property
    def seconds(self) -> float | None:
        """Return the time of a call: the median, of several runs their geometric mean."""
        return middle(self.samples) if self.rows else None

    @property
    def samples(self) -> list[tuple[float, ...]]:
        """Return the samples of each run."""
        return [row.samples for row in self.rows]


@dataclass(frozen=True)
class Line:
    """One cell on all sides."""

    name: str
    """pytest's id of the test, by which rows are matched."""
    cell: Cell
    entries: tuple[Entry, ...]
    """One a side."""
    verdicts: tuple[Verdict, ...]
    """One a side after the first, by which it is compared with the first; its word may be
    `refused` or `absent`, too."""
    changed: tuple[str, ...]
    """One a side after the first: how its output differs from the first's; empty where it does
    not."""


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

    `judge` decides for sides that were measured in turn; without one the samples do, and `noise` is
    how far two runs on each side's machine lie apart, 0 where that is not on record. Raises
    `PipelineError` where no cell was measured on the first and another side.
    """
    cells: dict[str, Cell] = {}
    for row in (row for side in sides for run in side.runs for row in run.rows):
        if row.status == MEASURED:
            cells.setdefault(row.name, row.cell)
    by_name = [[{row.name: row for row in run.rows} for run in side.runs] for side in sides]
    lines = []
    for name, cell in cells.items():
        entries = [_entry([run[name] for run in runs if name in run]) for runs in by_name]
        base = (sides[0], entries[0])
        verdicts, changes = [], []
        for number, new in enumerate(zip(sides[1:], entries[1:], strict=True), 1):
            verdict = _refusal(base, new)
            if verdict is None:
                larger = max(noise[0], noise[number]) if noise else 0.0
                verdict = judge(name) if judge else _decided(base, new, larger)
                verdict = _by_pictures(verdict, base, new)
                changes.append(_change(base, new))
            else:
                changes.append("")
            verdicts.append(verdict)
        lines.append(Line(name, cell, tuple(entries), tuple(verdicts), tuple(changes)))
    lines, sides = _across(lines, sides)
    if all(verdict.word == ABSENT for line in lines for verdict in line.verdicts):
        raise PipelineError(
            ", ".join(file for side in sides for file in side.files),
            "a cell that two of them measured",
            "measure the same cells: options and ids must be the same",
        )
    return Comparison(tuple(sides), tuple(lines))


def _across(lines: Sequence[Line], sides: Sequence[Side]) -> tuple[list[Line], list[Side]]:
    """Show axes that differ between sides beside the sides, and no longer in the ids."""
    values: dict[str, list[dict[Axis, None]]] = {}
    for line in lines:
        cells = [entry.rows[0].cell if entry.rows else None for entry in line.entries]
        for axis in dict.fromkeys(axis for cell in cells if cell for axis in cell.axes):
            if len({cell.axes.get(axis) for cell in cells if cell}) > 1:
                settings = values.setdefault(axis, [{} for _ in sides])
                for setting, cell in zip(settings, cells, strict=True):
                    if cell and (value := cell.setting(axis)) is not None:
                        setting[value] = None
    shown = [
        replace(
            side,
            settings=" · ".join(
                f"{axis} {', '.join(map(str, settings[number]))}"
                for axis, settings in values.items()
            )
            + (f" (matched {side.settings})" if side.settings and number else ""),
        )
        for number, side in enumerate(sides)
    ]
    matched = tuple(values)
    return [replace(line, cell=without(line.cell, matched)) for line in lines], shown


def geometric_mean(lines: Sequence[Line], side: int) -> tuple[float, int] | None:
    """Return the mean of a side's ratios and their number; None where no row is compared.

    All of them: a mean of decided rows alone is biased, since large differences are decided first.
    """
    verdicts = [line.verdicts[side] for line in lines]
    ratios = [verdict.ratio.value for verdict in verdicts if verdict.ratio]
    return (geometric_mean_of(ratios), len(ratios)) if ratios else None


def _entry(rows: Sequence[Row]) -> Entry:
    measured = tuple(row for row in rows if row.status == MEASURED)
    if measured:
        return Entry(measured)
    if not rows:
        return Entry((), NOT_MEASURED)
    why = f"{rows[0].status}: {rows[0].reason}" if rows[0].reason else rows[0].status
    return Entry((), why)


Measured = tuple[Side, Entry]


def _refusal(base: Measured, new: Measured) -> Verdict | None:
    """Return why two sides cannot be compared; None where they can."""
    for side, entry in (base, new):
        if not entry.rows:
            return Verdict(ABSENT, "not measured", f"{side.label}: {entry.absence}")
    first = base[1].rows[0]
    for side, row in ((side, row) for side, entry in (base, new) for row in entry.rows):
        if difference := _difference(first, row):
            code, one, other = difference
            why = f"not the same {code}: {base[0].label} {one}, {side.label} {other}"
            remedy = REMEDIES[code]
            if code == DECODER and NOT_RECORDED not in (one, other):
                remedy = _of_decoders([(base[0].label, one), (side.label, other)])
            return Verdict(REFUSED, code, why, remedy)
    return None


def _decided(base: Measured, new: Measured, noise: float) -> Verdict:
    """Return the verdict by the samples of two sides."""
    first = base[1].rows[0]
    raised = raised_floors([(side, entry.rows) for side, entry in (base, new)])
    verdict = decide(base[1].samples, new[1].samples, raised, noise)
    if verdict.code == "too few rounds" and first.limited_by == "fresh process":
        return replace(verdict, why=FRESH, remedy="several runs of each side")
    return verdict


def _by_pictures(verdict: Verdict, base: Measured, new: Measured) -> Verdict:
    """Return the verdict and what was judged; worse pictures are one, whatever the time."""
    labels = (base[0].label, new[0].label)
    pictures = agreement.judged(base[1].rows, new[1].rows, labels)
    text = pictures.text
    if not pictures.worse:
        why = "; ".join(filter(None, (verdict.why, text)))
        return replace(verdict, why=why, pictures=text if pictures.one_sided else "")
    remedy = "look at the pictures: python -m bench report"
    return replace(verdict, word=WORSE, code="agreement", why=text, remedy=remedy, pictures=text)


def _change(base: Measured, new: Measured) -> str:
    """Say how far the output of the new side differs; nothing where that is within tolerance."""
    first = base[1].rows[0].fingerprint
    distance = max(fingerprint.distance(first, row.fingerprint) for row in new[1].rows)
    if distance <= fingerprint.TOLERANCE:
        return ""
    return (
        f"its output changed: by up to {distance} of 255 between the fingerprints of "
        f"{base[0].label} and {new[0].label}; look at the images before trusting the time"
    )


FRESH = "a side is one start in a fresh process, and one sample has no interval"
"""Why a row of `--cold` is undecided: a longer budget gives it no second sample."""

NOT_RECORDED = "not recorded"
DECODER = "decoder"
"""The key of a regime that names the libraries that decode the files, with their versions."""

REMEDIES = {
    DECODER: "measure both with one version of the harness",
    "workload": "measure both with one version of the harness",
    "regime": "measure both with one version of the harness",
    "weights": "measure both on the same weights",
    "clock": "measure both by the same clock",
}


def _difference(one: Row, other: Row) -> tuple[str, str, str] | None:
    """Return in what two rows of a cell are different work, and what each of them has there."""
    for name, what in (("workload", "version"), ("images", "images"), ("steps", "steps")):
        first, second = getattr(one.cell, name), getattr(other.cell, name)
        if first != second:
            return "workload", f"{what} {first}", f"{what} {second}"
    first, second = one.cell.regime, other.cell.regime
    for key in dict.fromkeys([*first, *second]):
        same_axis = one.cell.axes.get(key) == other.cell.axes.get(key)
        if same_axis and first.get(key) != second.get(key):
            one_text, other_text = (
                str(regime.get(key, NOT_RECORDED)) for regime in (first, second)
            )
            if key == DECODER:
                return DECODER, one_text, other_text
            return "regime", f"{key} {one_text}", f"{key} {other_text}"
    for name in ("weights", "clock"):
        first, second = getattr(one, name), getattr(other, name)
        if first != second:
            return name, first or NOT_RECORDED, second or NOT_RECORDED
    return None


def _of_decoders(sides: Sequence[tuple[str, str]]) -> str:
    """Return what to do where two sides, each a label and its decoders, used different ones."""
    libraries = [(label, [name.split()[0] for name in text.split(", ")]) for label, text in sides]
    every = dict.fromkeys(name for _, names in libraries for name in names if name != PILLOW)
    installs = [
        f"install {' and '.join(absent)} where {label} was measured"
        for label, names in libraries
        if (absent := [name for name in every if name not in names])
    ]
    if installs:
        return f"{', and '.join(installs)}, and measure there again"
    return f"measure both with one version of {' and '.join(every) or 'the harness'}"
