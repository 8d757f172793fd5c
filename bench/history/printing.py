"""A history in words: for a terminal, as Markdown, as JSON."""

import json
from collections.abc import Iterator, Sequence
from math import log
from statistics import median
from typing import Any

from bench.history.changes import FEWEST
from bench.history.series import Change, History, Machine, Moment, Series
from bench.reporting.columns import LAYOUTS, layout_of
from bench.reporting.compare_markdown import escaped
from bench.reporting.layout import Column, Screen
from bench.reporting.tables import families_of
from bench.reporting.texts import NOTHING, aligned, plain, unit_of, with_margin
from pipeline.errors import counted

__all__ = [
    "as_json",
    "blame",
    "changes_of",
    "markdown",
    "render",
    "says",
    "span",
    "title",
    "unchanged",
]

BARS = "▁▂▃▄▅▆▇█"

WIDEST = 24
"""Columns of a sparkline: of more runs, each bar is the median of several."""

LEAST_SPAN = 0.05
"""What the height of a sparkline stands for at least, relative: noise is no mountain."""

Finding = tuple[Machine, Series, Change]


def render(history: History, findings: Sequence[Finding], width: int, color: bool = False) -> str:
    """Return the history as text: a table a family with a sparkline a cell, then the changes."""
    screen = Screen(width, color)
    for number, machine in enumerate(history.machines):
        if number:
            screen.print()
        screen.print(plain(machine.name), "bold")
        screen.print(span(machine), indent=2)
        for moment, lines in machine.software:
            screen.print(f"{_first(moment)}: {plain(', '.join(lines))}", "dim", 2)
        for family in families_of(series.cell for series in machine.series):
            members = [series for series in machine.series if series.cell.family == family]
            screen.print()
            screen.print(title(family), "bold")
            screen.table(_columns(members), always=2)
    screen.print()
    screen.print(
        "history: medians of the runs, oldest left, taller is slower; times: means since the last "
        "change; change: by how much it altered them (+ is slower)",
        "dim",
    )
    screen.print()
    screen.print(
        f"{counted(len(findings), 'change')}, newest first:" if findings else unchanged(history)
    )
    for machine, series, change in findings:
        screen.print(f"{says(series, change)}{_on(history, machine)}", "bold", 2)
        for line in blame(change):
            screen.print(f"  {line}", indent=4)
    return screen.text()


def unchanged(history: History) -> str:
    """Say that there is no change, or that there are too few runs to look for one."""
    most = max(
        (len(series.points) for machine in history.machines for series in machine.series), default=0
    )
    if most < FEWEST:
        return f"too few runs to look for a change: {most} of a row at most, and it takes {FEWEST}"
    return "no change beyond the noise of the runs"


def changes_of(history: History) -> list[Finding]:
    """Return all changes, the newest first."""
    findings = [
        (machine, series, change)
        for machine in history.machines
        for series in machine.series
        for change in series.changes
    ]
    places = {
        (number, id(moment)): index
        for number, machine in enumerate(history.machines)
        for index, moment in enumerate(machine.moments)
    }
    numbers = {id(machine): number for number, machine in enumerate(history.machines)}

    def age(finding: Finding) -> tuple[str, int]:
        machine, _, change = finding
        number = numbers[id(machine)]
        return change.first_bad.begun, places[number, id(change.first_bad)]

    return sorted(findings, key=age, reverse=True)


def title(family: str) -> str:
    """Return the title of a family."""
    return plain(LAYOUTS[family].title if family in LAYOUTS else family)


def span(machine: Machine) -> str:
    """Return how many runs and commits of when."""
    days = sorted(filter(None, (moment.day for moment in machine.moments)))
    commits = len({moment.commit for moment in machine.moments} - {""})
    text = counted(len(machine.moments), "run")
    if commits:
        text += f" of {counted(commits, 'commit')}"
    return plain(text + (f", {days[0]} to {days[-1]}" if days else ""))


def says(series: Series, change: Change) -> str:
    """Return a change in one line: what, from where to where."""
    unit, scale = unit_of(max(change.before, change.after))
    margin = change.ratio.margin
    times = " → ".join(
        with_margin(value * scale, margin) for value in (change.before, change.after)
    )
    interval = ""
    if change.ratio.low is not None and change.ratio.high is not None:
        interval = f" ({change.ratio.low:.2f}–{change.ratio.high:.2f})"
    ratio = with_margin(change.ratio.value, margin)
    name = plain(f"{series.cell.family} {series.cell.id}")
    return f"{change.word}: {name}: {times} {unit}, {ratio} times as long{interval}"


def blame(change: Change) -> Iterator[str]:
    """Yield where a change began, and what else changed there."""
    skipped = counted(change.skipped, "commit")
    between = f", {skipped} between them not measured" if change.skipped else ""
    yield f"{_first(change.first_bad)}, last without it {plain(change.last_good.name)}{between}"
    if change.software:
        yield f"also changed there: {plain(', '.join(change.software))}"


def markdown(history: History, findings: Sequence[Finding]) -> str:
    """Return the changes as GitHub's Markdown."""
    lines = [
        f"**{counted(len(findings), 'change')}**" if findings else f"**{unchanged(history)}**",
        "",
    ]
    lines += [f"- {escaped(plain(one.name))}: {escaped(span(one))}" for one in history.machines]
    if findings:
        lines += ["", "| change | where | also changed |", "| :-- | :-- | :-- |"]
    for machine, series, change in findings:
        where, *others = blame(change)
        cells = (f"{says(series, change)}{_on(history, machine)}", where, " ".join(others))
        lines.append(f"| {' | '.join(map(escaped, cells))} |")
    return "\n".join(lines)


def as_json(history: History, findings: Sequence[Finding]) -> str:
    """Return the history as JSON: machines with their series, and the changes, newest first."""
    document = {
        "schema": 1,
        "machines": [
            {
                "name": machine.name,
                "hardware": machine.hardware,
                "runs": [_run(moment) for moment in machine.moments],
                "series": [_series(machine, series) for series in machine.series],
            }
            for machine in history.machines
        ],
        "changes": [_change(machine, series, change) for machine, series, change in findings],
        "unread": list(history.unread),
    }
    return json.dumps(document, indent=1, allow_nan=False)


def _run(moment: Moment) -> dict[str, Any]:
    return {
        "file": moment.file,
        "begun": moment.begun,
        "commit": moment.commit,
        "dirty": moment.dirty,
        "subject": moment.subject,
    }


def _series(machine: Machine, series: Series) -> dict[str, Any]:
    places = {id(moment): index for index, moment in enumerate(machine.moments)}
    return {
        "family": series.cell.family,
        "cell": series.cell.id,
        "points": [
            {"run": places[id(point.moment)], "seconds": point.seconds} for point in series.points
        ],
    }


def _change(machine: Machine, series: Series, change: Change) -> dict[str, Any]:
    return {
        "machine": machine.name,
        "family": series.cell.family,
        "cell": series.cell.id,
        "word": change.word,
        "before_seconds": change.before,
        "after_seconds": change.after,
        "ratio": change.ratio.value,
        "interval": [change.ratio.low, change.ratio.high],
        "last_good": _run(change.last_good),
        "first_bad": _run(change.first_bad),
        "software": list(change.software),
    }


def _columns(members: Sequence[Series]) -> list[Column]:
    layout = layout_of(members[0].cell.family, [series.cell for series in members])
    now = [series.levels[-1][2] / layout.images(series.cell) for series in members]
    unit, scale = unit_of(max(now))
    return [
        Column("cell", [plain(series.cell.id) for series in members]),
        Column("history", [_sparkline(series) for series in members], "left"),
        Column(f"{unit}/{layout.per}", aligned(with_margin(time * scale, None) for time in now)),
        Column("change", list(map(_last, members))),
        Column("runs", [str(len(series.points)) for series in members]),
    ]


def _last(series: Series) -> str:
    if not series.changes:
        return NOTHING
    return f"{series.changes[-1].ratio.value - 1:+.0%}".replace("%", " %")


def _sparkline(series: Series) -> str:
    logs = [log(point.seconds) for point in series.points]
    bars = min(WIDEST, len(logs))
    values = [
        median(logs[number * len(logs) // bars : (number + 1) * len(logs) // bars])
        for number in range(bars)
    ]
    low, high = min(values), max(values)
    room = max(high - low, LEAST_SPAN)
    bottom = (low + high - room) / 2
    steps = len(BARS) - 1
    return "".join(BARS[round((value - bottom) / room * steps)] for value in values)


def _first(moment: Moment) -> str:
    subject = f" {moment.subject}" if moment.subject else ""
    day = f" ({moment.day})" if moment.day else ""
    return plain(f"first in {moment.name}{subject}{day}")


def _on(history: History, machine: Machine) -> str:
    return f" · {plain(machine.name)}" if len(history.machines) > 1 else ""
