"""What `validate` prints: tables for people, and one JSON document for programs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.arguments import size_label
from pipeline.validation.answers import Answer, bytes_text

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["as_dict", "first_broken", "print_answers"]

_HOLDS, _BROKEN = "holds", "broken"


def print_answers(answers: Sequence[Answer]) -> None:
    """Print a line for each of several answers, and the boundaries of the one that matters most.

    That is the first that is broken, or the only one.
    """
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=False)
    if len(answers) > 1:
        console.print(_summary(answers, console.width))
    broken = [each for each in answers if each.violations]
    shown = broken[0] if broken else answers[0] if len(answers) == 1 else None
    if shown is not None:
        if len(answers) > 1:
            console.print()
        console.print(_title(shown), soft_wrap=True)
        console.print(_boundaries(shown))
        for line in _costs(shown):
            console.print(line, soft_wrap=True)
    for name in dict.fromkeys(each.scored_by for each in answers if each.cost is not None):
        console.print(f"shape of scores: by {name}", soft_wrap=True)


def first_broken(answers: Sequence[Answer]) -> str:
    """Return the line that names the first broken boundary; empty where all hold."""
    for each in answers:
        if each.violations:
            prefix = f"{_title(each)}: " if len(answers) > 1 else ""
            return f"does not hold: {prefix}{each.violations[0]}"
    return ""


def as_dict(answers: Sequence[Answer], seconds: float) -> dict[str, Any]:
    """Return JSON values: what was asked, found and counted; `seconds` after imports."""
    return {
        "holds": not any(each.violations for each in answers),
        "first_broken": first_broken(answers),
        "seconds": seconds,
        "answers": [_answer(each) for each in answers],
    }


def _answer(each: Answer) -> dict[str, Any]:
    cost, asked = each.cost, each.question
    return {
        "model": asked.model.name,
        "size": size_label(each.size),
        "batch": asked.batch,
        "dtype": asked.dtype,
        "channels": asked.channels,
        "flux_model": asked.flux_model,
        "memory_bytes": asked.memory_bytes,
        "holds": not each.violations,
        "fits": each.fits,
        "scored_by": each.scored_by,
        "steps": each.steps,
        "unet_calls": each.unet_calls,
        "image_flops": each.image_flops,
        "cost": None
        if cost is None
        else {
            "parameters": cost.parameters,
            "weights_bytes": cost.weights_bytes,
            "text_flops": cost.text_flops,
            "step_flops": cost.step_flops,
            "decode_flops": cost.decode_flops,
            "peak_bytes": cost.peak_bytes,
            "peak_stage": cost.peak_stage,
        },
        "boundaries": [
            {
                "boundary": boundary.name,
                "expected": boundary.expected,
                "found": boundary.found,
                "violation": str(boundary.violation or ""),
            }
            for boundary in each.boundaries
        ],
    }


def _title(each: Answer) -> str:
    asked = each.question
    parts = [
        asked.model.name,
        size_label(each.size),
        f"batch {asked.batch}",
        asked.dtype,
        "RGB" if asked.channels == 3 else "grayscale",
    ]
    return " · ".join(parts + ([asked.flux_model] if asked.flux_model else []))


def _boundaries(each: Answer) -> "Table":
    table = _table("boundary", "expected", "found", "verdict")
    for boundary in each.boundaries:
        verdict = _BROKEN if boundary.violation is not None else _HOLDS
        table.add_row(boundary.name, boundary.expected, boundary.found, verdict)
    return table


def _costs(each: Answer) -> list[str]:
    """Return what it takes: parameters and bytes, then operations."""
    cost, batch = each.cost, each.question.batch
    if cost is None or each.image_flops is None:
        return []
    fits = "" if each.fits is None else " (fits)" if each.fits else " (does not fit)"
    text, step, decode = (
        _gflops(flops / batch) for flops in (cost.text_flops, cost.step_flops, cost.decode_flops)
    )
    return [
        f"parameters {_spaced(cost.parameters)} · weights {bytes_text(cost.weights_bytes)} · "
        f"estimated peak {bytes_text(cost.peak_bytes)}{fits}",
        f"GFLOPs an image: {_gflops(each.image_flops)} = {text} text + {each.unet_calls} × {step} "
        f"UNet + {decode} VAE, for {each.steps} steps",
    ]


def _summary(answers: Sequence[Answer], width: int) -> "Table":
    """One line an answer: the axes on which they differ, then what each takes, as far as it fits.

    What is left out is in the JSON.
    """
    axes = {
        "model": [each.question.model.name for each in answers],
        "size": [size_label(each.size) for each in answers],
        "batch": [str(each.question.batch) for each in answers],
        "dtype": [each.question.dtype for each in answers],
        "channels": [str(each.question.channels) for each in answers],
        "flux model": [each.question.flux_model for each in answers],
        "memory": [_memory(each) for each in answers],
    }
    shown = {
        name: values
        for name, values in axes.items()
        if name in ("model", "size") or len(set(values)) > 1
    }
    last = {
        "verdict": [each.violations[0].boundary if each.violations else _HOLDS for each in answers]
    }
    takes = _takes(answers)
    for name in (_STEP, "parameters", _IMAGE, "weights"):
        if _width(shown | takes | last) > width:
            del takes[name]
    table = _table(*shown)
    for name in takes:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in zip(*(shown | takes | last).values(), strict=True):
        table.add_row(*row)
    return table


_STEP, _IMAGE = "GFLOP\na step", "GFLOP\nan image"


def _takes(answers: Sequence[Answer]) -> dict[str, list[str]]:
    """Return what each answer takes, by heading; a step is that of one image."""
    takes: dict[str, list[str]] = {
        name: [] for name in ("parameters", _STEP, _IMAGE, "weights", "peak")
    }
    for each in answers:
        cost, whole = each.cost, each.image_flops
        texts = ["–"] * len(takes)
        if cost is not None and whole is not None:
            texts = [
                _millions(cost.parameters),
                _gflops(cost.step_flops / each.question.batch),
                _gflops(whole),
                bytes_text(cost.weights_bytes),
                bytes_text(cost.peak_bytes),
            ]
        for values, text in zip(takes.values(), texts, strict=True):
            values.append(text)
    return takes


def _width(columns: Mapping[str, Sequence[str]]) -> int:
    """Return how wide a table of these columns is, two spaces between them."""
    widths = (max(map(len, [*name.split("\n"), *values])) for name, values in columns.items())
    return sum(widths) + 2 * (len(columns) - 1)


def _memory(each: Answer) -> str:
    memory = each.question.memory_bytes
    return "" if memory is None else bytes_text(memory)


def _table(*names: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _gflops(flops: float) -> str:
    giga = flops / 1e9
    return _spaced(round(giga)) if giga >= 1000 else f"{giga:.4g}"


def _millions(count: int) -> str:
    """Return `1 066.2 M`: published counts have as many digits or fewer."""
    millions, tenths = divmod(round(count / 1e5), 10)
    return f"{_spaced(millions)}.{tenths} M"


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")
