"""Cold starts: what happens once in a process, each timed in a fresh one.

A row of the family `cold` runs `python -m bench.workloads.cold torch-import`: first, outside the
clock, what must have happened before; then the start itself. The process is fresh, but the files
that it reads may be in the system's page cache.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from time import perf_counter
from typing import Any, NamedTuple

from bench.workloads import new_size, processes
from bench.workloads.engines import FIXTURE_WEIGHTS
from pipeline import contracts, pregenerated
from pipeline.contracts import SIZE
from pipeline.errors import Missing, PipelineError, UnavailableError
from pipeline.flux import julia, network
from pipeline.flux import model as flux
from pipeline.flux import network as reference
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.stable_diffusion import diffusion, models

__all__ = ["STARTS", "Sample", "Start", "main", "sample"]

PYTHON = "python-start"

BUSY = "busy or unavailable"
"""What CUDA says of a GPU that another process holds for itself."""

EXCLUSIVE = Missing(
    "cuda",
    "a CUDA device",
    "the GPU takes one process at a time (exclusive-process mode), and another one holds it",
    "run bench/test_cold.py alone, or nvidia-smi -c DEFAULT",
)

MODULE = "bench.workloads.cold"


@dataclass(frozen=True)
class Start:
    """One cold start."""

    timed: Callable[[Any], Any]
    """What is timed, given what `before` returned; it ends when the device has finished."""
    before: Callable[[], Any] = lambda: None
    """What has happened by then, outside the clock."""
    needs: tuple[str, ...] = ()
    device: str = "cpu"
    weights: str = ""
    extra: Callable[[Any], Mapping[str, float]] = lambda prepared: {}
    """Reads further numbers of the row, given what `before` returned, after the clock."""


class Sample(NamedTuple):
    """One start: its seconds, and further numbers of its row."""

    seconds: float
    extra: Mapping[str, float]


def sample(name: str) -> Sample:
    """Time one start in a fresh process; raise `PipelineError` for one that fails or hangs.

    torch's compiler gets an empty cache folder: with its own the start would be a warm one.
    """
    program = ["-c", ""] if name == PYTHON else ["-m", MODULE, name]
    remedy = f"run it by hand: python -m {MODULE} {name}"
    with tempfile.TemporaryDirectory() as cache:
        begun = perf_counter()
        try:
            printed = processes.output(name, program, remedy, {"TORCHINDUCTOR_CACHE_DIR": cache})
        except processes.ProcessError as error:
            if BUSY in error.stderr:
                raise UnavailableError(name, EXCLUSIVE) from error
            raise
        process_seconds = perf_counter() - begun
    if name == PYTHON:
        return Sample(process_seconds, {})
    return Sample(**json.loads(printed.splitlines()[-1]))


def main(arguments: list[str]) -> int:
    """Time the named start here and now, and print its seconds as one line of JSON."""
    name = arguments[0] if len(arguments) == 1 else ""
    if name not in STARTS or name == PYTHON:
        known = ", ".join(start for start in STARTS if start != PYTHON)
        print(f"python -m {MODULE} {name}: expected one of {known}", file=sys.stderr)
        return 2
    start = STARTS[name]
    try:
        prepared = start.before()
        begun = perf_counter()
        start.timed(prepared)
        seconds = perf_counter() - begun
        extra = start.extra(prepared)
    except PipelineError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps({"seconds": seconds, "extra": extra}))
    return 0


def _torch() -> Any:
    return import_module("torch")


def _diffusers() -> None:
    _torch()
    _ = import_module("diffusers").StableDiffusionPipeline  # diffusers imports it when it is used


def _load(model: str, device: str) -> Any:
    pipe = diffusion.load(model, device)
    if device == "cuda":
        _torch().cuda.synchronize()
    return pipe


def _sample(pipe: Any, side: int, steps: int) -> None:
    images = diffusion.sample(pipe, diffusion.PROMPT, [0], (side, side), steps)
    contracts.require(contracts.check_images(images, 1, (side, side)))


def _batch() -> Any:
    return preprocessing.preprocess([pregenerated.paths()[0]])


def _cuda_context() -> None:
    _torch().zeros(1, device="cuda")
    _torch().cuda.synchronize()


def _ready_for_cuda() -> None:
    _diffusers()
    _cuda_context()


def _matrix() -> Any:
    _cuda_context()
    matrix = _torch().ones(1024, 1024, device="cuda")
    _torch().cuda.synchronize()
    return matrix


def _multiply(matrix: Any) -> None:
    _torch().mm(matrix, matrix)
    _torch().cuda.synchronize()


def _compile_reference(device: str) -> Start:
    def before() -> Any:
        batch = _batch()
        return batch, reference.forward(batch, device)

    def timed(prepared: Any) -> None:
        batch, expected = prepared
        scores = reference.forward(batch, device, compiled=True)
        contracts.require(contracts.check_close(scores, expected))

    needs = ("cuda", "compiler") if device == "cuda" else ("compiler",)
    return Start(timed, before, needs, device, FIXTURE_WEIGHTS)


def _first_flux_forward(device: str) -> Start:
    def before() -> Any:
        import numpy as np

        model = flux.load(3, device)  # in this process, where torch is not imported
        return model, np.random.default_rng(0).random((1, 3, SIZE, SIZE), np.float32)

    def timed(prepared: Any) -> None:
        model, batch = prepared
        contracts.require(contracts.check_scores(model(batch), (1, network.CLASSES)))

    needs = ("cuda", "julia") if device == "cuda" else ("julia",)
    return Start(timed, before, needs, device, FIXTURE_WEIGHTS)


def _new_size(model: str, mode: str, side: int, new_side: int, steps: int) -> Start:
    """A service that has drawn one size, and the first call at another one."""
    device = "cuda" if model == "arch:sd15" else "cpu"
    return Start(
        new_size.draw_new,
        partial(new_size.serving, model, device, mode, side, new_side, steps),
        ("cuda", "compiler") if device == "cuda" else ("compiler",),
        device,
        models.resolve(model).weights,
        new_size.costs,
    )


def _using_cuda(_: Any) -> None:
    absent = julia.cuda_missing()
    if absent is not None:
        raise PipelineError("using CUDA", absent.what, str(absent))


_TINY, _SD15 = (models.resolve(name).weights for name in ("tiny", "arch:sd15"))
_ON_CUDA: Any = {"needs": ("cuda",), "device": "cuda"}

STARTS: Mapping[str, Start] = {
    PYTHON: Start(lambda _: None),
    "torch-import": Start(lambda _: _torch()),
    "torchvision-import": Start(lambda _: import_module("torchvision.transforms.v2"), _torch),
    "diffusers-import": Start(lambda _: _diffusers(), _torch),
    "tiny-cpu-load": Start(lambda _: _load("tiny", "cpu"), _diffusers, weights=_TINY),
    "tiny-cpu-first-call": Start(
        partial(_sample, side=64, steps=2), partial(_load, "tiny", "cpu"), weights=_TINY
    ),
    "sd15-cuda-load": Start(
        lambda _: _load("arch:sd15", "cuda"),
        _ready_for_cuda,
        **_ON_CUDA,
        weights=_SD15,
    ),
    "sd15-cuda-first-call": Start(
        partial(_sample, side=512, steps=10),
        partial(_load, "arch:sd15", "cuda"),
        **_ON_CUDA,
        weights=_SD15,
    ),
    "reference-cpu-compile": _compile_reference("cpu"),
    "reference-cuda-compile": _compile_reference("cuda"),
    "tiny-cpu-compile-new-size": _new_size("tiny", "compile", 64, 96, 2),
    "sd15-cuda-compile-new-size": _new_size("arch:sd15", "compile", 512, 640, 10),
    "sd15-cuda-graph-new-size": _new_size("arch:sd15", "graph", 512, 640, 10),
    "cuda-context": Start(lambda _: _cuda_context(), _torch, **_ON_CUDA),
    "cuda-first-kernel": Start(_multiply, _matrix, **_ON_CUDA),
    "julia-start": Start(lambda _: julia.boot(), needs=("julia",)),
    "flux-using": Start(
        lambda main_module: main_module.seval(f"import {julia.PACKAGE}"), julia.boot, ("julia",)
    ),
    "flux-cpu-first-forward": _first_flux_forward("cpu"),
    "flux-cuda-using": Start(_using_cuda, julia.start, ("cuda", "julia"), "cuda"),
    "flux-cuda-first-forward": _first_flux_forward("cuda"),
}
"""By the names that rows have."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
