"""What `validate` prints: tables for people, and one JSON document for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from pipeline.arguments import size_label
from pipeline.errors import counted, plain
from pipeline.validation.answers import Answer, Limits, Question, bytes_text
from pipeline.validation.calibration import Overhead

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["as_dict", "first_broken", "memory_text", "print_answers"]

_HOLDS, _BROKEN = "holds", "broken"


def print_answers(answers: Sequence[Answer], limits: Sequence[Limits | None] = ()) -> None:
    """Print a line for each of several answers, and all boundaries of the first broken one.

    A single answer is always printed in full. `limits` are those of each answer.
    """
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=False)
    several = len(answers) > 1
    if several:
        console.print(_summary(answers, console.width))
    broken = [answer for answer in answers if answer.violations]
    for answer in broken[:1] if several else answers:
        if several:
            console.print()
        console.print(_title(answer), soft_wrap=True)
        console.print(_boundaries(answer))
        for line in (*_costs(answer), *_memory_lines(answer)):
            console.print(line, soft_wrap=True)
    if several and not broken and any(answer.fits is not None for answer in answers):
        console.print(_legend(answers[0]), soft_wrap=True)
    for line in _limit_lines(answers, limits):
        console.print(line, soft_wrap=True)
    names = (answer.scored_by for answer in answers if answer.cost is not None)
    for name in filter(None, dict.fromkeys(names)):
        console.print(f"shape of scores: by {name}", soft_wrap=True)
    for line in dict.fromkeys(answer.missing for answer in answers if answer.missing):
        console.print(f"not checked: {line}", soft_wrap=True)


def memory_text(answers: Sequence[Answer], width: int) -> str:
    """Return a table of what each call needs on a device; empty where nothing has a cost."""
    from rich.console import Console

    needs = [(answer, answer.need) for answer in answers if answer.need is not None]
    if not needs:
        return ""
    axes = _axes([answer for answer, _ in needs])
    costs = {
        "weights": [bytes_text(need.weights) for _, need in needs],
        "most": [bytes_text(need.most) for _, need in needs],
        "in": [need.most_in for _, need in needs],
        "needs": [bytes_text(need.total) for _, need in needs],
    }
    for name in ("weights", "in", "most"):
        if _width(axes | costs) > width:
            del costs[name]
    table = _table(*axes)
    for name in costs:
        table.add_column(name, justify="left" if name == "in" else "right", no_wrap=True)
    for row in dict.fromkeys(zip(*axes.values(), *costs.values(), strict=True)):
        table.add_row(*row)
    console = Console(width=width, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(table)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    return "\n".join([*lines, *wrap(_legend(answers[0]), width)])


def first_broken(answers: Sequence[Answer]) -> str:
    """Return the line that names the first broken boundary; empty where all hold."""
    for answer in answers:
        if answer.violations:
            prefix = f"{_title(answer)}: " if len(answers) > 1 else ""
            return f"does not hold: {prefix}{answer.violations[0]}"
    return ""


def as_dict(
    answers: Sequence[Answer], seconds: float, limits: Sequence[Limits | None] = ()
) -> dict[str, Any]:
    """Return all answers as JSON values; `seconds` is the time that they took after imports.

    `limits` are those of each answer.
    """
    return {
        "holds": not any(answer.violations for answer in answers),
        "first_broken": first_broken(answers),
        "seconds": seconds,
        "answers": [
            _answer(answer, most)
            for answer, most in zip(answers, limits or [None] * len(answers), strict=True)
        ],
    }


def _answer(answer: Answer, limits: Limits | None) -> dict[str, Any]:
    question, need = answer.question, answer.need
    return {
        "model": question.model.name,
        "size": size_label(answer.size),
        "batch": question.batch,
        "dtype": question.dtype,
        "channels": question.channels,
        "flux_model": question.flux_model,
        "memory_bytes": question.memory_bytes,
        "holds": not answer.violations,
        "fits": answer.fits,
        "needed_bytes": need and need.total,
        "need": need and asdict(need),
        "limits": limits
        and {"batch": limits.batch, "size": limits.size and size_label(limits.size)},
        "overhead": asdict(question.overhead),
        "scored_by": answer.scored_by,
        "scoring_bytes": answer.scoring_bytes,
        "not_checked": answer.missing,
        "steps": answer.steps,
        "unet_calls": answer.unet_calls,
        "image_flops": answer.image_flops,
        "cost": None if answer.cost is None else asdict(answer.cost),
        "boundaries": [
            {
                "boundary": boundary.name,
                "expected": boundary.expected,
                "found": boundary.found,
                "violation": str(boundary.violation or ""),
            }
            for boundary in answer.boundaries
        ],
    }


def _title(answer: Answer) -> str:
    question = answer.question
    parts = [
        question.model.name,
        size_label(answer.size),
        f"batch {question.batch}",
        question.dtype,
        "RGB" if question.channels == 3 else "grayscale",
        question.flux_model,
    ]
    return " · ".join(filter(None, parts))


def _boundaries(answer: Answer) -> "Table":
    table = _table("boundary", "expected", "found", "result")
    for boundary in answer.boundaries:
        verdict = _HOLDS if boundary.violation is None else _BROKEN
        table.add_row(boundary.name, boundary.expected, boundary.found, verdict)
    return table


def _costs(answer: Answer) -> list[str]:
    """Return a line of parameters and bytes, and a line of operations."""
    cost, batch = answer.cost, answer.question.batch
    if cost is None or answer.image_flops is None:
        return []
    fits = {None: "", True: " (fits)", False: " (does not fit)"}[answer.fits]
    text, step, decode = (
        _gflops(flops / batch) for flops in (cost.text_flops, cost.step_flops, cost.decode_flops)
    )
    return [
        f"parameters {_spaced(cost.parameters)} · weights {bytes_text(cost.weights_bytes)} · "
        f"estimated peak {bytes_text(cost.peak_bytes)}{fits}",
        f"GFLOPs an image: {_gflops(answer.image_flops)} = {text} text + {answer.unet_calls} × "
        f"{step} {cost.denoiser} + {decode} VAE, for {answer.steps} steps",
    ]


def _memory_lines(answer: Answer) -> list[str]:
    """Say what a device needs, of which parts, and how much it has left."""
    memory, need = answer.question.memory_bytes, answer.need
    if memory is None or need is None:
        return []
    left = memory - need.total
    rest = f"{bytes_text(left)} to spare" if left >= 0 else f"{bytes_text(-left)} too little"
    return [
        f"memory: needs {bytes_text(need.total)} of {bytes_text(memory)}, {rest}: "
        f"{bytes_text(need.weights)} weights + {bytes_text(need.most)} most in {need.most_in} + "
        f"{bytes_text(need.slack)} allocator + {bytes_text(need.context)} CUDA",
        _legend(answer),
    ]


def _legend(answer: Answer) -> str:
    overhead = answer.question.overhead
    return (
        "needs: weights + largest working memory (a stage, or the network that scores) + "
        f"{round(100 * overhead.slack)} % of both for the allocator + "
        f"{bytes_text(overhead.context_bytes)} for CUDA; {_learnt(overhead)}"
    )


def _learnt(overhead: Overhead) -> str:
    """Say where the share of the allocator and CUDA's bytes are from."""
    if not overhead.rows:
        return "the last two are guesses: --calibrate RESULTS measures them"
    error = f"within {100 * overhead.error:.0f} %" if overhead.rows > 1 else "its error unknown"
    on = f" on {' and '.join(map(plain, overhead.gpus))}" if overhead.gpus else ""
    on += " together" if len(overhead.gpus) > 1 else ""
    out = (
        f"; {counted(overhead.left_out, 'row')} left out: less than the estimate, or than reserved"
    )
    return (
        f"the last two from {counted(overhead.rows, 'measured row')}{on}, {error}"
        f"{out if overhead.left_out else ''}"
    )


def _limit_lines(answers: Sequence[Answer], limits: Sequence[Limits | None]) -> list[str]:
    """Return a line for each size: its largest batch, and for each batch the largest size."""
    groups: dict[Question, dict[int, Limits]] = {}
    for answer, most in zip(answers, limits, strict=False):
        if most is not None:
            size = replace(answer.question, size=answer.size, batch=0)
            groups.setdefault(size, {})[answer.question.batch] = most
    settings = {question: _setting(question) for question in groups}
    lines = []
    for question, of_batches in groups.items():
        setting = f"{settings[question]}: " if len(set(settings.values())) > 1 else ""
        assert question.size is not None
        size_, batch = size_label(question.size), next(iter(of_batches.values())).batch
        fits = f"up to batch {batch} at {size_}" if batch else f"no image of {size_}"
        larger = ", ".join(
            f"at batch {batch} {f'up to {size_label(most.size)}' if most.size else 'no size'}"
            for batch, most in of_batches.items()
        )
        lines.append(f"{setting}{_memory(question)} takes {fits}; {larger}")
    return lines


def _setting(question: Question) -> str:
    """Return what a question asks but size, batch and memory: `tiny · float32 · RGB`."""
    colors = "RGB" if question.channels == 3 else "grayscale"
    return " · ".join(
        filter(None, (question.model.name, question.dtype, colors, question.flux_model))
    )


def _summary(answers: Sequence[Answer], width: int) -> "Table":
    """Return one row an answer: the axes that differ, then as many costs as the width takes.

    The JSON has all of them.
    """
    shown = _axes(answers)
    verdicts = [
        answer.violations[0].boundary if answer.violations else _HOLDS for answer in answers
    ]
    costs = _cost_columns(answers)
    for name in (_STEP, "parameters", _IMAGE, "weights", "peak"):
        if _width(shown | costs | {"result": verdicts}) > width:
            del costs[name]
    table = _table(*shown)
    for name in costs:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("result", no_wrap=True)
    for row in zip(*shown.values(), *costs.values(), verdicts, strict=True):
        table.add_row(*row)
    return table


def _axes(answers: Sequence[Answer]) -> dict[str, list[str]]:
    """Return model and size of each answer, and the axes that differ, by heading."""
    axes: dict[str, list[str]] = {
        "model": [answer.question.model.name for answer in answers],
        "size": [size_label(answer.size) for answer in answers],
        "batch": [str(answer.question.batch) for answer in answers],
        "dtype": [answer.question.dtype for answer in answers],
        "channels": [str(answer.question.channels) for answer in answers],
        "flux model": [answer.question.flux_model for answer in answers],
        "memory": [_memory(answer.question) for answer in answers],
    }
    return {
        name: values
        for name, values in axes.items()
        if name in ("model", "size") or len(set(values)) > 1
    }


_STEP, _IMAGE = "GFLOP\na step", "GFLOP\nan image"


def _cost_columns(answers: Sequence[Answer]) -> dict[str, list[str]]:
    """Return the costs of each answer, by heading; a step is that of one image."""
    columns: dict[str, list[str]] = {
        name: [] for name in ("parameters", _STEP, _IMAGE, "weights", "peak")
    }
    for answer in answers:
        cost, texts = answer.cost, ["–"] * len(columns)
        if cost is not None and answer.image_flops is not None:
            texts = [
                _millions(cost.parameters),
                _gflops(cost.step_flops / answer.question.batch),
                _gflops(answer.image_flops),
                bytes_text(cost.weights_bytes),
                bytes_text(cost.peak_bytes),
            ]
        for values, text in zip(columns.values(), texts, strict=True):
            values.append(text)
    if any(answer.fits is not None for answer in answers):
        columns |= {"needs": [], "to spare": []}
        for answer in answers:
            need, memory = answer.need, answer.question.memory_bytes
            needs = spare = "–"
            if need is not None and memory is not None:
                needs, spare = bytes_text(need.total), bytes_text(memory - need.total)
            columns["needs"].append(needs)
            columns["to spare"].append(spare)
    return columns


def _width(columns: Mapping[str, Sequence[str]]) -> int:
    """Return the width of a table of these columns, two spaces apart."""
    widths = (max(map(len, [*name.split("\n"), *values])) for name, values in columns.items())
    return sum(widths) + 2 * (len(columns) - 1)


def _memory(question: Question) -> str:
    return "" if question.memory_bytes is None else bytes_text(question.memory_bytes)


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
    """Return `1 066.2 M`: published counts have no more digits."""
    millions, tenths = divmod(round(count / 1e5), 10)
    return f"{_spaced(millions)}.{tenths} M"


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")
