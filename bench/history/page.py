"""The page of a history: a small chart a cell with its changes marked, and a table of changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.history.printing import Finding, blame, says, span, title, unchanged
from bench.history.series import History, Machine, Series
from bench.reporting.charts import Chart, Point
from bench.reporting.charts import Series as Drawn
from bench.reporting.report import check_installed, fill
from bench.reporting.tables import families_of
from bench.reporting.texts import cut, plain, unit_of, with_margin
from pipeline.errors import counted
from pipeline.files import writing

__all__ = ["render", "write"]

LONGEST = 80
"""Characters of a name in a heading."""

MOST_CHARTS = 400
"""Charts of one machine: bounds the page; changes are in the table all the same."""

MOST_POINTS = 300
"""Points of one chart: of more, every second is drawn, or every third, …"""


@dataclass(frozen=True)
class Family:
    """The charts of one family."""

    number: int
    """The same on every machine: what the filter goes by."""
    title: str
    charts: Sequence[Chart]


@dataclass(frozen=True)
class Section:
    """What the page says of one machine."""

    id: str
    name: str
    span: str
    software: Sequence[str]
    """Where the software changed."""
    families: Sequence[Family]
    left_out: int


def write(history: History, findings: Sequence[Finding], out: Path) -> None:
    """Write the page; raises `PipelineError` where it cannot be."""
    check_installed()
    text = render(history, findings)
    with writing(out) as file:
        file.write(text.encode())


def render(history: History, findings: Sequence[Finding]) -> str:
    """Return the page; the same history gives the same text."""
    cells = (series.cell for machine in history.machines for series in machine.series)
    families = families_of(cells)
    return fill(
        "history.html.j2",
        Path(__file__).parent,
        machines=[
            _section(f"machine{number}", machine, families)
            for number, machine in enumerate(history.machines, 1)
        ],
        families=list(enumerate(map(title, families), 1)),
        headline=f"{counted(len(findings), 'change')}, newest first"
        if findings
        else unchanged(history),
        changes=_changes(findings, families, len(history.machines) > 1),
        unread=list(map(plain, history.unread)),
    )


def _section(id_: str, machine: Machine, families: Sequence[str]) -> Section:
    shown = machine.series[:MOST_CHARTS]
    return Section(
        id_,
        plain(machine.name),
        span(machine),
        [
            plain(f"{moment.name} {moment.day}: {', '.join(lines)}")
            for moment, lines in machine.software
        ],
        [
            Family(number, title(family), list(map(_chart, members)))
            for number, family in enumerate(families, 1)
            if (members := [series for series in shown if series.cell.family == family])
        ],
        len(machine.series) - len(shown),
    )


def _chart(series: Series) -> Chart:
    unit, scale = unit_of(max(point.seconds for point in series.points))
    every = -(-len(series.points) // MOST_POINTS)
    points = [
        Point(index, point.seconds * scale, None) for index, point in enumerate(series.points)
    ]
    words = ["", *(change.word for change in series.changes)]
    levels = [
        Drawn("", [Point(start, value * scale, None), Point(end - 1, value * scale, None)],
              word=word)
        for (start, end, value), word in zip(series.levels, words, strict=True)
    ]  # fmt: skip
    name = cut(series.cell.id, LONGEST)
    first, last = (with_margin(series.levels[at][2] * scale, None) for at in (0, -1))
    steps = [f"{change.word} from {change.first_bad.name} on" for change in series.changes]
    return Chart(
        kind="history",
        title=name,
        description=plain(
            f"{counted(len(points), 'run')} of {name}: {first} {unit} at first, {last} {unit} now"
            + (f"; {'; '.join(steps)}" if steps else "; no change")
        ),
        unit=f"{unit}/call",
        along="runs",
        series=[Drawn(name, points[::every]), *levels],
        figures=[],
        names=[plain(point.moment.name) for point in series.points],
    )


def _changes(
    findings: Sequence[Finding], families: Sequence[str], several: bool
) -> list[tuple[int, list[str]]]:
    """Return the rows of the table of changes, each with the number of its family."""
    rows = []
    for machine, series, change in findings:
        where, *others = blame(change)
        cells = [says(series, change), where, " ".join(others)]
        rows.append(
            (
                families.index(series.cell.family) + 1,
                [*cells, plain(machine.name)] if several else cells,
            )
        )
    return rows
