"""What `validate --target` prints below the eager answer, and its part of the JSON document."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipeline.arguments import Size, size_label
from pipeline.errors import plain
from pipeline.targets.answers import Limits, Target, batches_text
from pipeline.targets.limits import Sides
from pipeline.targets.programs import EXAMPLE_BATCH

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["as_dicts", "first_refused", "print_targets"]


def print_targets(targets: Sequence[Target]) -> None:
    """Print a table of components for each target, its rule beside eager's, and what it refuses."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=False, markup=False)
    for target in targets:
        console.print()
        console.print(_title(target), soft_wrap=True)
        console.print(_table(target))
        for line in _lines(target):
            console.print(plain(line), soft_wrap=True)


def first_refused(targets: Sequence[Target]) -> str:
    """Return the line that names what a target refuses first; empty where none refuses."""
    for target in targets:
        if target.refused:
            return f"does not hold: {target.name} of {target.model}: {target.refused[0]}"
    return ""


def as_dicts(targets: Sequence[Target]) -> list[dict[str, Any]]:
    """Return the targets as JSON values."""
    return [
        {
            "target": target.name,
            "model": target.model,
            "dtype": target.dtype,
            "eager_multiple": target.multiple,
            "traced": {"size": size_label(target.example), "batch": EXAMPLE_BATCH},
            "batch_at": size_label(target.batch_at),
            "batches": [
                {"size": size_label(size), "taken": taken and asdict(taken)}
                for size, taken in target.batches
            ],
            "components": [asdict(limits) for limits in (*target.parts, target.whole)],
            "asked": [
                {
                    "size": size_label(one.size),
                    "batch": one.batch,
                    "taken": not one.component,
                    "refused_by": one.component,
                    "guard": one.guard,
                }
                for one in target.asked
            ],
        }
        for target in targets
    ]


def _title(target: Target) -> str:
    traced = f"traced with {EXAMPLE_BATCH} images of {size_label(target.example)}"
    return f"{target.name} of {target.model} · {target.dtype}, {traced}"


def _table(target: Target) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    sides, batch = f"sides at batch {EXAMPLE_BATCH}", f"batch at\n{size_label(target.batch_at)}"
    for name in ("component", sides, batch, "refuses first, and why"):
        table.add_column(name, overflow="fold")
    for limits in (*target.parts, target.whole):
        guards = () if limits is target.whole else limits.guards
        shown = "\n".join(map(plain, guards)) or "–"
        table.add_row(limits.component, _sides(limits), _text(limits.batch), shown)
    return table


def _lines(target: Target) -> list[str]:
    whole = target.whole
    eager = Sides(target.multiple, target.multiple, None)
    lines = [f"eager: {eager}; {target.name}: {_sides(whole)} at batch {EXAMPLE_BATCH}"]
    if target.batches:
        lines.append(f"{target.name}: batch {batches_text(dict(target.batches))}")
    if whole.made:
        lines.append(f"made: {whole.made}; the file keeps no guards: a runtime may fail beyond")
    held = [
        f"{size_label(one.size)} batch {one.batch}" for one in target.asked if not one.component
    ]
    if held:
        lines.append(f"taken by eager and {target.name}: {' · '.join(held)}")
    return lines + _refusals(target)


def _refusals(target: Target) -> list[str]:
    """Return a line for each guard that refuses what was asked, with its sizes and batches."""
    sizes: dict[tuple[str, str], dict[tuple[Size, str], list[int]]] = {}
    for one in target.refused:
        calls = sizes.setdefault((one.component, one.guard), {})
        calls.setdefault((one.size, one.remedy), []).append(one.batch)
    return [
        f"taken by eager alone: {component}: {guard}: "
        + " · ".join(
            f"{size_label(size)} batch {', '.join(map(str, batches))} ({remedy})"
            for (size, remedy), batches in calls.items()
        )
        for (component, guard), calls in sizes.items()
    ]


def _sides(limits: Limits) -> str:
    if limits.width == limits.height:
        return _text(limits.width)
    return f"width {_text(limits.width)}, height {_text(limits.height)}"


def _text(rule: object | None) -> str:
    return "none" if rule is None else str(rule)
