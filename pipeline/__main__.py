"""python -m pipeline: generate, preprocess, forward, run, validate, doctor."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from pipeline import availability, contracts, pregenerated
from pipeline.arguments import (
    Parser,
    parse_count,
    parse_folder,
    parse_list,
    parse_number,
    parse_size,
)
from pipeline.errors import ContractError, PipelineError, UnavailableError
from pipeline.files import writing
from pipeline.preprocessing import conversion
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.progress import progress
from pipeline.stable_diffusion import diffusion, models, schedulers
from pipeline.validation import answers as validation
from pipeline.validation import table

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

__all__ = ["main"]

HOLDS, DOES_NOT_HOLD, WRONG_QUESTION, INTERRUPTED, UNREAD = 0, 1, 2, 130, 141

Command = Callable[[argparse.Namespace], int]

FLUX_JL = "Flux.jl, the Julia library (not the FLUX.1 image model)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 1 it does not hold, 2 a wrong question.

    130 after Ctrl-C and 141 where nobody reads on, such as after `| head`, as shells have it.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a table has signs that not every terminal knows
    try:
        code = int(given.command(given))
        sys.stdout.flush()
        return code
    except (UnavailableError, ContractError) as error:
        print(error, file=sys.stderr)
        return DOES_NOT_HOLD
    except PipelineError as error:
        print(error, file=sys.stderr)
        if getattr(given, "verbose", False) and error.__cause__ is not None:
            print(error.__cause__, file=sys.stderr)
        return WRONG_QUESTION
    except KeyboardInterrupt:
        print("interrupted: every file that was written is whole", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # what is left to print has nowhere to go, and what is left to do ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD


def generate(given: argparse.Namespace) -> int:
    """Write generated_image_1.png …: generated, or the pre-generated ones where nothing can be."""
    _write_images(given, parse_folder(given.out, "--out"))
    return HOLDS


def preprocess(given: argparse.Namespace) -> int:
    """Write a preprocessed PNG for each image that has none yet; skip what cannot be read."""
    out = parse_folder(given.out, "--out")
    settings = preprocessing.Settings(parse_count(given.size, "--size"), given.grayscale)
    workers = parse_count(given.workers, "--workers") if given.workers else None
    plan = conversion.plan(given.images, out, settings)
    if plan.done:
        images = "image was" if plan.done == 1 else "images were"
        print(f"{plan.done} {images} preprocessed before", file=sys.stderr)
    if notice := plan.notice():
        print(notice, file=sys.stderr)
    preprocessing.load()
    with progress("preprocess", len(plan.missing), "images") as tell:

        def written(done: int, outputs: Sequence[Path]) -> None:
            for output in outputs:
                print(output)
            tell(done)

        skipped = conversion.convert(plan.missing, settings, workers, written)
    for error in skipped:
        print(error, file=sys.stderr)
    if skipped:
        print(f"skipped {len(skipped)} of {len(plan.missing)} images", file=sys.stderr)
    return DOES_NOT_HOLD if skipped else HOLDS


def forward(given: argparse.Namespace) -> int:
    """Print the scores that Flux.jl gives each image."""
    from pipeline.flux import forward as flux
    from pipeline.flux import julia

    top = parse_count(given.top, "--top") if given.top else None
    images = [preprocessing.decode(path) for path in given.images]
    if given.flux_model:
        flux.split_name(given.flux_model)
    julia.start()  # before torch
    model = flux.load(
        1 if given.grayscale else 3, given.device or "cpu", given.flux_model, given.flux_weights
    )
    batch = preprocessing.preprocess(images, grayscale=given.grayscale)
    _print_scores(given.images, model(batch), top)
    return HOLDS


def run(given: argparse.Namespace) -> int:
    """Generate, preprocess and score; where there is no Julia, say why there are no scores."""
    from pipeline.flux import forward as flux

    _require(given.require)
    out = parse_folder(given.out, "--out")
    _model(given)
    no_flux = availability.flux()  # before torch
    images = _write_images(given, out)
    with progress("preprocess", len(images), "images") as tell:
        batch = preprocessing.preprocess(images, grayscale=given.grayscale)
        for number, tensor in enumerate(batch, 1):
            name = pregenerated.preprocessed_name(number)
            _save(preprocessing.to_image(tensor), out / name)
            tell(number)
    if no_flux is not None:
        print(f"no scores: {no_flux}")
        return HOLDS
    names = [pregenerated.preprocessed_name(number + 1) for number in range(len(images))]
    _print_scores(names, flux.forward(batch, given.device or "cpu"), None)
    return HOLDS


def validate(given: argparse.Namespace) -> int:
    """Print whether every tensor from prompt to scores fits; no weights are read."""
    default = "tiny" if availability.cuda() else "arch:sd15"
    asked = validation.questions(
        given.sd_model or default,
        given.size,
        given.batch,
        given.dtype,
        given.channels,
        given.flux_model,
        given.memory,
    )
    begun = perf_counter()
    scorers = validation.load_libraries(asked)
    loaded = perf_counter()
    answers = [validation.answer(each, scorers[each.flux_model]) for each in asked]
    seconds = perf_counter() - loaded
    broken = table.first_broken(answers)
    if given.json:
        print(json.dumps(table.as_dict(answers, seconds), indent=2))
    else:
        table.print_answers(answers)
        print(f"checked in {seconds:.2g} s, after {loaded - begun:.2g} s of imports")
    if broken:
        print(broken, file=sys.stderr if given.json else sys.stdout)
    return DOES_NOT_HOLD if broken else HOLDS


def doctor(given: argparse.Namespace) -> int:
    """Print what is here, what is watched while measuring, and what would make numbers steadier."""
    from pipeline import doctor

    doctor.show()
    return HOLDS


def _write_images(given: argparse.Namespace, out: Path) -> "list[Image]":
    """Write the images that were asked for, and return them."""
    count = parse_count(given.count, "--count")
    asked_size = parse_size(given.size) if given.size else None
    asked_steps = parse_count(given.steps, "--steps") if given.steps else None
    guidance = parse_number(given.guidance, "--guidance") if given.guidance else None
    if given.scheduler:
        schedulers.check(given.scheduler)
    model = _model(given)
    if model is None:
        _refuse_without_model(given)
        print(pregenerated.NOTICE)
        if count > pregenerated.COUNT:
            raise PipelineError(
                f"--count {count}",
                f"at most {pregenerated.COUNT} without a model",
                "--sd-model tiny",
            )
        paths = pregenerated.paths()[:count]
        for path in paths:
            _write(out / path.name, path.read_bytes())
        return [preprocessing.decode(path) for path in paths]
    size = asked_size or model.size
    steps = asked_steps or model.steps
    device = given.device or diffusion.default_device(model.name)
    absent = availability.cuda() if device == "cuda" else None
    if absent is not None and not given.device:
        slowly = replace(absent, remedy="add --device cpu to run it on the CPU, slowly")
        raise UnavailableError(f"--sd-model {model.name}", slowly)
    if model.name.startswith("arch:"):
        print(f"{model.name} has random weights: texture, not a picture; --sd-model ID for one")
    if model.name == "tiny":
        _use_one_thread()
    with progress("generate", count * steps, "steps") as tell:
        images = diffusion.generate(
            given.prompt,
            count,
            given.seed,
            size,
            steps,
            model.name,
            device,
            lambda index, done: tell(index * steps + done),
            negative_prompt=given.negative_prompt,
            guidance=guidance,
            scheduler=given.scheduler,
            dtype=given.dtype or None,
        )
    contracts.require(contracts.check_images(images, count, size))
    for number, image in enumerate(images, 1):
        _save(image, out / pregenerated.image_name(number))
    return images


def _refuse_without_model(given: argparse.Namespace) -> None:
    """Pre-generated images are as they are: an option that they cannot honour is not ignored."""
    absent = availability.cuda()
    if given.device == "cuda" and absent is not None:
        raise UnavailableError("--device cuda", absent)
    for name in ("size", "steps", "negative_prompt", "guidance", "scheduler", "dtype"):
        if value := getattr(given, name):
            raise PipelineError(
                f"--{name.replace('_', '-')} {value}",
                "a model to use it, and there is no CUDA",
                "add --sd-model tiny",
            )


def _use_one_thread() -> None:
    """The tiny pipeline's work is too small to share: beside other work threads only wait."""
    import torch

    torch.set_num_threads(1)


def _model(given: argparse.Namespace) -> models.Model | None:
    """Return the model that was asked for; else arch:sd15 with CUDA, and None without."""
    if given.sd_model:
        return models.resolve(given.sd_model)
    return models.resolve("arch:sd15") if availability.cuda() is None else None


def _save(image: "Image", path: Path) -> None:
    """Write a PNG, with what made the image as text in it."""
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


def _require(text: str) -> None:
    for name in parse_list(text) if text else []:
        if name not in availability.NEEDS:
            known = " or ".join(availability.NEEDS)
            raise PipelineError(f"--require {name}", known, "change --require")
        absent = availability.NEEDS[name]()
        if absent is not None:
            raise UnavailableError(f"--require {name}", absent)


def _parser() -> argparse.ArgumentParser:
    sd = Parser(add_help=False)
    sd.add_argument("--prompt", default=diffusion.PROMPT)
    sd.add_argument("--negative-prompt", default="", help="what the image should not show")
    sd.add_argument("--count", default=str(pregenerated.COUNT), help="images (default: 3)")
    sd.add_argument("--seed", type=int, default=0, help="image i uses seed + i (default: 0)")
    sd.add_argument("--size", default="", help="512 or 768x512, width × height")
    sd.add_argument("--steps", default="", help="denoising steps")
    sd.add_argument("--guidance", default="", help="how closely to follow the prompt, such as 7.5")
    sd.add_argument(
        "--scheduler",
        default="",
        metavar="NAME",
        help=f"{', '.join(schedulers.NAMES)} (default: the model's)",
    )
    sd.add_argument(
        "--dtype",
        choices=diffusion.DTYPES,
        default="",
        help="default: float16 on CUDA, float32 on the CPU",
    )
    sd.add_argument("--sd-model", default="", help="tiny, arch:sd15, a hub id or a folder")
    device = Parser(add_help=False)
    device.add_argument(
        "--device", choices=("cpu", "cuda"), default="", help="default: the model's, for Flux cpu"
    )
    out = Parser(add_help=False)
    out.add_argument("--out", default="run", help="folder (default: run)")
    gray = Parser(add_help=False)
    gray.add_argument("--grayscale", action="store_true", help="one channel")
    paths = Parser(add_help=False)
    paths.add_argument("images", nargs="+", metavar="IMAGE")

    parser = Parser(prog="python -m pipeline", description="prompt → images → batch → scores")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Command, help_: str, *parents: Parser) -> Parser:
        each: Parser = commands.add_parser(name, help=help_, description=help_, parents=parents)
        each.set_defaults(command=command)
        return each

    add("generate", generate, "prompt → images, by Stable Diffusion", sd, device, out)
    each = add("preprocess", preprocess, "images → 224×224, by torchvision", gray, out)
    each.add_argument("images", nargs="+", metavar="PATH", help="an image, or a folder of them")
    each.add_argument("--size", default=str(contracts.SIZE), help="side in pixels")
    each.add_argument("--workers", default="", help="threads (default: one for each core)")
    each = add("forward", forward, f"images → scores, by {FLUX_JL}", paths, gray, device)
    each.add_argument("--top", default="", help="print the N highest scores alone")
    each.add_argument(
        "--flux-model",
        default="",
        metavar="FILE.jl:NAME",
        help=f"a Julia function that returns a model for {FLUX_JL}; the name's default is model",
    )
    each.add_argument(
        "--flux-weights", default="", metavar="FILE", help=f"safetensors, for {FLUX_JL}"
    )
    each.add_argument("--verbose", action="store_true", help="print Julia's stack trace too")
    each = add("run", run, "generate, preprocess, forward", sd, device, gray, out)
    each.add_argument(
        "--require", default="", help=f"fail without these: {', '.join(availability.NEEDS)}"
    )
    each = add("validate", validate, "whether every tensor will fit, without weights or a GPU")
    for name, help_ in {
        "sd-model": "tiny, arch:NAME, a hub id or a folder (default: tiny; with CUDA arch:sd15)",
        "size": "512 or 768x512, width × height (default: the model's)",
        "batch": "images at once (default: 1)",
        "dtype": "float16, bfloat16, float32 (default: float16; tiny float32)",
        "channels": "of a preprocessed image: 3, or 1 for grayscale (default: 3)",
        "flux-model": f"FILE.jl:NAME, a model for {FLUX_JL}",
        "memory": "what the device has, such as 8GB or 8GiB",
    }.items():
        each.add_argument(f"--{name}", default="", metavar="LIST", help=help_)
    each.add_argument("--json", action="store_true", help="print one JSON document")
    add("doctor", doctor, "what is here, what is watched while measuring, what to do")
    return parser


if __name__ == "__main__":
    sys.exit(main())
