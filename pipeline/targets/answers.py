"""What each target takes of a model: by component, all together, and of what was asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from pipeline.arguments import Size, nearest_sizes, size_label
from pipeline.errors import PipelineError
from pipeline.stable_diffusion import components
from pipeline.targets import onnx_files
from pipeline.targets.limits import Batches, Sides, batches, sides
from pipeline.targets.programs import EXAMPLE_BATCH, Program, programs
from pipeline.validation.answers import Answer

__all__ = ["TARGETS", "Limits", "Refusal", "Target", "require", "targets"]

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
    """What refuses a size or a batch that eager PyTorch takes."""
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
        """Return `72x72, batch 1: unet: sample.size()[2] % 2 == 0; try 64x64 or 80x80`."""
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
    asked: tuple[Refusal, ...]

    @property
    def refused(self) -> list[Refusal]:
        """What was asked for and is not taken."""
        return [one for one in self.asked if one.component]


def require(names: Sequence[str]) -> None:
    """Raise `PipelineError` where a target is not installed."""
    for library in ("onnx", "onnxscript") if "onnx" in names else ():
        if find_spec(library) is None:
            remedy = 'pip install "sd-flux-bench[onnx]"'
            raise PipelineError("--target onnx", f"the library {library}", remedy)


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
            made = exported if name == "export" else list(map(onnx_files.converted, exported))
            yield _target(name, alike[0], multiple, made, list(dict.fromkeys(calls)))


def _target(
    name: str,
    answer: Answer,
    multiple: int,
    exported: Sequence[Program],
    calls: Sequence[tuple[Size, int]],
) -> Target:
    parts = tuple(_limits(program.component, [program], multiple) for program in exported)
    whole = _limits("all", exported, multiple)
    asked = tuple(_refusal(size, batch, exported, whole) for size, batch in calls)
    question = answer.question
    example = exported[0].size
    return Target(name, question.model.name, question.dtype, multiple, example, parts, whole, asked)


def _limits(component: str, exported: Sequence[Program], multiple: int) -> Limits:
    width, height = exported[0].size
    guards: dict[str, None] = {}

    def takes(size: Size, batch: int) -> bool:
        for program in exported:
            guard = program.refusal(size, batch)
            if guard:
                guards[guard] = None
                return False
        return True

    batch = batches(lambda batch: takes((width, height), batch))
    widths = sides(lambda side: takes((side, height), EXAMPLE_BATCH), multiple)
    heights = sides(lambda side: takes((width, side), EXAMPLE_BATCH), multiple)
    made = " · ".join(program.made for program in exported if program.made)
    return Limits(component, widths, heights, batch, tuple(guards)[:MOST_GUARDS], made)


def _refusal(size: Size, batch: int, exported: Sequence[Program], whole: Limits) -> Refusal:
    for program in exported:
        guard = program.refusal(size, batch)
        if guard:
            remedy = _remedy(size, batch, program, whole)
            return Refusal(size, batch, program.component, guard, remedy)
    return Refusal(size, batch)


def _remedy(size: Size, batch: int, program: Program, whole: Limits) -> str:
    """Return the nearest sizes, or the batches, that the target takes."""
    if program.failure:
        return "deploy it in eager PyTorch, or change the model"
    if not program.refusal(size, EXAMPLE_BATCH):
        return f"batch {whole.batch}" if whole.batch else "no batch is taken"
    if whole.width is None or whole.height is None:
        return "no size is taken"
    return nearest_sizes(size, max(whole.width.multiple, whole.height.multiple))
