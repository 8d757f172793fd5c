"""python -m pipeline: generate, preprocess, forward, run, validate, doctor."""

import argparse
import gc
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from pipeline import commands, contracts, pregenerated
from pipeline.arguments import (
    Parser,
    parse_choices,
    parse_count,
    parse_file,
    parse_folder,
    parse_number,
    parse_size,
)
from pipeline.bulk import items, plan, settings
from pipeline.exits import exit_code
from pipeline.flux import scoring
from pipeline.needs import NEEDS
from pipeline.stable_diffusion import diffusion, schedulers
from pipeline.targets import answers as targets
from pipeline.validation import serving

__all__ = ["main"]

FLUX_JL = "Flux.jl, the Julia library (not the FLUX.1 image model)"

VALIDATE = {
    "sd-model": "tiny, arch:NAME, a hub id or a folder (default: tiny; with CUDA arch:sd15)",
    "size": "512 or 768x512, width × height (default: the model's)",
    "batch": "images at once (default: 1)",
    "dtype": "float16, bfloat16, float32 (default: float16; tiny float32)",
    "channels": "of a preprocessed image: 3, or 1 for grayscale (default: 3)",
    "flux-model": f"FILE.jl:NAME, a model for {FLUX_JL}",
    "memory": "what the device has, such as 8GB or 8GiB",
}
"""The options of `validate`, each a list, and their help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code, as `exit_code` says."""

    def command() -> int:
        options = _parser().parse_args(arguments)
        return int(options.command(options))

    return exit_code(command, "interrupted: every file that was written is whole")


def _parser() -> Parser:
    sd, device, out, gray = (Parser(add_help=False) for _ in range(4))
    sd.add_argument("--prompt", default=diffusion.PROMPT, help="what the image should show")
    sd.add_argument("--negative-prompt", default="", help="what the image should not show")
    _option(sd, "--count", parse_count, "images (default: 3)", default=pregenerated.COUNT)
    sd.add_argument("--seed", type=int, default=0, help="image i uses seed + i (default: 0)")
    _option(sd, "--size", parse_size, "512 or 768x512, width × height (default: the model's)")
    _option(sd, "--steps", parse_count, "denoising steps (default: the model's)")
    _option(
        sd,
        "--guidance",
        parse_number,
        "how closely to follow the prompt, such as 7.5 (default: the model's)",
    )
    names = f"{', '.join(schedulers.NAMES)} (default: the model's)"
    sd.add_argument("--scheduler", default="", metavar="NAME", help=names)
    types = "default: float16 on CUDA, float32 on the CPU"
    sd.add_argument("--dtype", choices=diffusion.DTYPES, default="", help=types)
    model = (
        "tiny, arch:sd15, a hub id or a folder (default: with CUDA arch:sd15; else tiny, but none "
        "for --prompts)"
    )
    sd.add_argument("--sd-model", default="", help=model)
    rendered = "copy images of fixtures/ instead, which were rendered, not diffused"
    sd.add_argument("--pregenerated", action="store_true", help=rendered)
    devices = "of Stable Diffusion (default: as its model needs) and the network that scores (cpu)"
    device.add_argument("--device", choices=("cpu", "cuda"), default="", help=devices)
    _option(out, "--out", parse_folder, "folder (default: run)", default="run")
    gray.add_argument("--grayscale", action="store_true", help="one channel")

    parser = Parser(prog="python -m pipeline", description="prompt → images → batch → scores")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(command: Callable[[argparse.Namespace], int], help_: str, *parents: Parser) -> Parser:
        name = command.__name__
        added: Parser = subparsers.add_parser(name, help=help_, description=help_, parents=parents)
        added.set_defaults(command=command)
        return added

    add(commands.generate, "prompt → images, by Stable Diffusion", sd, device, out)
    preprocess = add(commands.preprocess, "images → 224×224, by torchvision", gray, out)
    paths = "an image, or a folder of them"
    preprocess.add_argument("images", nargs="+", metavar="PATH", help=paths)
    _option(preprocess, "--size", parse_count, "side in pixels", default=contracts.SIZE)
    _option(preprocess, "--workers", parse_count, "threads (default: one for each core)")
    scaled = "decode large JPEG files at a fraction of their size: faster, a few levels off"
    preprocess.add_argument("--scaled", action="store_true", help=scaled)
    forward = add(commands.forward, f"images → scores, by {FLUX_JL}", gray, device)
    forward.add_argument("images", nargs="+", metavar="IMAGE", help="an image file")
    _add_scoring(forward)
    function = f"a Julia function that returns a model for {FLUX_JL}; the default name is model"
    forward.add_argument("--flux-model", default="", metavar="FILE.jl:NAME", help=function)
    weights = f"safetensors, for {FLUX_JL}"
    forward.add_argument("--flux-weights", default="", metavar="FILE", help=weights)
    forward.add_argument("--verbose", action="store_true", help="print Julia's stack trace too")
    run = add(commands.run, "generate, preprocess, forward", sd, device, gray, out)
    known = partial(parse_choices, known=tuple(NEEDS))
    _add_scoring(run)
    _option(run, "--require", known, f"fail without these: {', '.join(NEEDS)}", default=[])
    _add_bulk(run.add_argument_group("many prompts or images"))
    validate = add(commands.validate, "whether every tensor will fit, without weights or a GPU")
    for name, help_ in VALIDATE.items():
        validate.add_argument(f"--{name}", default="", metavar="LIST", help=help_)
    calibrate = "result files, or a folder of them, to learn from what a GPU takes beyond tensors"
    _option(validate, "--calibrate", parse_file, calibrate).metavar = "PATH"
    target = f"also what exports take: a list of {', '.join(targets.TARGETS)} (default: eager)"
    validate.add_argument("--target", metavar="LIST", help=target)
    validate.add_argument("--json", action="store_true", help="print one JSON document")
    emit = f"print the contract for a server: {', '.join(serving.FORMATS)}"
    validate.add_argument("--emit", choices=tuple(serving.FORMATS), metavar="FORMAT", help=emit)
    check = "compare a server's config.pbtxt, KServe metadata (.json) or .onnx with the contract"
    _option(validate, "--check", parse_file, check).metavar = "FILE"
    diff = "compare two documents of --json instead"
    validate.add_argument("--diff", nargs=2, metavar=("BEFORE", "AFTER"), help=diff)
    add(commands.doctor, "what is here, what is watched while measuring, what to do")
    return parser


def _add_scoring(parser: Parser) -> None:
    """Add what scores, and how much of it is printed."""
    engine = (
        "what scores: flux, or reference (PyTorch, the same weights; the default without Julia)"
    )
    parser.add_argument("--engine", choices=scoring.ENGINES, default="", help=engine)
    top = f"print the N highest (default: {scoring.TOP}, or all where classes have no names)"
    _option(parser, "--top", parse_count, top)


def _add_bulk(group: "argparse._ArgumentGroup") -> None:
    """Add what `run` takes for a file of prompts, or for images."""
    prompts = f"text (a prompt a line), .jsonl, .csv or .parquet with {', '.join(items.COLUMNS)}"
    group.add_argument("--prompts", type=Path, metavar="FILE", help=prompts)
    images = "preprocess and score images: files, or folders of them"
    group.add_argument("--images", nargs="+", metavar="PATH", help=images)
    ray = "run on a Ray cluster: auto, local (start one here) or an address"
    group.add_argument("--ray", default="", metavar="ADDRESS", help=ray)
    store = "PNG files, or the dataset itself (default: files)"
    stores = (settings.FILES, settings.PARQUET)
    group.add_argument("--store", choices=stores, default=settings.FILES, help=store)
    workers = "N, or generate=N,preprocess=N,forward=N (default: as many as fit)"
    _option(group, "--workers", plan.parse_workers, workers)
    share = "share of a GPU for each worker of generate, on Ray (default: 1)"
    _option(group, "--gpus-per-worker", plan.parse_gpus, share, default=1.0)
    batch = f"items of a batch and of a part (default: up to {plan.MOST_BATCH})"
    _option(group, "--batch", parse_count, batch)
    errors = "end once more than N items, or P%% of them, have failed"
    _option(group, "--max-errors", plan.parse_errors, errors)
    group.add_argument("--json", action="store_true", help="print the report as JSON")


def _option(
    parser: "Parser | argparse._ArgumentGroup",
    name: str,
    parse: Callable[..., object],
    help_: str,
    default: object = None,
) -> argparse.Action:
    """Add an option whose value is read by `parse`, a function of the text and the name."""
    return parser.add_argument(name, type=partial(parse, name=name), default=default, help=help_)


if __name__ == "__main__":
    code = main()
    gc.freeze()  # the process ends: searching what it imported for garbage took 1.8 s of 11
    sys.exit(code)
