"""Matching cells whose ids differ in some axes: device, dtype, engine, mode, …"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from string import ascii_uppercase
from typing import Any

from bench.comparing.sides import Side
from bench.results.cell import MEASURED, Axis, Cell, Row
from bench.results.record import Run
from pipeline.errors import PipelineError

__all__ = ["matched", "of_one_file", "rematched", "without"]

MOST_AXES = 4
"""Axes that are left out by themselves, where no id is on two sides."""

Axes = Mapping[str, Any]


def rematched(sides: Sequence[Side], axes: Sequence[str] | None = None) -> list[Side]:
    """Give the rows of all sides that agree in all but some axes the names of the first side.

    Without `axes` the sides stay as they are if a cell is on the first and another; else the
    smallest set of axes is left out that matches most cells. Raises `PipelineError` for an axis
    that no cell has, and for cells of one side that differ in nothing else.
    """
    cells = [_cells(side) for side in sides]
    if axes is None:
        if any(set(cells[0]) & set(others) for others in cells[1:]):
            return list(sides)
        sets = {others: matched_axes(cells[0], cells[others]) for others in range(1, len(sides))}
        axes = list(dict.fromkeys(axis for found in sets.values() for axis in found))
        if not axes:
            return list(sides)
    _check(axes, cells)
    names: dict[tuple[str, Any], str] = {}
    for side, known in zip(sides, cells, strict=True):
        for name, values in known.items():
            key = _key(name, values, axes)
            other = names.setdefault((side.label, key), name)
            if other != name:
                raise PipelineError(
                    f"--across {','.join(axes)}",
                    f"one cell a side, but {side.label} has {_id(other)} and {_id(name)}",
                    "name fewer axes, or select fewer cells (-k) when measuring",
                )
    common: dict[Any, str] = {}
    for (_, key), name in names.items():
        common.setdefault(key, name)
    made = []
    for side, known in zip(sides, cells, strict=True):
        back = {name: common[_key(name, values, axes)] for name, values in known.items()}
        runs = tuple(_renamed(run, back) for run in side.runs)
        made.append(replace(side, runs=runs, settings=f"across {', '.join(axes)}"))
    return made


def of_one_file(side: Side, axes: Sequence[str]) -> list[Side]:
    """Part one side into sides, one for each setting of some axes, and match their cells.

    Raises `PipelineError` where there is no such axis, or only one setting.
    """
    _check(axes, [_cells(side)])
    groups: dict[tuple[Any, ...], list[Run]] = {}
    settings = dict.fromkeys(
        setting
        for run in side.runs
        for row in run.rows
        if row.status == MEASURED and (setting := _setting(row, axes)) != (None,) * len(axes)
    )
    for setting in settings:
        for run in side.runs:
            rows = tuple(row for row in run.rows if _setting(row, axes) == setting)
            groups.setdefault(setting, []).append(replace(run, rows=rows))
    if not 1 < len(groups) <= len(ascii_uppercase):
        raise PipelineError(
            f"--across {','.join(axes)}",
            f"2 to 26 settings in {', '.join(side.files)}, not {len(groups)}",
            "measure several, or name another axis",
        )
    made = [
        replace(side, label=label, runs=tuple(runs))
        for label, runs in zip(ascii_uppercase, groups.values(), strict=False)
    ]
    return rematched(made, axes)


def matched(first: Mapping[str, Axes], second: Mapping[str, Axes]) -> dict[str, str]:
    """Match the cells of two sides, by their axes; return the second's name by the first's.

    By their ids; where they share none, by all axes but those that `matched_axes` leaves out.
    """
    if same := {name: name for name in first if name in second}:
        return same
    axes = matched_axes(first, second)
    back = {_key(name, values, axes): name for name, values in second.items()}
    keys = {name: _key(name, values, axes) for name, values in first.items()}
    return {name: back[key] for name, key in keys.items() if axes and key in back}


def matched_axes(first: Mapping[str, Axes], second: Mapping[str, Axes]) -> tuple[str, ...]:
    """Return the smallest set of axes without which most cells match one to one; () for none."""
    known = dict.fromkeys(
        axis for side in (first, second) for values in side.values() for axis in values
    )
    for size in range(1, MOST_AXES + 1):
        counts = {axes: _count(first, second, axes) for axes in combinations(known, size)}
        best = max(counts, key=lambda axes: counts[axes], default=())
        if counts.get(best):
            return best
    return ()


def without(cell: Cell, axes: Sequence[str]) -> Cell:
    """Return a cell without some axes; with all of them where none would be left."""
    left = {axis: value for axis, value in cell.axes.items() if axis not in axes}
    return replace(cell, axes=left) if left else cell


def _count(first: Mapping[str, Axes], second: Mapping[str, Axes], axes: Sequence[str]) -> int:
    """Count the cells that match without some axes; 0 where that is not one to one."""
    keys = [{_key(name, values, axes) for name, values in side.items()} for side in (first, second)]
    one_to_one = all(
        len(known) == len(side) for known, side in zip(keys, (first, second), strict=True)
    )
    return len(keys[0] & keys[1]) if one_to_one else 0


def _key(name: str, values: Axes, axes: Sequence[str]) -> tuple[Any, ...]:
    kept = ((axis, value) for axis, value in values.items() if axis not in axes)
    return name.partition("[")[0], *sorted(kept)


def _setting(row: Row, axes: Sequence[str]) -> tuple[Axis | None, ...]:
    return tuple(row.cell.setting(axis) for axis in axes)


def _cells(side: Side) -> dict[str, Axes]:
    return {row.name: row.cell.axes for row in _measured(side)}


def _measured(side: Side) -> Iterator[Row]:
    return (row for run in side.runs for row in run.rows if row.status == MEASURED)


def _renamed(run: Run, names: Mapping[str, str]) -> Run:
    return replace(
        run, rows=tuple(replace(row, name=names.get(row.name, row.name)) for row in run.rows)
    )


def _check(axes: Sequence[str], cells: Sequence[Mapping[str, Axes]]) -> None:
    known = sorted({axis for side in cells for values in side.values() for axis in values})
    for axis in axes:
        if axis not in known:
            raise PipelineError(
                f"--across {axis}", f"axes of these cells: {', '.join(known)}", "change --across"
            )


def _id(name: str) -> str:
    return name.partition("[")[2].removesuffix("]") or name
