"""The commands of `python -m pipeline`: each takes its options and returns its exit code."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from pipeline import availability, pregenerated
from pipeline import doctor as diagnosis
from pipeline.arguments import parse_choices, size_label
from pipeline.bulk import run as bulk
from pipeline.bulk.plan import refuse_without_input
from pipeline.errors import ContractError, PipelineError, UnavailableError, counted, plain
from pipeline.exits import DOES_NOT_HOLD, HOLDS
from pipeline.files import writing
from pipeline.flux import forward as flux
from pipeline.flux import network, scoring
from pipeline.needs import NEEDS
from pipeline.preprocessing import conversion
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.progress import progress
from pipeline.stable_diffusion import components as parts
from pipeline.stable_diffusion import diffusion, models, pictures, schedulers
from pipeline.targets import answers as targets
from pipeline.targets import table as target_table
from pipeline.validation import answers as validation
from pipeline.validation import calibration, changes, meta, server_files, serving, table
from pipeline.validation.answers import Answer

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["doctor", "forward", "generate", "preprocess", "run", "validate"]

Options = argparse.Namespace

_DRAWN_BY_TINY = (
    "drawn by tiny, a small Stable Diffusion trained on rendered scenes of 64x64 and 128x128"
    "{worse}, as there is no CUDA and no --sd-model; --sd-model ID --device cpu runs a full-size "
    "one"
)
_TRAINED_AT = (None, (64, 64), (128, 128))


def generate(options: Options) -> int:
    """Write generated_image_1.png …: generated, or the pre-generated ones."""
    images = _write_images(options)
    return HOLDS if len(images) == options.count else DOES_NOT_HOLD


def preprocess(options: Options) -> int:
    """Write a preprocessed PNG for each image that has none yet; skip what cannot be read."""
    settings = preprocessing.Settings(options.size, options.grayscale, scaled=options.scaled)
    plan = conversion.plan(options.images, options.out, settings)
    if plan.done:
        verb = "was" if plan.done == 1 else "were"
        print(f"{counted(plan.done, 'image')} {verb} preprocessed before", file=sys.stderr)
    if notice := plan.notice():
        print(notice, file=sys.stderr)
    preprocessing.load(usual=True)
    with progress("preprocess", len(plan.missing), "image") as show:

        def written(done: int, outputs: Sequence[Path]) -> None:
            for output in outputs:
                print(plain(str(output)))
            show(done)

        skipped = conversion.convert(plan.missing, settings, options.workers, written)
    for error in skipped:
        print(error, file=sys.stderr)
    if skipped:
        print(f"skipped {len(skipped)} of {counted(len(plan.missing), 'image')}", file=sys.stderr)
    return DOES_NOT_HOLD if skipped else HOLDS


def forward(options: Options) -> int:
    """Print what Flux.jl, or the PyTorch reference, sees in each image."""
    images = [preprocessing.decode(path) for path in options.images]
    if options.flux_model:
        flux.split_name(options.flux_model)
    own = "--flux-model" if options.flux_model else "--flux-weights" if options.flux_weights else ""
    engine, heading = scoring.choose_engine(options.engine, own)  # before torch
    channels = 1 if options.grayscale else 3
    file = options.flux_weights or network.weights_path(channels)
    device = options.device or "cpu"
    try:
        if engine == scoring.FLUX:
            model = flux.load(channels, device, options.flux_model, options.flux_weights)
        classes = () if options.flux_model else network.class_names(file)
        batch = preprocessing.preprocess(images, grayscale=options.grayscale)
        scores = model(batch) if engine == scoring.FLUX else network.forward(batch, device)
    except PipelineError as error:
        if options.verbose and error.__cause__ is not None:
            print(error.__cause__, file=sys.stderr)
        raise
    _print_scores(heading, scoring.lines(options.images, scores, classes, options.top))
    return HOLDS


def run(options: Options) -> int:
    """Generate, preprocess and score."""
    if options.prompts or options.images:
        return bulk.run(options)
    refuse_without_input(options)
    for need in options.require:
        if (absent := NEEDS[need]()) is not None:
            raise UnavailableError(f"--require {need}", absent)
    model = _model(options)
    engine, heading = scoring.choose_engine(options.engine)  # before torch
    images = _write_images(options)
    code = HOLDS if len(images) == options.count else DOES_NOT_HOLD
    if not images:
        return code
    names = [pregenerated.preprocessed_name(index + 1) for index in images]
    with progress("preprocess", len(images), "image") as show:
        batch = preprocessing.preprocess(list(images.values()), grayscale=options.grayscale)
        for done, (name, tensor) in enumerate(zip(names, batch, strict=True), 1):
            pictures.save(preprocessing.to_image(tensor), options.out / name)
            show(done)
    score = flux.forward if engine == scoring.FLUX else network.forward
    scores = score(batch, options.device or "cpu")
    classes = network.class_names(network.weights_path(batch.shape[1]))
    if model is None:
        print(pregenerated.OTHER_SCENES)
    _print_scores(heading, scoring.lines(names, scores, classes, options.top))
    return code


def validate(options: Options) -> int:
    """Print whether every tensor from prompt to scores fits; no weights are read."""
    _refuse_mixed(options)
    if options.diff:
        lines = changes.changes(*map(changes.read, options.diff))
        return _print_differences(options, "changes", lines, "nothing changed")
    asked = parse_choices(options.target or "eager", "--target", targets.TARGETS)
    wanted = [name for name in asked if name != "eager"]
    targets.require(wanted)
    served = server_files.read(options.check) if options.check else []
    questions = validation.questions(
        options.sd_model or ("tiny" if availability.cuda() else "arch:sd15"),
        options.size,
        options.batch,
        options.dtype,
        options.channels,
        options.flux_model,
        options.memory,
        calibration.learnt(options.calibrate) if options.calibrate else calibration.GUESS,
    )
    begun = perf_counter()
    scorers = validation.load_libraries(questions)
    loaded = perf_counter()
    answers = [validation.answer(one, scorers[one.flux_model]) for one in questions]
    limits = [] if options.emit or options.check else validation.limits(answers, scorers)
    exported = list(targets.targets(wanted, answers))
    seconds = perf_counter() - loaded
    broken = table.first_broken(answers) or target_table.first_refused(exported)
    if (options.emit or options.check) and not broken:
        return _serve(options, answers, served)
    if options.json:
        document = table.as_dict(answers, seconds, limits)
        if exported:
            document["targets"] = target_table.as_dicts(exported)
        print(json.dumps(document, indent=2))
    else:
        table.print_answers(answers, limits)
        target_table.print_targets(exported)
        print(f"checked in {seconds:.1f} s, after {loaded - begun:.1f} s of imports")
    if broken:
        print(broken, file=sys.stderr if options.json else sys.stdout)
    return DOES_NOT_HOLD if broken else HOLDS


def _serve(
    options: Options, answers: Sequence[Answer], served: Sequence[server_files.Served]
) -> int:
    """Print the contract as a server takes it, and where a server's file differs from it."""
    if options.emit:
        print(serving.emit(answers, options.emit))
        return HOLDS
    components = serving.components_of(answers)
    lines = [
        line for one in served for line in server_files.differences(options.check, one, components)
    ]
    return _print_differences(options, "differences", lines, f"{options.check} holds")


def _refuse_mixed(options: Options) -> None:
    """Refuse options of `validate` of which one would be ignored."""
    given = {
        f"--{name.replace('_', '-')}": value
        for name, value in vars(options).items()
        if name != "command" and value not in (None, False)
    }
    if given.get("--target") == "":
        raise PipelineError("--target ''", " or ".join(targets.TARGETS), "change --target")
    others = {
        "--diff": [name for name, value in given.items() if value and name != "--json"],
        "--emit": ["--target", "--check", "--json"],
        "--check": ["--target"],
    }
    for name, refused in others.items():
        for other in refused if name in given else ():
            if other in given and other != name:
                raise PipelineError(f"{name} with {other}", "one of them", "leave one out")
    if "--calibrate" in given and not options.memory:
        raise PipelineError("--calibrate", "the memory of the device", "add --memory, such as 24GB")


def _print_differences(options: Options, name: str, lines: Sequence[str], none: str) -> int:
    """Print a line each, or one JSON document; return the exit code."""
    if options.json:
        print(json.dumps({"holds": not lines, name: lines}, indent=2, ensure_ascii=False))
    else:
        print("\n".join(map(plain, lines or [none])))
    return DOES_NOT_HOLD if lines else HOLDS


def doctor(options: Options) -> int:
    """Print what is here, what is watched while measuring, and what would make numbers steadier."""
    diagnosis.show()
    return HOLDS


def _write_images(options: Options) -> "dict[int, Image]":
    """Write the images that the options ask for; return those that hold, by index from 0."""
    if options.scheduler:
        schedulers.check(options.scheduler)
    model = _model(options)
    if model is None:
        return _write_pregenerated(options)
    return _write_generated(options, model)


def _write_pregenerated(options: Options) -> "dict[int, Image]":
    _refuse_without_model(options)
    if options.count > pregenerated.COUNT:
        expected = f"at most {pregenerated.COUNT} without a model"
        raise PipelineError(f"--count {options.count}", expected, "leave --pregenerated out")
    print(pregenerated.NOTICE)
    paths = pregenerated.paths()[: options.count]
    for path in paths:
        _write(options.out / path.name, path.read_bytes())
    return {index: preprocessing.decode(path) for index, path in enumerate(paths)}


def _refuse_without_model(options: Options) -> None:
    """Refuse what pre-generated images cannot honour, instead of ignoring it."""
    names = ("size", "steps", "negative_prompt", "guidance", "scheduler", "dtype", "sd_model")
    defaults = {"prompt": diffusion.PROMPT, "seed": 0}
    for name in (*names, *defaults):
        value = getattr(options, name)
        if value not in (None, "", defaults.get(name)):
            given = f"--{name.replace('_', '-')} {_as_typed(value)}"
            if options.pregenerated:
                given, remedy = f"{given} with --pregenerated", "leave one out"
                raise PipelineError(given, "one of them", remedy)
            raise PipelineError(given, "torch and diffusers to draw", "install them")


def _as_typed(value: object) -> str:
    if isinstance(value, tuple):
        return str(value[0]) if value[0] == value[1] else size_label(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _write_generated(options: Options, model: models.Model) -> "dict[int, Image]":
    """Write each image as it is drawn; keep those that an earlier run of the same command wrote.

    An image that breaks its contract is printed and not written; the others are drawn all the same.
    """
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
    drawing = diffusion.Drawing(
        options.prompt,
        options.seed,
        options.size,
        options.steps,
        model.name,
        device,
        negative_prompt=options.negative_prompt,
        guidance=options.guidance,
        scheduler=options.scheduler,
        dtype=options.dtype or None,
    )
    meta.require(model, drawing.size, 1, drawing.dtype)
    _require_memory(drawing)
    images = {}
    for index in range(options.count):
        if (
            image := pictures.find(pictures.path_of(options.out, index), drawing, index)
        ) is not None:
            images[index] = image
            print(plain(str(pictures.path_of(options.out, index))))
    if images:
        verb = "was" if len(images) == 1 else "were"
        print(f"{counted(len(images), 'image')} {verb} drawn before", file=sys.stderr)
    missing = [index for index in range(options.count) if index not in images]
    if missing:
        drawing.load()
        images |= _draw(drawing, missing, options.out)
        if not options.sd_model and model.name == "tiny":
            worse = "" if options.size in _TRAINED_AT else " (other sizes come out worse)"
            print(_DRAWN_BY_TINY.format(worse=worse))
    return dict(sorted(images.items()))


def _draw(drawing: diffusion.Drawing, indexes: Sequence[int], out: Path) -> "dict[int, Image]":
    images = {}
    with progress("generate", len(indexes) * drawing.steps, "step") as show:
        begun = {index: number * drawing.steps for number, index in enumerate(indexes)}
        for index in indexes:
            try:
                image = drawing.draw(index, lambda index, step: show(begun[index] + step))
            except ContractError as error:
                print(error, file=sys.stderr)
                continue
            pictures.save(image, pictures.path_of(out, index))
            images[index] = image
    if len(images) < len(indexes):
        count = len(indexes) - len(images)
        print(f"not written: {count} of {counted(len(indexes), 'image')}", file=sys.stderr)
    return images


def _require_memory(drawing: diffusion.Drawing) -> None:
    """Refuse what cannot fit, before it is loaded; the estimate is the least that is needed."""
    import psutil
    import torch

    if not parts.is_known(drawing.model):
        return
    total = psutil.virtual_memory().total
    if drawing.device == "cuda" and torch.cuda.is_available():
        total = torch.cuda.mem_get_info()[1]
    need = meta.cost(drawing.model, drawing.size, 1, drawing.dtype).peak_bytes
    if need > total:
        given = f"size {size_label(drawing.size)}" if drawing.size else f"{drawing.model.name}"
        have, least = validation.bytes_text(total), validation.bytes_text(need)
        expected = f"at most the {have} that {drawing.device} has, not an estimated {least}"
        raise PipelineError(given, expected, "ask for a smaller size, or half precision")


def _model(options: Options) -> models.Model | None:
    """Return the model that was asked for, or arch:sd15 with CUDA in PyTorch, else tiny.

    It is None, for the pre-generated images, where these were asked for, or nothing can be drawn.
    """
    if options.pregenerated or not all(map(find_spec, ("torch", "diffusers"))):
        return None
    default = "arch:sd15" if availability.torch_build() is None else "tiny"
    return models.resolve(options.sd_model or default)


def _write(path: Path, content: bytes) -> None:
    with writing(path, follow=False) as file:
        file.write(content)
    print(plain(str(path)))


def _print_scores(heading: str, lines: Sequence[str]) -> None:
    print("\n".join([heading, *lines] if heading else lines))
