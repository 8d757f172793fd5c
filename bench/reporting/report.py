"""The report: runs as one page of HTML that needs nothing else; the only importer of jinja2."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.comparing import sides
from bench.comparing.comparison import Comparison, compare
from bench.comparing.sides import Side
from bench.machine.records import summary
from bench.reporting import caveats, charts, compare_charts, compare_tables, plots, tables
from bench.reporting.layout import Column, Notes
from bench.reporting.texts import NOTHING, plain
from bench.results import record
from bench.results.cell import MEASURED, Row
from bench.results.rates import start_and_end
from bench.results.record import Run
from pipeline.errors import Missing, PipelineError, UnavailableError
from pipeline.files import writing

__all__ = ["render", "write"]

TEMPLATE = Path(__file__).with_name("report.html.j2")

MOST_IMAGES = 60
"""Images of one family: bounds the page."""

LONGEST = 200
"""Characters of one value of a machine's record."""

RECORDS = {
    "hardware": "Hardware",
    "state": "State",
    "software": "Software",
    "guards": "Guards",
    "workload": "Reference workload",
}
"""What a report calls the machine's records, in its order; others go by their own names."""

FIRST = ("gpus", "cpu", "cores", "ram_gib", "python", "packages", "torch", "julia", "driver")
"""Keys of the records that a reader looks for first."""

UNITS: dict[str, tuple[str, float]] = {
    "_bytes": ("GiB", 2**30),
    "_gib": ("GiB", 1),
    "_mhz": ("MHz", 1),
    "_percent": ("%", 1),
    "_w": ("W", 1),
    "_c": ("°C", 1),
}
"""Endings of keys: what their numbers are shown in, and how much of the number is one of it."""

WORDS = {"cpu": "CPU", "cuda": "CUDA", "gpus": "GPUs", "ram": "RAM", "sm": "SM"}
"""Words of keys that are not written as they are spelled."""


@dataclass(frozen=True)
class Drawing:
    """A chart, drawn."""

    chart: charts.Chart
    svg: str


@dataclass(frozen=True)
class Picture:
    """An image of the run."""

    jpeg: str
    """In base64."""
    names: Sequence[str]
    """The cells that made it: those of one regime and its peers often make the same."""
    settings: Sequence[tuple[str, str]]
    """What it was made with, besides the axes that the name spells."""


@dataclass(frozen=True)
class Family:
    """What the page says of one family."""

    name: str
    id: str
    table: tables.FamilyTable | None
    """None where nothing was measured: images alone."""
    drawings: Sequence[Drawing]
    pictures: Sequence[Picture]
    pictures_left_out: int
    textures: bool
    """Whether random weights have made some of the pictures."""


@dataclass(frozen=True)
class ComparedFamily:
    """What the page says of one family on several sides."""

    id: str
    title: str
    columns: Sequence[Column]
    drawings: Sequence[Drawing]


@dataclass(frozen=True)
class Beside:
    """What the page says of several sides beside each other, as `compare` prints it."""

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


@dataclass(frozen=True)
class Part:
    """What the page says of one run."""

    id: str
    name: str
    summary: str
    """The machine in one line."""
    facts: Sequence[str]
    """When, on which commit, how many cells."""
    machine: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    """Each record's title, and what it says."""
    contents: tables.Contents
    families: Sequence[Family]
    complete: bool


def write(files: Sequence[str], out: Path) -> None:
    """Write the page of these result files, of the last run's journal without any.

    Two or more are compared with the first, as `python -m bench compare` does. Raises
    `PipelineError` for the first file that is wrong, and where `out` cannot be written.
    """
    absent = _missing()
    if absent is not None:
        raise UnavailableError("report", absent)
    if len(files) < 2:
        read = [Path(files[0]) if files else record.nearest_journal()]
        runs, comparison = [(read[0].name, record.load(read[0]))], None
    else:
        gathered = [_unplaced(side) for side in sides.gather(files)]
        comparison = compare(gathered)
        read = [Path(name) for file in files for name in (file, *file.split(","))]
        runs = [
            (f"{side.label} · {file}", run)
            for side in gathered
            for file, run in zip(side.files, side.runs, strict=True)
        ]
    if out.resolve() in [path.resolve() for path in read]:
        raise PipelineError(f"-o {out}", "another file than those that are read", "change -o")
    page = render(runs, comparison)
    with writing(out) as file:
        file.write(page.encode())


def render(runs: Sequence[tuple[str, Run]], comparison: Comparison | None = None) -> str:
    """Return the page of these runs, each under a name; the same runs give the same text."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["aligned"] = _aligned
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        parts=[_part(f"run{number}", name, run) for number, (name, run) in enumerate(runs, 1)],
        beside=_beside(comparison) if comparison else None,
        palette=plots.PALETTE,
    )


def _missing() -> Missing | None:
    absent = [name for name in ("jinja2", "matplotlib") if find_spec(name) is None]
    if not absent:
        return None
    return Missing(
        "report",
        "jinja2 and matplotlib",
        f"no {' and no '.join(absent)} here",
        'pip install -e ".[report]"',
    )


def _unplaced(side: Side) -> Side:
    """Return a side whose files are names: a page tells nobody's folders."""
    return replace(side, files=tuple(Path(file).name for file in side.files))


def _beside(comparison: Comparison) -> Beside:
    notes = Notes()
    labels = [side.label for side in comparison.sides]
    found: list[ComparedFamily] = []
    for family in tables.families_of(line.cell for line in comparison.lines):
        lines = comparison.of(family)
        sheet = compare_tables.Sheet(comparison, lines, notes)
        columns = [sheet.cells(), sheet.base()]
        drawn = []
        for number, label in enumerate(labels[1:], 1):
            columns += sheet.side(number)
            drawn += compare_charts.of_lines(lines, number - 1, labels[0], label)
        id_ = f"beside-family{len(found) + 1}"
        found.append(ComparedFamily(id_, sheet.title, columns, _drawings(drawn, id_)))
    return Beside(
        machine=plain(sides.common(comparison.sides)),
        differences=list(map(plain, sides.differences(comparison.sides))),
        tally=list(map(plain, compare_tables.tally(comparison))),
        families=found,
        undecided=[plain(line) for line in compare_tables.undecided(comparison) if line],
        how_to_read=[*compare_tables.how_to_read(comparison), *notes.lines()],
    )


def _drawings(found: Sequence[charts.Chart], id_: str) -> list[Drawing]:
    return [
        Drawing(chart, plots.svg(chart, f"{id_}-chart{number}"))
        for number, chart in enumerate(found, 1)
    ]


def _part(id_: str, name: str, run: Run) -> Part:
    contents = tables.contents(run.rows, run.machine)
    found = {each.family: each for each in contents.tables}
    names = [*found, *dict.fromkeys(row.cell.family for row in run.rows if row.thumbnail)]
    families = []
    for number, family in enumerate(dict.fromkeys(names), 1):
        rows = [row for row in run.rows if row.cell.family == family]
        pictures = _pictures(rows)
        families.append(
            Family(
                name=plain(family).replace("_", " "),
                id=f"{id_}-family{number}",
                table=found.get(family),
                drawings=_drawings(charts.of_family(family, rows), f"{id_}-family{number}"),
                pictures=pictures[:MOST_IMAGES],
                pictures_left_out=max(0, len(pictures) - MOST_IMAGES),
                textures=any("random" in row.weights for row in rows if row.thumbnail),
            )
        )
    return Part(
        id=id_,
        name=plain(name),
        summary=plain(summary(run.machine)),
        facts=list(_facts(run)),
        machine=[
            (RECORDS.get(key, _label(key).capitalize()), list(_card(key, run.machine[key])))
            for key in dict.fromkeys((*RECORDS, *run.machine))
            if run.machine.get(key)
        ],
        contents=contents,
        families=families,
        complete=run.complete,
    )


def _facts(run: Run) -> Iterator[str]:
    measured = sum(row.status == MEASURED for row in run.rows)
    yield f"measured: {measured} of {len(run.rows)} cells"
    if run.begun:
        yield f"begun: {_date(run.begun)}"
    if commit := run.commit.get("id"):
        changed = " and changes not committed" if run.commit.get("dirty") else ""
        yield f"commit: {_cut(str(commit)[:12])}{changed}"


def _date(text: str) -> str:
    """Return a date of ISO 8601 as people write it; anything else as it is."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError):
        return _cut(text)


def _pictures(rows: Sequence[Row]) -> list[Picture]:
    """Return each image of these rows once, with the cells that made it."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], list[str]] = {}
    for row in rows:
        if row.thumbnail:
            found.setdefault(_image(row), []).append(plain(row.cell.id))
    return [Picture(jpeg, names, settings) for (jpeg, settings), names in found.items()]


def _image(row: Row) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return a row's image in base64, and what it was made with."""
    settings = {"weights": row.weights, **row.thumbnail}
    jpeg = str(settings.pop("jpeg"))
    width, height = settings.pop("width", ""), settings.pop("height", "")
    if width and height:
        settings["pixels"] = f"{width}×{height}"
    return jpeg, tuple(
        (plain(key), _cut(str(value))) for key, value in settings.items() if value != ""
    )


def _card(key: str, record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return what one record of the machine says, as labels and texts."""
    if key == "guards":
        for name, why in record.items():
            yield _cut(name), _cut(f"not watched: {why}") if why else "can be watched"
    elif key == "workload":
        for when, rates in zip(("start", "end"), start_and_end({key: record}), strict=True):
            if rates:
                yield f"at the {when}", caveats.rates(rates)
    else:
        yield from _record(record)


def _record(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return what a record of the machine says, as labels and texts; of what is unread, why."""
    unread = record.get("unread")
    why = unread if isinstance(unread, Mapping) else {}
    rank = {key: number for number, key in enumerate(FIRST)}
    for key in sorted(record, key=lambda key: (rank.get(key, len(FIRST)), key)):
        value = record[key]
        if key == "unread":
            continue
        if value is None:
            yield _label(key), _cut(f"not read: {why[key]}") if key in why else NOTHING
        elif isinstance(value, list):
            for number, each in enumerate(value):
                yield f"{_label(key)} {number}", _cut(_text(key, each))
        else:
            yield _label(key), _cut(_text(key, value))


def _text(key: str, value: Any) -> str:
    """Return a value as one line; what a mapping does not know is left out."""
    if isinstance(value, Mapping):
        known = {name: each for name, each in value.items() if each is not None}
        return ", ".join(f"{_label(name)} {_text(name, each)}" for name, each in known.items())
    if isinstance(value, list):
        return ", ".join(_text(key, each) for each in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    for ending, (unit, size) in UNITS.items():
        if key.endswith(ending) and isinstance(value, int | float):
            if ending == "_bytes" and value < size / 10:
                return f"{value / 2**20:.4g} MiB"
            return f"{value / size:.4g} {unit}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _label(key: str) -> str:
    """Return `free memory` for `free_memory_bytes`."""
    ending = next((each for each in UNITS if key.endswith(each)), "")
    words = [key] if key.isupper() else key.removesuffix(ending).split("_")
    return _cut(" ".join(WORDS.get(word, word) for word in words))


def _cut(text: str) -> str:
    line = plain(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _aligned(text: str) -> str:
    """Let what `tables` fills up with spaces, so that points stand under each other, fill a page.

    A figure space is as wide as a digit, a punctuation space as a point.
    """
    shown = text.rstrip(" ")
    spaces = len(text) - len(shown)
    if spaces and "." not in shown:
        return shown + "\u2008" + "\u2007" * (spaces - 1)
    return shown + "\u2007" * spaces
