"""What each target takes of a model: by component, all together, and of what was asked."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from math import prod

from pipeline.arguments import Size, size_label
from pipeline.errors import PipelineError, one_line
from pipeline.progress import progress
from pipeline.stable_diffusion import components
from pipeline.targets import onnx_files
from pipeline.targets.limits import Batches, Sides, batches, sides
from pipeline.targets.programs import EXAMPLE_BATCH, Program, programs
from pipeline.validation.answers import Answer

__all__ = ["TARGETS", "Limits", "Refusal", "Target", "batches_text", "require", "targets"]

TARGETS = ("eager", "export", "onnx")
"""Eager PyTorch, which `validate` always answers for; `torch.export`; ONNX made from that."""

MOST_GUARDS = 3
"""Of one component: the first ones that narrow its range."""


@dataclass(frozen=True)
class Limits:
    """What one component takes, or all of them together."""

    component: str
    width: Sides | None
    height: Sides | None
    batch: Batches | None
    guards: tuple[str, ...] = ()
    """What refuses a size or a batch that eager PyTorch takes, after the first that it refuses."""
    made: str = ""
    """What an exporter made of it."""


@dataclass(frozen=True)
class Refusal:
    """A size and a batch that were asked for, and what refuses them."""

    size: Size
    batch: int
    component: str = ""
    """Empty where the target takes them."""
    guard: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        """Return `72x72, batch 1: unet: sample width % 2 == 0; try 64x64 or 80x80`."""
        asked = f"{size_label(self.size)}, batch {self.batch}"
        return f"{asked}: {self.component}: {self.guard}; {self.remedy}"


@dataclass(frozen=True)
class Target:
    """The answer of one target for one model in one type."""

    name: str
    model: str
    dtype: str
    multiple: int
    """What eager PyTorch wants each side to be a multiple of."""
    example: Size
    """What was traced, with `EXAMPLE_BATCH` images."""
    parts: tuple[Limits, ...]
    whole: Limits
    batch_at: Size
    """The size that the batches of `parts` and `whole` are for: the largest of those asked for that
    is taken, else the traced one."""
    batches: tuple[tuple[Size, Batches | None], ...]
    """What it takes of each size that was asked for."""
    asked: tuple[Refusal, ...]

    @property
    def refused(self) -> list[Refusal]:
        """What was asked for and is not taken."""
        return [one for one in self.asked if one.component]


def require(names: Sequence[str]) -> None:
    """Raise `PipelineError` where a target is not installed, or its library is damaged."""
    for library in ("onnx", "onnxscript") if "onnx" in names else ():
        try:
            import_module(library)
        except Exception as error:  # absent, or damaged: then anything
            remedy = 'pip install "sd-flux-bench[onnx]"'
            expected = f"the library {library} ({one_line(error)})"
            raise PipelineError("--target onnx", expected, remedy) from error


def targets(names: Sequence[str], answers: Sequence[Answer]) -> Iterator[Target]:
    """Export each model that was asked about once a type, and answer for each target but eager.

    Questions that are broken in eager PyTorch are left out. Raises as `programs.programs`.
    """
    asked: dict[tuple[object, str], list[Answer]] = {}
    for answer in answers if names else ():  # an export takes half a minute at least
        asked.setdefault((answer.question.model, answer.question.dtype), []).append(answer)
    for alike in asked.values():
        question = alike[0].question
        exported = list(programs(question.model, question.dtype, alike[0].size))
        multiple = components.on_meta(question.model, question.dtype).multiple
        calls = [(one.size, one.question.batch) for one in alike if not one.violations]
        for name in names:
            made = exported if name == "export" else _as_onnx(question.model.name, exported)
            yield _target(name, alike[0], multiple, made, list(dict.fromkeys(calls)))


def _as_onnx(model: str, exported: Sequence[Program]) -> Iterator[Program]:
    with progress(f"onnx of {model}", len(exported), "component", seconds=0) as show:
        for done, program in enumerate(exported):
            show(done, program.component)
            yield onnx_files.converted(program)


def _target(
    name: str,
    answer: Answer,
    multiple: int,
    made: Iterable[Program],
    calls: Sequence[tuple[Size, int]],
) -> Target:
    exported = list(made)
    example = exported[0].size
    limits = {size: batches(partial(_takes, exported, size)) for size, _ in calls}
    at = max((size for size in limits if limits[size]), key=prod, default=example)
    parts = tuple(_limits(program.component, [program], multiple, at) for program in exported)
    whole = _limits("all", exported, multiple, at)
    asked = tuple(_refusal(size, batch, exported, whole, limits[size]) for size, batch in calls)
    return Target(
        name,
        answer.question.model.name,
        answer.question.dtype,
        multiple,
        example,
        parts,
        whole,
        at,
        tuple(limits.items()),
        asked,
    )


def _takes(exported: Sequence[Program], size: Size, batch: int) -> bool:
    return not any(program.refusal(size, batch) for program in exported)


def _limits(component: str, exported: Sequence[Program], multiple: int, at: Size) -> Limits:
    """Return what the programs take: sides beside those of the traced call, batches at one size."""
    width, height = exported[0].size
    guards: dict[str, str] = {}

    def takes(size: Size, batch: int, label: str) -> bool:
        for program in exported:
            guard = program.refusal(size, batch)
            if guard:
                guards.setdefault(guard, label)
                return False
        return True

    batch = batches(lambda batch: takes(at, batch, f"batch {batch}"))
    widths = sides(lambda side: takes((side, height), EXAMPLE_BATCH, f"width {side}"), multiple)
    heights = sides(lambda side: takes((width, side), EXAMPLE_BATCH, f"height {side}"), multiple)
    made = " · ".join(f"{one.component} {one.made}" for one in exported if one.made)
    return Limits(component, widths, heights, batch, _in_words(guards), made)


def _in_words(guards: Mapping[str, str]) -> tuple[str, ...]:
    """Return each guard after the first call that it refused; those of both sides as one."""
    calls: dict[str, list[str]] = {}
    for guard, label in guards.items():
        twins = (guard.replace("width", "height"), guard.replace("height", "width"))
        both = twins[0] != twins[1] and all(twin in guards for twin in twins)
        guard = guard.replace("width", "side").replace("height", "side") if both else guard
        calls.setdefault(guard, []).append(label)
    texts = []
    for guard, labels in calls.items():
        sides = {label.split()[-1] for label in labels}
        label = f"side {sides.pop()}" if len(labels) > len(sides) else ", ".join(labels)
        texts.append(f"{label}: {guard}")
    return tuple(texts[:MOST_GUARDS])


def _refusal(
    size: Size, batch: int, exported: Sequence[Program], whole: Limits, taken: Batches | None
) -> Refusal:
    for program in exported:
        guard = program.refusal(size, batch)
        if guard:
            remedy = "deploy it in eager PyTorch, or change the model"
            if not program.failure:
                remedy = f"try batch {taken}" if taken else _near(size, batch, exported, whole)
            return Refusal(size, batch, program.component, guard, remedy)
    return Refusal(size, batch)


def _near(size: Size, batch: int, exported: Sequence[Program], whole: Limits) -> str:
    """Return the nearest sizes that are taken, with the batch that they are taken in."""
    if whole.width is None or whole.height is None:
        return "no size is taken"
    near = zip(whole.width.near(size[0]), whole.height.near(size[1]), strict=True)
    limits = {one: batches(partial(_takes, exported, one)) for one in dict.fromkeys(near)}
    here = [size_label(one) for one in limits if _takes(exported, one, batch)]
    if here:
        return f"try {' or '.join(here)}"
    others = {one: batch for one, batch in limits.items() if batch}
    return f"try batch {batches_text(others)}" if others else "no size near it is taken"


def batches_text(limits: Mapping[Size, Batches | None]) -> str:
    """Return `1–31 at 64x64, 128x64 · none at 72x72`."""
    sizes: dict[str, list[str]] = {}
    for size, taken in limits.items():
        sizes.setdefault(str(taken or "none"), []).append(size_label(size))
    return " · ".join(f"{batch} at {', '.join(at)}" for batch, at in sizes.items())
