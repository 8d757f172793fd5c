"""The report: runs as one page of HTML that needs nothing else; the only importer of jinja2."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from os.path import realpath
from pathlib import Path
from typing import Any

from bench.comparing import noise, sides
from bench.comparing.comparison import Comparison, compare
from bench.machine.records import summary
from bench.reporting import caveats, charts, compare_tables, family_charts, plots, tables
from bench.reporting.charts import Chart
from bench.reporting.layout import Column, Notes
from bench.reporting.texts import NOTHING, cut, plain
from bench.results import record, units
from bench.results.cell import MEASURED, Row
from bench.results.rates import start_and_end
from bench.results.record import Run
from pipeline.errors import Missing, PipelineError, UnavailableError
from pipeline.files import writing

__all__ = ["check_installed", "fill", "render", "write"]

TEMPLATES = Path(__file__).parent

MOST_IMAGES = 60
"""Images of one family: bounds the page."""

LONGEST = 200
"""Characters of one value of a machine's record."""

RECORDS = {
    "hardware": "Hardware",
    "state": "State",
    "software": "Software",
    "guards": "Sensors",
    "workload": "Reference workload",
}
"""What a report calls the machine's records, in its order; others go by their own names."""

FIRST = ("gpus", "cpu", "cores", "ram_gib", "python", "packages", "torch", "julia", "driver")
"""Keys of the records that a reader looks for first."""

WORDS = {"cpu": "CPU", "cuda": "CUDA", "gpus": "GPUs", "ram": "RAM", "sm": "SM"}
"""Words of keys that are not written as they are spelled."""

Pairs = Sequence[tuple[str, str]]
"""Labels and texts."""


@dataclass(frozen=True)
class Picture:
    """An image of the run."""

    jpeg: str
    """In base64."""
    names: Sequence[str]
    """The cells that made it: those of one regime and its peers often make the same."""
    settings: Pairs
    """What it was made with, besides the axes that the name spells."""


@dataclass(frozen=True)
class FamilySection:
    """What the page says of one family of a run."""

    name: str
    id: str
    table: tables.FamilyTable | None
    """None where nothing was measured: images alone."""
    charts: Sequence[Chart]
    pictures: Sequence[Picture]
    pictures_left_out: int
    textures: bool
    """Whether random weights have made some of the pictures."""


@dataclass(frozen=True)
class RunSection:
    """What the page says of one run."""

    id: str
    name: str
    summary: str
    """The machine in one line."""
    facts: Sequence[str]
    """When, on which commit, how many cells."""
    machine: Sequence[tuple[str, Pairs]]
    """Each record's title, and what it says."""
    contents: tables.Contents
    families: Sequence[FamilySection]
    complete: bool


@dataclass(frozen=True)
class ComparedFamily:
    """What the page says of one family on several sides."""

    id: str
    title: str
    columns: Sequence[Column]
    charts: Sequence[Chart]


@dataclass(frozen=True)
class ComparisonSection:
    """What the page says of several sides, as `compare` prints it."""

    machine: str
    """What all sides share of their machine; empty where they share nothing."""
    differences: Sequence[str]
    """One line a side."""
    tally: Sequence[str]
    """How many rows are what, one line a side after the first."""
    families: Sequence[ComparedFamily]
    undecided: Sequence[str]
    """What would decide the undecided."""
    how_to_read: Sequence[str]


def write(files: Sequence[str], out: Path) -> None:
    """Write the page of these result files, of the last run's journal without any.

    Two or more are compared with the first, as `python -m bench compare` does. Raises
    `PipelineError` for the first file that is wrong, and where `out` cannot be written.
    """
    check_installed()
    if len(files) < 2:
        inputs = [Path(files[0]) if files else record.nearest_journal()]
        runs, comparison = [(inputs[0].name, record.load(inputs[0]))], None
    else:
        # a page names no folder of the person who made it
        compared = [
            replace(side, files=tuple(Path(file).name for file in side.files))
            for side in sides.gather(files)
        ]
        comparison = compare(compared)
        inputs = [Path(name) for file in files for name in (file, *file.split(","))]
        runs = [
            (f"{side.label} · {file}", run)
            for side in compared
            for file, run in zip(side.files, side.runs, strict=True)
        ]
    if realpath(out) in map(realpath, inputs):
        raise PipelineError(f"-o {out}", "another file than those that are read", "change -o")
    page = render(runs, comparison)
    with writing(out) as file:
        file.write(page.encode())


def render(runs: Sequence[tuple[str, Run]], comparison: Comparison | None = None) -> str:
    """Return the page of these runs, each under a name; the same runs give the same text."""
    return fill(
        "report.html.j2",
        runs=[_run(f"run{number}", name, run) for number, (name, run) in enumerate(runs, 1)],
        comparison=_comparison(comparison) if comparison else None,
    )


def fill(template: str, *folders: Path, **values: Any) -> str:
    """Fill a template of this folder, or of `folders`; what is no markup there is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([TEMPLATES, *folders]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"aligned": _aligned, "svg": plots.svg}
    return environment.get_template(template).render(palette=plots.PALETTE, **values)


def check_installed() -> None:
    """Raise `UnavailableError` where what a page is made with is not installed."""
    absent = [name for name in ("jinja2", "matplotlib") if find_spec(name) is None]
    if absent:
        reason = f"no {' and no '.join(absent)} here"
        remedy = 'pip install -e ".[report]"'
        missing = Missing("report", "jinja2 and matplotlib", reason, remedy)
        raise UnavailableError("report", missing)


def _comparison(comparison: Comparison) -> ComparisonSection:
    notes = Notes()
    base, *labels = (side.label for side in comparison.sides)
    families = []
    for number, family in enumerate(tables.families_of(line.cell for line in comparison.lines), 1):
        lines = comparison.of(family)
        sheet = compare_tables.Sheet(comparison, lines, notes)
        columns = [sheet.cells(), sheet.base()]
        drawn: list[Chart] = []
        for side, label in enumerate(labels):
            columns += sheet.side(side + 1)
            drawn += charts.of_comparison(lines, side, base, label)
        families.append(ComparedFamily(f"compared-family{number}", sheet.title, columns, drawn))
    return ComparisonSection(
        machine=sides.common(comparison.sides),
        differences=list(map(plain, sides.differences(comparison.sides))),
        tally=list(map(plain, compare_tables.tally(comparison))),
        families=families,
        undecided=[plain(line) for line in compare_tables.undecided(comparison) if line],
        how_to_read=[*compare_tables.how_to_read(comparison), *notes.lines()],
    )


def _run(id_: str, name: str, run: Run) -> RunSection:
    contents = tables.contents(run.rows, run.machine)
    measured = {table.family: table for table in contents.tables}
    pictured = (row.cell.family for row in run.rows if row.thumbnail)
    return RunSection(
        id=id_,
        name=plain(name),
        summary=summary(run.machine),
        facts=list(_facts(run)),
        machine=[
            (RECORDS.get(key, _label(key).capitalize()), list(_card(key, run.machine[key])))
            for key in dict.fromkeys((*RECORDS, *run.machine))
            if run.machine.get(key)
        ],
        contents=contents,
        families=[
            _family(f"{id_}-family{number}", family, run, measured.get(family))
            for number, family in enumerate(dict.fromkeys([*measured, *pictured]), 1)
        ],
        complete=run.complete,
    )


def _family(id_: str, family: str, run: Run, table: tables.FamilyTable | None) -> FamilySection:
    rows = [row for row in run.rows if row.cell.family == family]
    pictures = _pictures(rows)
    return FamilySection(
        name=plain(family).replace("_", " "),
        id=id_,
        table=table,
        charts=family_charts.of_family(family, rows, noise.between(run.machine, Path.cwd())),
        pictures=pictures[:MOST_IMAGES],
        pictures_left_out=max(0, len(pictures) - MOST_IMAGES),
        textures=any("random" in row.weights for row in rows if row.thumbnail),
    )


def _facts(run: Run) -> Iterator[str]:
    measured = sum(row.status == MEASURED for row in run.rows)
    yield f"measured: {measured} of {len(run.rows)} cells"
    if run.begun:
        yield f"begun: {_date(run.begun)}"
    if commit := run.commit.get("id"):
        changed = " and changes not committed" if run.commit.get("dirty") else ""
        yield f"commit: {plain(str(commit)[:12])}{changed}"


def _date(text: str) -> str:
    """Return a date of ISO 8601 as people write it; anything else as it is."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError):
        return cut(text, LONGEST)


def _pictures(rows: Sequence[Row]) -> list[Picture]:
    """Return each image of these rows once, with the cells that made it."""
    cells: dict[tuple[str, tuple[tuple[str, str], ...]], list[str]] = {}
    for row in rows:
        if row.thumbnail:
            cells.setdefault(_image(row), []).append(plain(row.cell.id))
    return [Picture(jpeg, names, settings) for (jpeg, settings), names in cells.items()]


def _image(row: Row) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return a row's image in base64, and what it was made with."""
    settings = {"weights": row.weights, **row.thumbnail}
    jpeg = str(settings.pop("jpeg"))
    width, height = settings.pop("width", ""), settings.pop("height", "")
    if width and height:
        settings["pixels"] = f"{width}×{height}"
    return jpeg, tuple(
        (plain(key), cut(str(value), LONGEST)) for key, value in settings.items() if value != ""
    )


def _card(key: str, record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what one record of the machine says, as labels and texts."""
    if key == "guards":
        for name, why in record.items():
            yield cut(name, LONGEST), cut(f"cannot be read: {why}" if why else "read", LONGEST)
    elif key == "workload":
        for when, rates in zip(("start", "end"), start_and_end({key: record}), strict=True):
            if rates:
                yield f"at the {when}", caveats.rates(rates)
    else:
        yield from _record(record)


def _record(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a record of the machine says; of what could not be read, why."""
    unread = record.get("unread")
    reasons = unread if isinstance(unread, Mapping) else {}
    rank = {key: number for number, key in enumerate(FIRST)}
    for key in sorted(record.keys() - {"unread"}, key=lambda key: (rank.get(key, len(rank)), key)):
        value = record[key]
        if value is None:
            why = f"not read: {reasons[key]}" if key in reasons else NOTHING
            yield _label(key), cut(why, LONGEST)
        elif isinstance(value, list):
            for number, item in enumerate(value):
                yield f"{_label(key)} {number}", cut(_text(key, item), LONGEST)
        else:
            yield _label(key), cut(_text(key, value), LONGEST)


def _text(key: str, value: Any) -> str:
    """Return a value as one line; what a mapping does not know is left out."""
    if isinstance(value, Mapping):
        known = {name: item for name, item in value.items() if item is not None}
        return ", ".join(f"{_label(name)} {_text(name, item)}" for name, item in known.items())
    if isinstance(value, list):
        return ", ".join(_text(key, item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return units.text(key, value) if isinstance(value, int | float) else str(value)


def _label(key: str) -> str:
    """Return `free memory` for `free_memory_bytes`."""
    words = [key] if key.isupper() else units.name(key).split("_")
    return cut(" ".join(WORDS.get(word, word) for word in words), LONGEST)


def _aligned(text: str) -> str:
    """Replace the spaces that line up decimal points by ones that a page keeps.

    A figure space is as wide as a digit, a punctuation space as a point.
    """
    shown = text.rstrip(" ")
    spaces = len(text) - len(shown)
    if spaces and "." not in shown:
        return shown + "\u2008" + "\u2007" * (spaces - 1)
    return shown + "\u2007" * spaces
