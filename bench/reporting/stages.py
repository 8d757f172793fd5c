"""Where a watched call went, by stage, and how a call grows with its steps, as texts."""

from collections.abc import Sequence

from bench.reporting import steps
from bench.reporting.layout import Column
from bench.reporting.texts import (
    NOTHING,
    duration,
    percent,
    plain,
    plus_minus,
    unit_of,
    with_margin,
)
from bench.results import costs
from bench.results.cell import Row

__all__ = ["STAGES", "columns", "fits", "whose"]

STAGES = {"text encoder": "text", "UNet": "UNet", "scheduler": "scheduler", "VAE decode": "VAE"}
"""Stages of a call and their headings, in the order of a call."""


def columns(rows: Sequence[Row]) -> list[Column]:
    """Return where the watched call of each row went, in one unit."""
    unit, scale = unit_of(_longest(rows))

    def time(seconds: float | None) -> str:
        return NOTHING if seconds is None else with_margin(seconds * scale, None)

    def stage(row: Row, name: str) -> str:
        seconds, calls = row.stages.get(name), row.calls.get(name, 0)
        if name != "UNet" or seconds is None or not calls:
            return time(seconds)
        return f"{calls} × {time(seconds / calls)}"

    columns = [
        Column("cell", [plain(row.cell.id) for row in rows]),
        *(Column(head, [stage(row, name) for row in rows]) for name, head in STAGES.items()),
    ]
    rest = [costs.unattributed(row) for row in rows]
    if any(rest):
        columns.append(Column("unattributed", [time(each) for each in rest]))
    gaps = [None if row.busy is None else (row.profiled or 0.0) - row.busy for row in rows]
    if any(each is not None for each in gaps):
        columns.append(Column("host gap", [time(each) for each in gaps]))
    return [*columns, Column(f"{unit}/call", [time(row.profiled) for row in rows])]


def whose(rows: Sequence[Row]) -> str:
    """Say whose time the stages have."""
    parts = [f"stages of one more call, in {unit_of(_longest(rows))[0]}"]
    if any(row.busy is not None for row in rows):
        parts.append(
            "on CUDA, which the profiler slows, kernels and copies by the stage that launched them"
        )
    if any(row.busy is None for row in rows):
        parts.append("on the CPU, time inside each: there is no busy time and no host gap")
    return "; ".join(parts)


def fits(rows: Sequence[Row]) -> list[str]:
    """Return the steps fits in words."""
    found = steps.fits(rows)
    lines = ["steps fit: a call = fixed + per step × steps (± 95 %)"] if found else []
    for each in found:
        fit = each.fit
        fixed, per_step = (
            plus_minus(value, (high - low) / 2)
            for value, (low, high) in (
                (fit.fixed, fit.fixed_interval),
                (fit.per_step, fit.per_step_interval),
            )
        )
        lines.append(f"{plain(each.of)}: fixed {fixed}, {per_step} a step; {_straight(each)}")
        if each.foreseen is not None:
            value, low, high = each.foreseen
            last = each.points[-1]
            predicted = plus_minus(value, (high - low) / 2)
            measured = duration(last.seconds)
            lines.append(
                f"  from fewer, {last.steps} steps predicted {predicted}, measured {measured}"
            )
    return lines


def _longest(rows: Sequence[Row]) -> float:
    return max(row.profiled or 0.0 for row in rows)


def _straight(found: steps.StepsFit) -> str:
    """Say how far the points lie from the line, and whether it is one."""
    if found.off is not None:
        return f"not a line: {percent(found.residual(found.off))} off it at {found.off.steps} steps"
    furthest = max(map(found.residual, found.points))
    noise = "" if furthest <= steps.OFF_THE_LINE else ", as unsure as the medians are"
    return f"at most {percent(furthest)} off the line{noise}"
