"""The commands of `python -m pipeline`: each takes its options and returns its exit code."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from pipeline import availability, contracts, pregenerated
from pipeline import doctor as diagnosis
from pipeline.arguments import size_label
from pipeline.errors import PipelineError, UnavailableError
from pipeline.exits import DOES_NOT_HOLD, HOLDS
from pipeline.files import writing
from pipeline.flux import forward as flux
from pipeline.flux import julia
from pipeline.needs import NEEDS
from pipeline.preprocessing import conversion
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.progress import progress
from pipeline.stable_diffusion import diffusion, models, schedulers
from pipeline.validation import answers as validation
from pipeline.validation import table

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

__all__ = ["doctor", "forward", "generate", "preprocess", "run", "validate"]

Options = argparse.Namespace


def generate(options: Options) -> int:
    """Write generated_image_1.png …: generated, or the pre-generated ones without a model."""
    _write_images(options)
    return HOLDS


def preprocess(options: Options) -> int:
    """Write a preprocessed PNG for each image that has none yet; skip what cannot be read."""
    settings = preprocessing.Settings(options.size, options.grayscale)
    plan = conversion.plan(options.images, options.out, settings)
    if plan.done:
        images = "image was" if plan.done == 1 else "images were"
        print(f"{plan.done} {images} preprocessed before", file=sys.stderr)
    preprocessing.load()
    with progress("preprocess", len(plan.missing), "images") as show:

        def written(done: int, outputs: Sequence[Path]) -> None:
            for output in outputs:
                print(output)
            show(done)

        skipped = conversion.convert(plan.missing, settings, options.workers, written)
    for error in skipped:
        print(error, file=sys.stderr)
    if skipped:
        print(f"skipped {len(skipped)} of {len(plan.missing)} images", file=sys.stderr)
    return DOES_NOT_HOLD if skipped else HOLDS


def forward(options: Options) -> int:
    """Print the scores that Flux.jl gives each image."""
    images = [preprocessing.decode(path) for path in options.images]
    if options.flux_model:
        flux.split_name(options.flux_model)
    julia.start()  # before torch
    channels = 1 if options.grayscale else 3
    try:
        model = flux.load(
            channels, options.device or "cpu", options.flux_model, options.flux_weights
        )
        scores = model(preprocessing.preprocess(images, grayscale=options.grayscale))
    except PipelineError as error:
        if options.verbose and error.__cause__ is not None:
            print(error.__cause__, file=sys.stderr)
        raise
    _print_scores(options.images, scores, options.top)
    return HOLDS


def run(options: Options) -> int:
    """Generate, preprocess and score; without Julia, say why there are no scores."""
    for need in options.require:
        if (absent := NEEDS[need]()) is not None:
            raise UnavailableError(f"--require {need}", absent)
    _model(options)
    no_flux = julia.missing()  # before torch
    images = _write_images(options)
    names = [pregenerated.preprocessed_name(number + 1) for number in range(len(images))]
    with progress("preprocess", len(images), "images") as show:
        batch = preprocessing.preprocess(images, grayscale=options.grayscale)
        for done, (name, tensor) in enumerate(zip(names, batch, strict=True), 1):
            _save(preprocessing.to_image(tensor), options.out / name)
            show(done)
    if no_flux is not None:
        print(f"no scores: {no_flux}")
    else:
        _print_scores(names, flux.forward(batch, options.device or "cpu"), None)
    return HOLDS


def validate(options: Options) -> int:
    """Print whether every tensor from prompt to scores fits; no weights are read."""
    questions = validation.questions(
        options.sd_model or ("tiny" if availability.cuda() else "arch:sd15"),
        options.size,
        options.batch,
        options.dtype,
        options.channels,
        options.flux_model,
        options.memory,
    )
    begun = perf_counter()
    scorers = validation.load_libraries(questions)
    loaded = perf_counter()
    answers = [validation.answer(one, scorers[one.flux_model]) for one in questions]
    seconds = perf_counter() - loaded
    broken = table.first_broken(answers)
    if options.json:
        print(json.dumps(table.as_dict(answers, seconds), indent=2))
    else:
        table.print_answers(answers)
        print(f"checked in {seconds:.2g} s, after {loaded - begun:.2g} s of imports")
    if broken:
        print(broken, file=sys.stderr if options.json else sys.stdout)
    return DOES_NOT_HOLD if broken else HOLDS


def doctor(options: Options) -> int:
    """Print what is here, what is watched while measuring, and what would make numbers steadier."""
    diagnosis.show()
    return HOLDS


def _write_images(options: Options) -> "list[Image]":
    """Write the images that the options ask for, and return them."""
    if options.scheduler:
        schedulers.check(options.scheduler)
    model = _model(options)
    if model is None:
        return _write_pregenerated(options)
    images = _generated(options, model)
    for number, image in enumerate(images, 1):
        _save(image, options.out / pregenerated.image_name(number))
    return images


def _write_pregenerated(options: Options) -> "list[Image]":
    _refuse_without_model(options)
    print(pregenerated.NOTICE)
    if options.count > pregenerated.COUNT:
        expected = f"at most {pregenerated.COUNT} without a model"
        raise PipelineError(f"--count {options.count}", expected, "--sd-model tiny")
    paths = pregenerated.paths()[: options.count]
    for path in paths:
        _write(options.out / path.name, path.read_bytes())
    return [preprocessing.decode(path) for path in paths]


def _refuse_without_model(options: Options) -> None:
    """Refuse what pre-generated images cannot honour, instead of ignoring it."""
    absent = availability.cuda()
    if options.device == "cuda" and absent is not None:
        raise UnavailableError("--device cuda", absent)
    for name in ("size", "steps", "negative_prompt", "guidance", "scheduler", "dtype"):
        value = getattr(options, name)
        if value not in (None, ""):
            raise PipelineError(
                f"--{name.replace('_', '-')} {_as_typed(value)}",
                "a model to use it, and there is no CUDA",
                "add --sd-model tiny",
            )


def _as_typed(value: object) -> str:
    if isinstance(value, tuple):
        return str(value[0]) if value[0] == value[1] else size_label(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _generated(options: Options, model: models.Model) -> "list[Image]":
    """Return the images that a model makes, which hold their contract."""
    size = options.size or model.size
    steps = options.steps or model.steps
    device = options.device or diffusion.default_device(model.name)
    absent = availability.cuda() if device == "cuda" else None
    if absent is not None and not options.device:
        slowly = replace(absent, remedy="add --device cpu to run it on the CPU, slowly")
        raise UnavailableError(f"--sd-model {model.name}", slowly)
    if model.name.startswith("arch:"):
        print(f"{model.name} has random weights: texture, not a picture; --sd-model ID for one")
    if model.name == "tiny":  # too small to share: beside other work, threads only wait
        import torch

        torch.set_num_threads(1)
    with progress("generate", options.count * steps, "steps") as show:
        images = diffusion.generate(
            options.prompt,
            options.count,
            options.seed,
            size,
            steps,
            model.name,
            device,
            lambda index, done: show(index * steps + done),
            negative_prompt=options.negative_prompt,
            guidance=options.guidance,
            scheduler=options.scheduler,
            dtype=options.dtype or None,
        )
    contracts.require(contracts.check_images(images, options.count, size))
    return images


def _model(options: Options) -> models.Model | None:
    """Return the model that was asked for; else arch:sd15 with CUDA, and None without."""
    if options.sd_model:
        return models.resolve(options.sd_model)
    return models.resolve("arch:sd15") if availability.cuda() is None else None


def _save(image: "Image", path: Path) -> None:
    """Write a PNG that holds, as text, what made the image."""
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    for name, value in image.info.items():
        text.add_text(str(name), str(value).encode("utf-8", "replace").decode())
    encoded = BytesIO()
    image.save(encoded, format="PNG", pnginfo=text)
    _write(path, encoded.getvalue())


def _write(path: Path, content: bytes) -> None:
    with writing(path) as file:
        file.write(content)
    print(path)


def _print_scores(names: Sequence[str], scores: "np.ndarray", top: int | None) -> None:
    for name, row in zip(names, scores, strict=True):
        ranked = sorted(enumerate(row), key=lambda pair: -pair[1])[:top] if top else enumerate(row)
        print(f"{name}: " + "  ".join(f"{index}: {score:+.4f}" for index, score in ranked))
