"""Whether every tensor from prompt to scores will fit, answered from configurations alone."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from pipeline import contracts
from pipeline.arguments import Size, parse_choices, parse_count, parse_list, parse_size
from pipeline.contracts import Violation
from pipeline.errors import PipelineError, UnavailableError
from pipeline.flux import forward as flux
from pipeline.flux import julia
from pipeline.flux import network as reference
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.stable_diffusion import components, diffusion
from pipeline.stable_diffusion import models as sd_models
from pipeline.stable_diffusion.architectures import Model
from pipeline.validation import capacity, meta
from pipeline.validation.boundaries import Boundaries, Boundary, BrokenError, Tensor
from pipeline.validation.calibration import GUESS, Overhead
from pipeline.validation.capacity import Need
from pipeline.validation.tally import Cost

if TYPE_CHECKING:
    import torch

__all__ = [
    "CHANNELS",
    "Answer",
    "Limits",
    "Question",
    "Scorer",
    "answer",
    "bytes_text",
    "limits",
    "load_libraries",
    "parse_memory",
    "questions",
    "scorer",
]

CHANNELS = ("1", "3")
"""Of a preprocessed image: grayscale or RGB."""

_UNITS = {"k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True)
class Scorer:
    """What computes the shape of the scores and the memory that they take."""

    name: str
    shape: Callable[[int, int], tuple[int, int]] | None
    """None where nothing here can follow the model."""
    bytes: Callable[[int, int], int] = capacity.scoring_bytes
    """Weights and activations of channels and images; 0 where they are not known."""
    missing: UnavailableError | None = None
    """Why there is no shape, and what changes that."""


@dataclass(frozen=True)
class Question:
    """One combination of what `validate` takes."""

    model: Model
    size: Size | None
    """None is the model's own."""
    batch: int
    dtype: str
    channels: int
    """Of a preprocessed image: 3, or 1 for grayscale."""
    flux_model: str = ""
    """A user's Flux model, as `FILE.jl:function`; empty for the project's network."""
    memory_bytes: int | None = None
    """Memory of the device; None where it was not asked for."""
    overhead: Overhead = GUESS
    """What the device takes beyond tensors."""


@dataclass(frozen=True)
class Limits:
    """The most that fits into the memory that was asked for, other settings as they are."""

    batch: int
    """0 where not even one image fits."""
    size: Size | None
    """None where no size fits."""


@dataclass(frozen=True)
class Answer:
    """The boundaries that a question crossed, and the cost where the images are decoded."""

    question: Question
    size: Size
    boundaries: tuple[Boundary, ...]
    cost: Cost | None
    """None where a boundary is broken before the images are decoded."""
    steps: int
    unet_calls: int
    """How often the scheduler calls the UNet for `steps`."""
    scored_by: str
    """The name of the scorer."""
    scoring_bytes: int = 0
    """Weights and activations of the network that scores; 0 where they are not known."""
    missing: str = ""
    """What could not be checked here, and why; empty where all was."""
    tensors: tuple[Tensor, ...] = ()
    """What goes into each component and comes out of it, where all boundaries hold."""

    @property
    def violations(self) -> list[Violation]:
        """The violation of the first broken boundary, if there is one."""
        return [crossed.violation for crossed in self.boundaries if crossed.violation]

    @property
    def fits(self) -> bool | None:
        """Whether what is needed fits the memory; None where either is unknown."""
        memory, need = self.question.memory_bytes, self.need
        return None if memory is None or need is None else need.total <= memory

    @property
    def need(self) -> Need | None:
        """What the device needs for it, scores and overhead included; None without a cost."""
        if self.cost is None:
            return None
        return capacity.need(self.cost, self.scoring_bytes, self.question.overhead)

    @property
    def image_flops(self) -> float | None:
        """Operations per image of text encoders, all steps and the decoder."""
        if self.cost is None:
            return None
        return self.cost.flops(self.unet_calls) / self.question.batch


def questions(
    sd_model: str,
    size: str = "",
    batch: str = "",
    dtype: str = "",
    channels: str = "",
    flux_model: str = "",
    memory: str = "",
    overhead: Overhead = GUESS,
) -> list[Question]:
    """Return every combination of comma-separated values; an empty text is the default.

    Raises `PipelineError` for the first wrong value.
    """
    models = [sd_models.resolve(name) for name in parse_list(sd_model)]
    sizes = [_parse_side(part) for part in parse_list(size)] if size else [None]
    batches = [_parse_batch(part) for part in parse_list(batch or "1")]
    dtypes = parse_choices(dtype, "--dtype", contracts.DTYPES)
    colors = parse_choices(channels or "3", "--channels", CHANNELS)
    flux_models = parse_list(flux_model) if flux_model else [""]
    for name in filter(None, flux_models):
        flux.split_name(name)
    memories = [parse_memory(part) for part in parse_list(memory)] if memory else [None]
    axes = (models, sizes, batches, dtypes or [""], colors, flux_models, memories)
    return [
        Question(
            model,
            side or model.size,
            images,
            kind or diffusion.default_dtype(diffusion.default_device(model.name)),
            int(color),
            flux_name,
            memory_bytes,
            overhead,
        )
        for model, side, images, kind, color, flux_name, memory_bytes in product(*axes)
    ]


def _parse_side(text: str) -> Size:
    size = parse_size(text, multiple=1)
    if max(size) > capacity.FURTHEST_SIDE:
        expected = f"sides up to {capacity.FURTHEST_SIDE} pixels"
        raise PipelineError(f"--size {text}", expected, "change --size")
    return size


def _parse_batch(text: str) -> int:
    batch = parse_count(text, "--batch")
    if batch > capacity.FURTHEST_BATCH:
        expected = f"at most {capacity.FURTHEST_BATCH} images at once"
        raise PipelineError(f"--batch {text}", expected, "change --batch")
    return batch


def parse_memory(text: str) -> int:
    """Read `8GB` or `8GiB` (10⁹ or 2³⁰ bytes each; k, M, T alike) as bytes.

    Raises `PipelineError` for anything else.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt])(i?)b?", text.strip(), re.IGNORECASE)
    value = 0.0
    if match is not None:
        number, unit, binary = match.groups()
        value = float(number) * (1024 if binary else 1000) ** _UNITS[unit.lower()]
    if match is None or value < 1:
        remedy = "change --memory"
        if text.strip().replace(".", "", 1).isdecimal():
            remedy = f"add the unit, such as {text.strip()}GB"
        raise PipelineError(f"--memory {text}", "a size such as 8GB or 8GiB", remedy)
    return int(value)


def load_libraries(questions: Sequence[Question]) -> dict[str, Scorer]:
    """Import what the answers need, Julia before torch; return the scorers by `--flux-model`.

    Raises as `scorer` and `components.import_classes`.
    """
    scorers = {name: scorer(name) for name in {question.flux_model for question in questions}}
    for question in questions:
        components.import_classes(question.model)
    import torch

    # Imports torchvision, and the meta device's kernels:
    _preprocessed(torch.empty((8, 8, 3), dtype=torch.uint8, device="meta"), 1, 3)
    for name, channels in {(question.flux_model, question.channels) for question in questions}:
        with suppress(PipelineError):  # the answer will say it
            if (shape := scorers[name].shape) is not None:
                shape(channels, 1)  # compiles in Julia for seconds
    return scorers


def scorer(flux_model: str) -> Scorer:
    """Return the scorer of a Flux model: Julia, which this starts, or else the reference.

    A user's model without Julia has no shape. Raises as `flux.output_shape`.
    """
    absent = julia.missing()
    if absent is None:
        shape, size = flux.output_shape(flux_model), flux.scoring_bytes(flux_model)
        return Scorer("Flux.outputsize", shape, size)
    if flux_model:
        missing = UnavailableError(f"--flux-model {flux_model}", absent)
        return Scorer("", None, lambda channels, images: 0, missing)
    return Scorer(f"the PyTorch reference ({absent.reason})", reference.output_shape)


def answer(question: Question, scorer: Scorer) -> Answer:
    """Walk through the pipeline from prompt to scores, up to the first broken boundary.

    Raises as `meta.walk`.
    """
    walked = meta.walk(question.model, question.size, question.batch, question.dtype)
    crossed, cost, steps, calls = walked.boundaries, walked.cost, question.model.steps, 0
    try:
        calls = meta.unet_calls(question.model, steps)
    except PipelineError as error:
        if cost is not None:  # else another boundary is broken before
            cost, violation = (
                None,
                Violation(
                    "steps", error.given.removeprefix("steps "), error.expected, error.remedy
                ),
            )
            crossed += (Boundary("steps", error.expected, str(steps), violation),)
    tensors, scoring = walked.tensors, 0
    if cost is not None:
        with suppress(PipelineError):  # a boundary says it
            scoring = scorer.bytes(question.channels, question.batch)
        after = _after_decoding(walked, question, scorer, scoring)
        crossed += tuple(after.crossed)
        shapes = {"batch": contracts.BATCH.shape, "scores": contracts.SCORES.shape}
        tensors += tuple(
            Tensor("scorer", name, name == "batch", "float32", after.shape(shape))
            for name, shape in shapes.items()
        )
    missing = "" if scorer.missing is None else f"shape and memory of scores: {scorer.missing}"
    name = scorer.name
    return Answer(
        question, walked.size, crossed, cost, steps, calls, name, scoring, missing, tensors
    )


def limits(answers: Sequence[Answer], scorers: Mapping[str, Scorer]) -> list[Limits | None]:
    """Return the largest batch and size for each answer's memory; None without memory or cost.

    `scorers` are by `--flux-model`. Walks through the pipeline some ten times for each size and for
    each batch, more where the limit is far from what was asked.
    """
    batches: dict[Question, int] = {}
    sizes: dict[tuple[Question, float], Size | None] = {}
    return [
        None
        if answer.question.memory_bytes is None or answer.cost is None
        else _limits(answer, scorers[answer.question.flux_model], batches, sizes)
        for answer in answers
    ]


def _limits(
    answer: Answer,
    scorer: Scorer,
    batches: dict[Question, int],
    sizes: dict[tuple[Question, float], Size | None],
) -> Limits:
    """Return the limits of an answer; `batches` and `sizes` keep what is found for the next one."""
    asked, memory = answer.question, answer.question.memory_bytes
    assert memory is not None

    def needed(batch: int, size: Size) -> int:
        scoring = scorer.bytes(asked.channels, batch)
        return capacity.needed(asked.model, size, batch, asked.dtype, scoring, asked.overhead)

    size = replace(asked, size=answer.size, batch=0)
    if size not in batches:
        batches[size] = capacity.largest_batch(
            lambda batch: needed(batch, answer.size), memory, asked.batch
        )
    batch = replace(asked, size=None), answer.size[0] / answer.size[1]
    if batch not in sizes:
        multiple = components.on_meta(asked.model, asked.dtype).multiple
        sizes[batch] = capacity.largest_size(
            lambda size: needed(asked.batch, size), memory, answer.size, multiple
        )
    return Limits(batches[size], sizes[batch])


def _after_decoding(
    walked: meta.Walk, question: Question, scorer: Scorer, scoring: int
) -> Boundaries:
    """Cross the boundaries after the decoded images: batch, Julia's view of it, scores, memory."""
    import torch

    width, height = walked.size
    batch, channels = question.batch, question.channels
    boundaries = Boundaries({"N": batch, "C": channels, "W": width, "H": height})
    with suppress(BrokenError), torch.inference_mode():
        pixels = torch.empty((height, width, 3), dtype=torch.uint8, device="meta")
        boundaries.hold(pixels, contracts.IMAGE)
        with boundaries.calling(contracts.BATCH):
            tensor = _preprocessed(pixels, batch, channels)
        boundaries.hold(tensor, contracts.BATCH)
        boundaries.hold(tensor.permute(3, 2, 1, 0), contracts.WHCN)
        if scorer.shape is not None:
            try:
                scores = torch.empty(scorer.shape(channels, batch), device="meta")
            except PipelineError as error:
                violation = Violation("scores", error.given, error.expected, error.remedy)
                expected = contracts.SCORES.expected(boundaries.dims)
                boundaries.note("scores", expected, "an error", violation)
            else:
                boundaries.hold(scores, contracts.SCORES)
        _hold_memory(walked, question, boundaries, scoring)
    return boundaries


def _preprocessed(pixels: "torch.Tensor", count: int, channels: int) -> "torch.Tensor":
    """Return the batch that `count` images of these pixels (H, W, 3), uint8, become."""
    import torch

    settings = preprocessing.Settings(grayscale=channels == 1)
    batch = torch.empty(settings.shape(count), device=pixels.device)
    preprocessing.fill(batch[0], pixels.permute(2, 0, 1), settings)
    return batch


def _hold_memory(
    walked: meta.Walk, question: Question, boundaries: Boundaries, scoring: int
) -> None:
    memory, cost = question.memory_bytes, walked.cost
    if memory is None or cost is None:
        return
    need = capacity.need(cost, scoring, question.overhead)
    expected, given = f"at most {bytes_text(memory)}", bytes_text(need.total)
    violation = None
    if need.total > memory:
        smaller = "a smaller size or batch"
        if cost.weights_bytes > memory:
            smaller = f"a smaller model: weights alone take {bytes_text(cost.weights_bytes)}"
        remedy = f"try {'float16, or ' if question.dtype == 'float32' else ''}{smaller}"
        violation = Violation("memory", f"an estimated {given}", expected, remedy)
    boundaries.note("memory", expected, f"{given}, most in {need.most_in}", violation)


def bytes_text(count: int) -> str:
    """Return `6.94 GB`, `1.24 MB` or `0.6 kB`, in powers of ten."""
    size = abs(count)
    unit, scale = ("GB", 1e9) if size >= 1e9 else ("MB", 1e6) if size >= 1e6 else ("kB", 1e3)
    return f"{count / scale:.4g} {unit}"
