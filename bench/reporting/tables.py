"""The tables: rows in natural units, a table a family, and what has no number."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.comparing import noise
from bench.machine.records import summary
from bench.reporting import caveats, columns, fits
from bench.reporting.columns import LAYOUTS
from bench.reporting.layout import Column, Notes, Screen
from bench.reporting.texts import plain, with_margin
from bench.results.cell import (
    CALL_FLOP,
    CHECKED,
    FAILED,
    JUDGED,
    MEAN_OFF_EXACT,
    MEASURED,
    OFF_EAGER,
    OFF_EXACT,
    OUT_OF_MEMORY,
    PREGENERATED,
    Axis,
    Cell,
    Row,
)
from bench.results.units import percent
from bench.statistics import stats
from pipeline.errors import counted

__all__ = [
    "LAYOUTS",
    "Contents",
    "FamilyTable",
    "Speedup",
    "Unmeasured",
    "contents",
    "families_of",
    "render",
    "speedup_lines",
    "speedups",
]

Axes = frozenset[tuple[str, Axis]]


@dataclass(frozen=True)
class FamilyTable:
    """What is known of a family's measured cells, as texts."""

    family: str
    title: str
    ran_on: str
    """Weights and threads; empty where no row says them."""
    columns: Sequence[Column]
    """What matters most first."""
    agreement: Sequence[str]
    """The agreement of its rows as lines, for where its column has no room."""
    decoders: str
    """The libraries that decode pictures in its rows; empty where none do."""
    speedups: Sequence[str]
    """How fast a row is beside others that do the same work; none where none do."""
    stages_caption: str
    """What the stages show; empty where no call was profiled."""
    stages: Sequence[Column]
    """Where the profiled calls went."""
    fits: Sequence[str]
    """The text of each fit over steps or batches, below its heading; empty where none is."""


@dataclass(frozen=True)
class Speedup:
    """How many times as fast a row is as another, by the medians of their times."""

    row: Row
    other: Row
    other_name: str
    """What the other is: `classic`, `1 thread`."""
    value: float
    margin: float | None
    """Half its interval, relative: the sum of both rows'; None where one has none."""


@dataclass(frozen=True)
class Unmeasured:
    """Cells that share the reason why they have no number."""

    status: str
    cells: str
    """How many of which family; of a single one its name."""
    names: Sequence[str]
    reason: str
    remedy: str


@dataclass(frozen=True)
class Contents:
    """What is said of a run's rows, as texts without a layout."""

    headlines: Sequence[str]
    """Whether the machine was quiet, and what disturbed most rows; empty where nothing is known."""
    tables: Sequence[FamilyTable]
    how_to_read: Sequence[str]
    notes: Sequence[str]
    """Footnotes, each after its sign."""
    machine: Sequence[str]
    """What was watched of the machine during the rounds, and how fast it was."""
    checked: str
    """How many cells were only checked; empty for none."""
    unmeasured: Sequence[Unmeasured]


def render(rows: Sequence[Row], records: Mapping[str, Any], width: int, color: bool = False) -> str:
    """Return the run as text of at most `width` columns: a table a family, then what has no number.

    `records` are the machine's; `color` adds terminal colours. Below 40 columns it stays at 40.
    """
    screen = Screen(width, color)
    screen.print(summary(records), "bold")
    run = contents(rows, records)
    for line in run.headlines:
        screen.print(line, "bold", 2)
    for table in run.tables:
        _add_table(screen, table)
    if run.how_to_read:
        screen.print()
        screen.print("; ".join(run.how_to_read), "dim")
    for line in (*run.notes, *run.machine):
        screen.print(line, "dim", 2)
    if run.checked:
        screen.print()
        screen.print(run.checked)
    for group in run.unmeasured:
        screen.print()
        screen.print(f"{group.status}: {group.cells}", indent=4)
        if group.reason:
            screen.print(f"  {group.reason}", indent=4)
        if group.remedy:
            screen.print(f"  → {group.remedy}", indent=4)
    return screen.text()


def contents(rows: Sequence[Row], records: Mapping[str, Any]) -> Contents:
    """Return the texts of a run: a table a family, how to read them, and what has no number."""
    measured = [row for row in rows if row.status == MEASURED]
    families: dict[str, list[Row]] = {}
    for row in measured:
        families.setdefault(row.cell.family, []).append(row)
    notes, shared = Notes(), caveats.of_run(measured)
    quiet = caveats.verdict(measured, records)
    ordered = families_of(row.cell for row in measured)
    marked = {
        row.name: plain(row.cell.id) + ",".join(map(notes.mark, caveats.of_row(row, shared)))
        for family in ordered
        for row in families[family]
    }
    too_large = [row for row in rows if row.status == OUT_OF_MEMORY]
    tables = [
        _family_table(family, families[family], too_large, marked, records) for family in ordered
    ]
    checked = sum(row.status == CHECKED for row in rows)
    return Contents(
        headlines=[*filter(None, [quiet]), *shared],
        tables=tables,
        how_to_read=list(_how_to_read(measured)),
        notes=notes.lines(),
        machine=[*caveats.watched(measured), *caveats.reference(records)],
        checked=f"{counted(checked, 'cell')} passed the contract check; not timed"
        if checked
        else "",
        unmeasured=list(_unmeasured(rows)),
    )


def families_of(cells: Iterable[Cell]) -> list[str]:
    """Return the families of these cells, in the order of the pipeline."""
    families = dict.fromkeys(cell.family for cell in cells)
    known = [family for family in LAYOUTS if family in families]
    return [*known, *(family for family in families if family not in LAYOUTS)]


def speedups(rows: Sequence[Row]) -> list[Speedup]:
    """Compare each measured row with its peers, one thread, and a user's own call with ours.

    Times are for an image; rows whose work differs otherwise are not compared.
    """
    measured = [row for row in rows if row.status == MEASURED and median(row.samples) > 0]
    peers: dict[Axes, list[Row]] = {}
    ours: dict[Axes, Row] = {}
    single: dict[Axes, Row] = {}
    for row in measured:
        if "peer" in row.cell.axes:
            peers.setdefault(_axes(row, "peer"), []).append(row)
        elif row.cell.axes.get("threads") == 1:
            single[_axes(row, "threads")] = row
        if "peer" not in row.cell.axes and "call" not in row.cell.axes:
            ours[_axes(row)] = row
    speedups = []
    for row in measured:
        if "peer" in row.cell.axes:
            continue
        if "call" in row.cell.axes and (same := ours.get(_axes(row, "call"))):
            speedups.append(_speedup(row, same, "this project's"))
        for peer in peers.get(_axes(row), ()):
            speedups.append(_speedup(row, peer, str(peer.cell.axes["peer"])))
        one = single.get(_axes(row, "threads"))
        if one is not None and row.cell.axes.get("threads", 1) != 1:
            speedups.append(_speedup(row, one, "1 thread"))
    return speedups


def speedup_lines(rows: Sequence[Row], marked: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each row that others of the run do the same work as.

    Both carry the signs of their footnotes, which `marked` has by the rows' names.
    """
    texts: dict[str, list[str]] = {}
    for speedup in speedups(rows):
        margin = "" if speedup.margin is None else f"\u00a0(±\u00a0{percent(speedup.margin)})"
        times = f"{with_margin(speedup.value, speedup.margin)}\u00a0×"
        signs = marked[speedup.other.name].removeprefix(plain(speedup.other.cell.id))
        text = f"{times} the speed of {plain(speedup.other_name)}{signs}{margin}"
        texts.setdefault(marked[speedup.row.name], []).append(text)
    for name, comparisons in texts.items():
        yield f"{name}: {', '.join(comparisons)}"


def _family_table(
    family: str,
    rows: Sequence[Row],
    too_large: Sequence[Row],
    marked: Mapping[str, str],
    records: Mapping[str, Any],
) -> FamilyTable:
    layout = columns.layout_of(family, [row.cell for row in rows])
    between = noise.between(records, Path.cwd())
    profiled = [row for row in rows if row.stages]
    return FamilyTable(
        family,
        title=plain(layout.title),
        ran_on=plain(_ran_on(rows)),
        columns=columns.of_family(layout, rows, marked, records),
        agreement=list(columns.agreement_lines(rows)),
        decoders=plain(_decoders(rows)),
        speedups=list(speedup_lines(rows, marked)),
        stages_caption=columns.stages_caption(profiled) if profiled else "",
        stages=columns.of_stages(profiled) if profiled else [],
        fits=[*fits.step_lines(rows, between), *fits.batch_lines([*rows, *too_large], between)],
    )


def _add_table(screen: Screen, table: FamilyTable) -> None:
    screen.print()
    screen.print(table.title, "bold")
    if table.ran_on:
        screen.print(table.ran_on, "dim")
    left_out = screen.table(table.columns)
    unseen = any(column.heading == columns.AGREEMENT for column in left_out)
    decoders = [table.decoders] if table.decoders else []
    for line in (*(table.agreement if unseen else ()), *decoders, *table.speedups):
        screen.print(line, indent=4)
    if table.stages:
        screen.print()
        screen.print(table.stages_caption, "dim")
        screen.table(table.stages, always=len(table.stages) - 2)
    if table.fits:
        screen.print()
    for line in table.fits:
        screen.print(line, "dim", 2)


def _ran_on(rows: Sequence[Row]) -> str:
    """Return what the rows' numbers depend on besides the machine: weights, threads."""
    weights = dict.fromkeys(row.weights for row in rows if row.weights)
    threads = dict.fromkeys(str(row.threads) for row in rows if row.threads is not None)
    parts = ["images: pre-generated"] if PREGENERATED in weights else []
    weights.pop(PREGENERATED, None)
    parts += [f"weights: {'; '.join(weights)}"] if weights else []
    parts += [f"threads of torch and BLAS: {', '.join(threads)}"] if threads else []
    return " · ".join(parts)


def _decoders(rows: Sequence[Row]) -> str:
    """Return which library decodes which format: `decoders: PNG by kornia-rs 0.2.0`.

    A row without a format reads a folder, PNG before JPEG. nvJPEG may decode JPEG on CUDA.
    """
    pairs: dict[str, None] = {}
    for row in rows:
        names = str(row.cell.regime.get("decoder", "")).split(", ")
        formats = [str(row.cell.axes["format"])] if "format" in row.cell.axes else ["png", "jpeg"]
        for format_, name in zip(formats, names, strict=False):
            if name and (row.cell.device != "cuda" or format_ == "png"):
                pairs[f"{format_.upper()} by {name}"] = None
    return f"decoders: {', '.join(pairs)}" if pairs else ""


def _how_to_read(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what the headings mean."""
    if not rows:
        return
    yield "times: median wall-clock time after warm-up, the device synchronised"
    yield "±\u00a095\u00a0%: half the 95\u00a0% interval of the median, relative to it"
    yield "slowest: the longest round"
    if any(map(columns.has_p95, rows)):
        yield (
            f"p95: 95th percentile, from {columns.P95_ROUNDS}\u00a0rounds\u00a0on that are worth "
            f"{columns.P95_WORTH} independent ones"
        )
    if any(row.cell.family == "generate" for row in rows):
        yield "it/s: denoising steps per second of the whole call"
    if any("mode" in row.cell.axes for row in rows):
        yield "× eager: speed relative to eager mode"
    if any(row.extra.get(JUDGED) for row in rows):
        yield "agreement: pictures in which the trained network recognises the prompt's class"
    levels = [row.extra[OFF_EAGER] for row in rows if OFF_EAGER in row.extra]
    if levels:
        yield f"images of other modes: at most {max(levels):.0f} of 255 levels from eager's"
    for row in rows:
        if OFF_EXACT in row.extra:
            largest, mean = row.extra[OFF_EXACT], row.extra[MEAN_OFF_EXACT]
            yield f"{row.cell.id}: at most {largest:.0f} of 255 levels off, {mean:.2f} in the mean"
    if any(CALL_FLOP in row.extra for row in rows):
        yield "FLOP/s: counts matrix products, convolutions and attention only"
        yield "of matrix: share of the FLOP/s of a plain matrix product here"
    if any(row.busy is not None for row in rows):
        yield "busy: time that the GPU worked in one profiled call"
        yield "host gap: median minus busy, the GPU waiting for the host"
    if any("times_an_empty_loop" in row.extra for row in rows):
        yield "× empty loop: time relative to one step of an empty loop, measured beside it"


def _unmeasured(rows: Sequence[Row]) -> Iterator[Unmeasured]:
    """Yield each reason that left cells without a number, once."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row.status not in (MEASURED, CHECKED):
            groups.setdefault((row.status, row.reason, row.remedy), []).append(row)
    for (status, reason, remedy), members in groups.items():
        names = [plain(row.name) for row in members]
        families = ", ".join(dict.fromkeys(plain(row.cell.family) for row in members))
        cells = names[0] if len(members) == 1 else f"{counted(len(members), 'cell')} of {families}"
        if status == FAILED and all("peer" in row.cell.axes for row in members):
            status = "not comparable"  # a peer that does other work than ours is no fault
        yield Unmeasured(status, cells, names, plain(reason), plain(remedy))


def _axes(row: Row, without: str = "") -> Axes:
    return frozenset((axis, value) for axis, value in row.cell.axes.items() if axis != without)


def _speedup(row: Row, other: Row, name: str) -> Speedup:
    seconds, others = (median(one.samples) / one.cell.images for one in (row, other))
    margins = [stats.margin(row.samples), stats.margin(other.samples)]
    known = [margin for margin in margins if margin is not None]
    return Speedup(row, other, name, others / seconds, sum(known) if len(known) == 2 else None)
