"""The columns of a family's table, and of the table of where its profiled calls went."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.reporting.layout import Column
from bench.reporting.texts import (
    NOTHING,
    aligned,
    duration,
    or_nothing,
    plain,
    share,
    spaced,
    unit_of,
    with_margin,
)
from bench.results.cell import AGREED, CALL_FLOP, JUDGED, Axis, Cell, Row
from bench.results.rates import matrix_rate
from bench.results.units import MIB
from bench.statistics import stats
from bench.statistics.correlation import effective
from pipeline.errors import counted

__all__ = [
    "AGREEMENT",
    "LAYOUTS",
    "P95_ROUNDS",
    "P95_WORTH",
    "STAGES",
    "Layout",
    "agreement_lines",
    "has_p95",
    "layout_of",
    "of_family",
    "of_stages",
    "stages_caption",
]

P95_ROUNDS = 200
"""Rounds from which on a 95th percentile rests on ten slower ones; of 20 it is their 91st."""

P95_WORTH = 59
"""As `P95_ROUNDS`, in independent ones: of as many one is slower than the percentile, at 95 %."""

AGREEMENT = "agreement"
"""The heading of how many pictures show what their prompt says."""

UNATTRIBUTED = 0.05
"""Share of a profiled call that may belong to no stage before the table says so."""

EXTRAS = (
    ("julia_allocated_bytes", "Julia MiB/call", MIB),
    ("energy_j_per_image", "J/image", 1.0),
    ("times_an_empty_loop", "× empty loop", 1.0),
    ("empty_loop_ns", "empty loop ns", 1.0),
    ("peak_allocated_bytes", "peak MiB", MIB),
    ("peak_reserved_bytes", "reserved MiB", MIB),
    ("gpu_process_bytes", "process MiB", MIB),
    ("added_rss_bytes", "added RSS MiB", MIB),
)
"""Columns of what else was measured, each where a row has it: key, heading, unit."""

STAGES = {
    "text encoder": "text",
    "UNet": "UNet",
    "transformer": "transformer",
    "scheduler": "scheduler",
    "VAE decode": "VAE",
}
"""Stages of a call and their headings, in the order of a call."""

DENOISERS = ("UNet", "transformer")
"""Of these a pipeline has one, and calls it at every step."""

STOPPED = {
    "precision": "precision",
    "budget": "time budget",
    "first call": "first call",
    "fresh process": "one process",
}
"""What ended the rounds, as the table says it; the limit of rounds is given as their number."""


@dataclass(frozen=True)
class Layout:
    """How a family reads: its title, what a time is for, and its rate."""

    title: str
    per_image: bool = False
    rate: str = ""

    @property
    def per(self) -> str:
        """What a time is for."""
        return "image" if self.per_image else "call"

    def images(self, cell: Cell) -> int:
        """Return what a call's time is divided by."""
        return cell.images if self.per_image else 1


LAYOUTS = {
    "generate": Layout("generate · prompt → images, by diffusers", True, "it/s"),
    "preprocess": Layout("preprocess · images → batch, by torchvision", True, "images/s"),
    "forward": Layout(
        "forward · batch → scores, by Flux.jl and a PyTorch reference", False, "images/s"
    ),
    "end_to_end": Layout("end to end · images → batch → scores", True, "images/s"),
    "harness": Layout("harness · a call that does nothing: what measuring costs"),
    "cold": Layout("cold · what happens once in a process"),
    "other": Layout("other · tests of pytest-benchmark's own fixture: no contract"),
    "bulk": Layout("bulk · many images → scores, in this process or on Ray", True, "images/s"),
}


def layout_of(family: str, cells: Iterable[Cell]) -> Layout:
    """Return the layout of a family; of another repository's, by what its cells have."""
    if family in LAYOUTS:
        return LAYOUTS[family]
    return Layout(family, rate="images/s" if any(cell.images > 1 for cell in cells) else "")


RATES: dict[str, Callable[[Cell], int]] = {
    "it/s": lambda cell: cell.steps,
    "images/s": lambda cell: cell.images,
}
"""How many of it one call does."""


def of_family(
    layout: Layout, rows: Sequence[Row], marked: Mapping[str, str], records: Mapping[str, Any]
) -> list[Column]:
    """Return all that is known of these rows, what matters most first.

    `marked` are the ids with the signs of their footnotes, by the rows' names.
    """
    medians = [median(row.samples) for row in rows]
    margins = [stats.margin(row.samples) for row in rows]
    images = [layout.images(row.cell) for row in rows]
    unit, scale = unit_of(
        max(seconds / count for seconds, count in zip(medians, images, strict=True))
    )

    def times(heading: str, seconds: Sequence[float | None]) -> Column:
        scaled = zip(seconds, images, margins, strict=True)
        texts = (
            NOTHING if time is None else with_margin(time / count * scale, margin)
            for time, count, margin in scaled
        )
        return Column(heading, aligned(texts))

    def rates(heading: str) -> Column:
        done = zip((RATES[heading](row.cell) for row in rows), medians, margins, strict=True)
        texts = (
            with_margin(number / seconds, margin) if seconds else NOTHING
            for number, seconds, margin in done
        )
        return Column(heading, aligned(texts))

    eager = times_eager(rows)
    slowest = times("slowest", [max(row.samples) for row in rows])
    p95 = [times("p95", [_p95(row) for row in rows])] if any(map(_p95, rows)) else []
    rate = [rates(layout.rate)] if layout.rate else []
    columns = [
        Column("cell", [marked[row.name] for row in rows]),
        times(f"{unit}/{layout.per}", medians),
        Column("± 95 %", list(map(share, margins))),
        Column("rounds", [spaced(len(row.samples)) for row in rows]),
    ]
    if any(row.spoiled for row in rows):
        columns.append(Column("dropped", [spaced(sum(row.spoiled.values())) for row in rows]))
    columns += rate
    if any(eager):
        columns.append(Column("× eager", [or_nothing(ratio) for ratio in eager]))
    columns += [slowest, *p95]
    columns += _operations(rows, records)
    if layout.rate == "it/s" and any(row.cell.images > 1 for row in rows):
        columns.append(rates("images/s"))
    if any(row.busy is not None for row in rows):
        columns.append(times("busy", [row.busy for row in rows]))
        columns.append(times("host gap", list(map(host_gap, rows))))
    if any(row.first_call is not None for row in rows):
        columns.append(Column("first call", [duration(row.first_call) for row in rows]))
    if any(JUDGED in row.extra for row in rows):
        columns.append(Column(AGREEMENT, list(map(_agreement, rows))))
    columns += _extras(rows)
    if any(row.limited_by for row in rows):
        columns.append(Column("stopped at", list(map(_stopped, rows)), "left"))
    return columns


def of_stages(rows: Sequence[Row]) -> list[Column]:
    """Return where the profiled call of each row went, in one unit."""
    unit, scale = unit_of(_longest(rows))

    def time(seconds: float | None) -> str:
        return NOTHING if seconds is None else with_margin(seconds * scale, None)

    def stage(row: Row, name: str) -> str:
        seconds, calls = row.stages.get(name), row.calls.get(name, 0)
        if name not in DENOISERS or seconds is None or not calls:
            return time(seconds)
        return f"{calls} × {time(seconds / calls)}"

    shown = [
        name for name in STAGES if name != "transformer" or any(name in row.stages for row in rows)
    ]
    if "transformer" in shown and not any("UNet" in row.stages for row in rows):
        shown.remove("UNet")
    columns = [
        Column("cell", [plain(row.cell.id) for row in rows]),
        *(Column(STAGES[name], [stage(row, name) for row in rows]) for name in shown),
    ]
    rest = list(map(unattributed, rows))
    if any(rest):
        columns.append(Column("unattributed", list(map(time, rest))))
    if any(row.busy is not None for row in rows):
        gaps = (None if row.busy is None else (row.profiled or 0.0) - row.busy for row in rows)
        columns.append(Column("host gap", list(map(time, gaps))))
    return [*columns, Column(f"{unit}/call", [time(row.profiled) for row in rows])]


def stages_caption(rows: Sequence[Row]) -> str:
    """Return what the table of stages shows."""
    parts = [f"stages of one profiled call, in {unit_of(_longest(rows))[0]}"]
    if any(map(unattributed, rows)):
        parts.append("unattributed: between the stages, such as guidance and tokens")
    if any(row.busy is not None for row in rows):
        parts.append(
            "on CUDA: GPU time of the kernels and copies that each stage launched (profiling slows "
            "the call)"
        )
    if any(row.busy is None for row in rows):
        parts.append("on the CPU: time inside each stage; no GPU, so no busy time and no host gap")
    return "; ".join(parts)


def agreement_lines(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the agreement of judged rows, a line for those that differ in their steps alone."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        if row.extra.get(JUDGED):
            text = f"{counted(row.cell.steps, 'step')} {_agreement(row)}"
            groups.setdefault(plain(row.cell.id_without("steps")), []).append(text)
    for name, texts in groups.items():
        yield f"{AGREEMENT}: {name} {', '.join(texts)}"


def times_eager(rows: Sequence[Row]) -> list[float | None]:
    """Return how many times as fast as eager each row is; None where its eager row is not there."""

    def key(row: Row) -> tuple[str, frozenset[tuple[str, Axis]]]:
        axes = {axis: value for axis, value in row.cell.axes.items() if axis != "mode"}
        return row.weights, frozenset(axes.items())

    eager = {key(row): median(row.samples) for row in rows if "mode" not in row.cell.axes}
    return [
        _quotient(eager.get(key(row)), median(row.samples)) if "mode" in row.cell.axes else None
        for row in rows
    ]


def flop_per_second(row: Row) -> float | None:
    """Return how many operations a second the call did; None where nobody counted them."""
    return _quotient(row.extra.get(CALL_FLOP), median(row.samples))


def host_gap(row: Row) -> float | None:
    """Return the seconds of a call in which the device waited for its host; never below 0."""
    return None if row.busy is None else max(0.0, median(row.samples) - row.busy)


def unattributed(row: Row) -> float | None:
    """Return the seconds of the profiled call that belong to no stage and are no host gap.

    None where that is at most a twentieth of the call, or where no call was profiled by stages. On
    the CPU it is what runs between them: tokens, guidance, pixels.
    """
    if row.profiled is None or not row.stages:
        return None
    gap = 0.0 if row.busy is None else row.profiled - row.busy
    rest = row.profiled - gap - sum(row.stages.values())
    return rest if rest > UNATTRIBUTED * row.profiled else None


def _operations(rows: Sequence[Row], records: Mapping[str, Any]) -> Iterator[Column]:
    """Yield operations a second, and what share of the machine's matrix product that is."""
    rates = list(map(flop_per_second, rows))
    if not any(rates):
        return
    highest = max(rate for rate in rates if rate)
    unit, scale = ("TFLOP/s", 1e12) if highest >= 1e11 else ("GFLOP/s", 1e9)
    yield Column(unit, aligned(or_nothing(_quotient(rate, scale)) for rate in rates))
    shares = [
        _quotient(rate, _matrix_rate(row, records)) for row, rate in zip(rows, rates, strict=True)
    ]
    if any(shares):
        yield Column("of matrix", list(map(share, shares)))


def _matrix_rate(row: Row, records: Mapping[str, Any]) -> float | None:
    """Return FLOP/s of a matrix product on the row's device, in its dtype, at the run's start."""
    return matrix_rate(records, row.cell.device, str(row.cell.axes.get("dtype", "")))


def _extras(rows: Sequence[Row]) -> Iterator[Column]:
    for key, heading, unit in EXTRAS:
        values = [row.extra.get(key) for row in rows]
        if any(values):
            yield Column(heading, aligned(_amount(value, unit) for value in values))


def _amount(value: float | None, unit: float) -> str:
    """Return three digits, and all of those before the point."""
    if value is None:
        return NOTHING
    return spaced(value / unit) if value / unit >= 100 else with_margin(value / unit, None)


def _agreement(row: Row) -> str:
    """Return how many pictures the network calls what their prompt says."""
    if not row.extra.get(JUDGED):
        return NOTHING
    return f"{row.extra.get(AGREED, 0):.0f} of {row.extra[JUDGED]:.0f}"


def _quotient(one: float | None, other: float | None) -> float | None:
    return one / other if one and other else None


def _stopped(row: Row) -> str:
    if row.limited_by == "cap":
        return f"{spaced(len(row.samples) + sum(row.spoiled.values()))} rounds"
    return STOPPED.get(row.limited_by, plain(row.limited_by))


def has_p95(row: Row) -> bool:
    """Say whether a row's rounds are worth independent ones enough for its 95th percentile."""
    return len(row.samples) >= P95_ROUNDS and effective(row.samples) >= P95_WORTH


def _p95(row: Row) -> float | None:
    return stats.quantile(row.samples, 0.95) if has_p95(row) else None


def _longest(rows: Sequence[Row]) -> float:
    return max(row.profiled or 0.0 for row in rows)
