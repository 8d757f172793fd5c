"""pytest's options: the axes of the grids, and what must hold before anything is measured."""

from math import inf
from pathlib import Path
from typing import Any

import pytest

from bench.grid import Options
from pipeline.arguments import parse_list
from pipeline.errors import PipelineError
from pipeline.needs import NEEDS

__all__ = ["add", "axes", "required"]

FLUX_JL = "Flux.jl, the Julia library (not the FLUX.1 image model)"
REQUIREMENTS = (*NEEDS, "weights")

AXES = {
    "sd": (
        "Stable Diffusion",
        {
            "model": "tiny, arch:sd15, a hub id or a folder (default: tiny on the CPU, "
            "arch:sd15 on CUDA)",
            "size": "512 or 768x512, width × height (default: 512,768; tiny: 64,128)",
            "steps": "denoising steps (default: 10,20,30,50; tiny: 2,4,8)",
            "batch": "images a call (default: 1)",
            "mode": "eager, compile (the UNet's repeated blocks), graph (the whole UNet, as a CUDA "
            "graph) (default: eager)",
            "device": "cpu, cuda (default: cuda; tiny: cpu)",
            "dtype": "float16, bfloat16, float32 (default: float16 on cuda, float32 on cpu)",
        },
    ),
    "preprocess": (
        "preprocessing",
        {
            "regime": "decode (file to pixels), transform (pixels to tensor), file (both), stream "
            "(both, 32 files by threads) (default: all)",
            "format": "png, jpeg (default: both)",
            "size": "512, 1024, 4000x3000, of which only JPEG (default: 512)",
            "color": "rgb, gray (default: both)",
            "threads": "threads of stream (default: 1,2)",
            "device": "cpu, cuda (default: both)",
            "peer": "classic, v2, opencv, albumentations, kornia, none (default: all)",
            "images": "a folder of your own, of which the first 32 are taken",
        },
    ),
    "flux": (
        FLUX_JL,
        {
            "engine": "flux, flux-inside (its forward by Julia's clock), flux-bridge (the call "
            "without a model), reference (the same network in PyTorch), compiled (that through "
            "torch.compile) (default: all)",
            "device": "cpu, cuda (default: both)",
            "batch": "images a call (default: 1,8,32)",
            "model": "your own: FILE.jl:NAME, a function that returns a Flux model (name: model)",
        },
    ),
}


def add(parser: pytest.Parser) -> None:
    """Add every option to pytest's command line; values of an axis are separated by commas."""
    group = parser.getgroup("sd-flux-bench")
    for prefix, (subject, axes_) in AXES.items():
        for axis, help_ in axes_.items():
            group.addoption(
                f"--{prefix}-{axis}", default="", metavar="LIST", help=f"{subject}: {help_}"
            )
    group.addoption(
        "--require",
        default="",
        metavar="LIST",
        help=f"fail where one of these is missing instead of skipping: {', '.join(REQUIREMENTS)}",
    )
    group.addoption(
        "--cold",
        action="store_true",
        help="also time cold starts: imports, loading, first calls, each in a fresh process",
    )
    group.addoption(
        "--stock-table",
        action="store_true",
        help="also print pytest-benchmark's own table",
    )


def axes(config: pytest.Config) -> Options:
    """Return the axes as they were given."""
    return Options(
        **{
            f"{prefix}_{axis}": config.getoption(f"{prefix}_{axis}")
            for prefix, (_, names) in AXES.items()
            for axis in names
        }
    )


def required(config: pytest.Config) -> list[str]:
    """Return what `--require` names; check it, the axes and where results go.

    Raises `pytest.UsageError`, before anything is collected or measured.
    """
    try:
        axes(config).check()
        names = parse_list(config.option.require) if config.option.require else []
        for name in names:
            if name not in REQUIREMENTS:
                raise PipelineError(
                    f"--require {name}", " or ".join(REQUIREMENTS), "change --require"
                )
        _check_json(config.option.benchmark_json)
        _check_seconds("--benchmark-max-time", config.option.benchmark_max_time)
    except PipelineError as error:
        raise pytest.UsageError(str(error)) from error
    return names


def _check_json(path: Any) -> None:
    if path is None:
        return
    target = Path(path)
    given = f"--benchmark-json {target}"
    for folder in target.parents:
        if folder.exists() and not folder.is_dir():
            raise PipelineError(given, f"a folder, but {folder} is a file", "choose another folder")
    if not target.parent.is_dir():
        raise PipelineError(given, "a folder that exists", f"mkdir -p {target.parent}")
    if target.is_dir():
        raise PipelineError(given, "a file, not a folder", "add a name")


def _check_seconds(name: str, text: str) -> None:
    if not 0 < float(text) < inf:
        raise PipelineError(f"{name} {text}", "a number of seconds above 0", f"change {name}")
