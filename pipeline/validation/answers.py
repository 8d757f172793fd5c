"""Whether every tensor from prompt to scores will fit, asked of configurations alone."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from pipeline import availability, contracts
from pipeline.arguments import Size, parse_count, parse_list, parse_size
from pipeline.contracts import Violation
from pipeline.errors import PipelineError, UnavailableError
from pipeline.flux import forward as flux
from pipeline.flux import reference
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.stable_diffusion import components, diffusion
from pipeline.stable_diffusion import models as sd_models
from pipeline.validation import meta
from pipeline.validation.boundaries import Boundaries, Boundary, BrokenError
from pipeline.validation.meta import Cost

if TYPE_CHECKING:
    import torch

__all__ = [
    "CHANNELS",
    "Answer",
    "Question",
    "Scorer",
    "answer",
    "bytes_text",
    "load_libraries",
    "parse_memory",
    "questions",
    "scorer",
]

CHANNELS = ("1", "3")
"""Of a preprocessed image: grayscale or RGB."""

_UNITS = {"": 1, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True)
class Scorer:
    """Who says what shape scores have, and the function that does, of channels and images."""

    name: str
    shape: Callable[[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Question:
    """One combination of what `validate` takes."""

    model: sd_models.Model
    size: Size | None
    """None is the model's own."""
    batch: int
    dtype: str
    channels: int
    """Of a preprocessed image: 3, or 1 for grayscale."""
    flux_model: str = ""
    """A user's Flux model, as `FILE.jl:function`; empty for the project's network."""
    memory_bytes: int | None = None
    """What the device has; None where nobody asked."""


@dataclass(frozen=True)
class Answer:
    """What was found at each boundary, until one was broken or all held."""

    question: Question
    size: Size
    boundaries: tuple[Boundary, ...]
    cost: Cost | None
    """None where a boundary is broken before the images are decoded."""
    steps: int
    unet_calls: int
    """How often the scheduler calls the UNet for `steps`."""
    scored_by: str
    """Who said what shape the scores have."""

    @property
    def violations(self) -> list[Violation]:
        """What does not hold: nothing, or the first broken boundary."""
        return [each.violation for each in self.boundaries if each.violation is not None]

    @property
    def fits(self) -> bool | None:
        """Whether the estimated peak fits the memory; None where that was not asked or reached."""
        memory = self.question.memory_bytes
        if memory is None or self.cost is None:
            return None
        return self.cost.peak_bytes <= memory

    @property
    def image_flops(self) -> float | None:
        """Operations an image, of text encoders, all steps and the decoder."""
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
) -> list[Question]:
    """Return every combination of values that are separated by commas; empty ones are defaults.

    Raises `PipelineError` for the first value that is wrong.
    """
    models = [sd_models.resolve(name) for name in parse_list(sd_model)]
    sizes = [parse_size(part, multiple=1) for part in parse_list(size)] if size else [None]
    batches = [parse_count(part, "--batch") for part in parse_list(batch or "1")]
    dtypes = _known(dtype, "--dtype", contracts.DTYPES)
    colors = _known(channels or "3", "--channels", CHANNELS)
    flux_models = parse_list(flux_model) if flux_model else [""]
    for name in filter(None, flux_models):
        flux.split_name(name)
    memories = [parse_memory(part) for part in parse_list(memory)] if memory else [None]
    return [
        Question(
            model,
            side or model.size,
            count,
            kind or diffusion.default_dtype(diffusion.default_device(model.name)),
            int(color),
            scorer,
            bound,
        )
        for model, side, count, kind, color, scorer, bound in product(
            models, sizes, batches, dtypes or [""], colors, flux_models, memories
        )
    ]


def parse_memory(text: str) -> int:
    """Read `8GB` or `8GiB` (10⁹ or 2³⁰ bytes each; k, M, T alike) as bytes.

    Raises `PipelineError` for anything else.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", text.strip(), re.IGNORECASE)
    value = 0.0
    if match is not None:
        number, unit, binary = match.groups()
        value = float(number) * (1024 if binary else 1000) ** _UNITS[unit.lower()]
    if match is None or value < 1:
        raise PipelineError(f"--memory {text}", "a size such as 8GB or 8GiB", "change --memory")
    return int(value)


def load_libraries(asked: Sequence[Question]) -> dict[str, Scorer]:
    """Import what answering takes, Julia before torch; return who scores, by `--flux-model`.

    Raises `UnavailableError` where a user's Flux model has no Julia, and as
    `components.import_classes` and `flux.output_shape`.
    """
    scorers = {name: scorer(name) for name in {question.flux_model for question in asked}}
    for question in asked:
        components.import_classes(question.model)
    import torch

    # torchvision, and what the meta device is made of:
    _preprocessed(torch.empty((8, 8, 3), dtype=torch.uint8, device="meta"), 1, 3)
    for name, channels in {(each.flux_model, each.channels) for each in asked}:
        with suppress(PipelineError):  # the answer says so
            scorers[name].shape(channels, 1)  # Julia compiles, for seconds
    return scorers


def scorer(flux_model: str) -> Scorer:
    """Return who says what shape scores have: Julia, which this starts, or the reference.

    Raises `UnavailableError` for a user's model without Julia, and as `flux.output_shape`.
    """
    absent = availability.flux()
    if absent is None:
        return Scorer("Flux.outputsize", flux.output_shape(flux_model))
    if flux_model:
        raise UnavailableError(f"--flux-model {flux_model}", absent)
    return Scorer(f"the PyTorch reference ({absent.reason})", reference.output_shape)


def answer(question: Question, scored: Scorer) -> Answer:
    """Take the question's tensors through the pipeline, as far as they get.

    Raises as `meta.walk`.
    """
    asked = question
    walked = meta.walk(asked.model, asked.size, asked.batch, asked.dtype)
    crossed = list(walked.boundaries)
    if walked.cost is not None:
        crossed += _after(walked, asked, scored)
    steps = asked.model.steps
    return Answer(
        asked,
        walked.size,
        tuple(crossed),
        walked.cost,
        steps,
        meta.unet_calls(asked.model, steps),
        scored.name,
    )


def _after(walked: meta.Walk, asked: Question, scored: Scorer) -> list[Boundary]:
    """Go on from decoded images: preprocessing, Julia's view of the batch, scores, memory."""
    import torch

    width, height = walked.size
    boundaries = Boundaries({"N": asked.batch, "C": asked.channels, "W": width, "H": height})
    with suppress(BrokenError), torch.inference_mode():
        pixels = torch.empty((height, width, 3), dtype=torch.uint8, device="meta")
        boundaries.hold(pixels, contracts.IMAGE)
        with boundaries.calling(contracts.BATCH):
            batch = _preprocessed(pixels, asked.batch, asked.channels)
        boundaries.hold(batch, contracts.BATCH)
        boundaries.hold(batch.permute(3, 2, 1, 0), contracts.WHCN)
        expected = contracts.SCORES.expected(boundaries.dims)
        try:
            scores = torch.empty(scored.shape(asked.channels, asked.batch), device="meta")
        except PipelineError as error:
            violation = Violation("scores", error.given, error.expected, error.remedy)
            boundaries.note("scores", expected, "an error", violation)
        else:
            boundaries.hold(scores, contracts.SCORES)
        _hold_memory(walked, asked, boundaries)
    return boundaries.crossed


def _preprocessed(pixels: "torch.Tensor", count: int, channels: int) -> "torch.Tensor":
    """Return the batch that `count` images of these pixels (H, W, 3), uint8, become."""
    import torch

    settings = preprocessing.Settings(grayscale=channels == 1)
    batch = torch.empty(settings.shape(count), device=pixels.device)
    preprocessing.fill(batch[0], pixels.permute(2, 0, 1), settings)
    return batch


def _hold_memory(walked: meta.Walk, asked: Question, boundaries: Boundaries) -> None:
    memory = asked.memory_bytes
    if memory is None or walked.cost is None:
        return
    expected, given = f"at most {bytes_text(memory)}", bytes_text(walked.cost.peak_bytes)
    violation = None
    if walked.cost.peak_bytes > memory:
        smaller = "a smaller size or batch"
        if walked.cost.weights_bytes > memory:
            smaller = f"a smaller model: weights alone take {bytes_text(walked.cost.weights_bytes)}"
        remedy = f"try {'float16, or ' if asked.dtype == 'float32' else ''}{smaller}"
        violation = Violation("memory", f"an estimated {given}", expected, remedy)
    boundaries.note("memory", expected, f"{given} in {walked.cost.peak_stage}", violation)


def bytes_text(count: int) -> str:
    """Return `6.94 GB`, `1.24 MB` or `0.6 kB`, in powers of ten."""
    unit, scale = ("GB", 1e9) if count >= 1e9 else ("MB", 1e6) if count >= 1e6 else ("kB", 1e3)
    return f"{count / scale:.4g} {unit}"


def _known(text: str, name: str, known: Sequence[str]) -> list[str]:
    values = parse_list(text) if text else []
    for value in values:
        if value not in known:
            raise PipelineError(f"{name} {value}", " or ".join(known), f"change {name}")
    return values
