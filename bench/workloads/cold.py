"""Cold starts: what happens once in a process, each timed in a fresh one.

`python -m bench.workloads.cold torch-import` is what a row of the family `cold` runs: first, outside
the clock, what must have happened before, then the start itself. The files that it reads may be in the
system's page cache: a process is fresh, a machine is not.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

from pipeline import contracts, pregenerated
from pipeline.errors import PipelineError
from pipeline.flux import forward as flux
from pipeline.flux import julia, network
from pipeline.flux import reference as pytorch
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.stable_diffusion import diffusion, models

__all__ = ["STARTS", "Start", "main", "seconds_of"]

TIMEOUT_S = 900.0
"""torch.compile and CUDA.jl take minutes at most."""

PYTHON = "python-start"


@dataclass(frozen=True)
class Start:
    """One cold start."""

    timed: Callable[[Any], Any]
    """What is timed, with what `before` returned; it ends with the device's synchronisation."""
    before: Callable[[], Any] = lambda: None
    """What has happened by then, outside the clock."""
    needs: tuple[str, ...] = ()
    device: str = "cpu"
    weights: str = ""


def seconds_of(name: str) -> float:
    """Time one start in a fresh process; raise `PipelineError` for one that fails or hangs.

    What torch compiles is kept in an empty folder: its cache would make the start a warm one.
    """
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-c", ""]
        if name != PYTHON:
            command = [sys.executable, "-m", "bench.workloads.cold", name]
        begun = perf_counter()
        try:
            done = subprocess.run(
                command,
                cwd=Path(__file__).resolve().parents[2],
                env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            remedy = f"run it by hand: python -m bench.workloads.cold {name}"
            raise PipelineError(name, f"an end within {TIMEOUT_S:.0f} s", remedy) from error
        whole = perf_counter() - begun
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        remedy = f"run it by hand: python -m bench.workloads.cold {name}"
        raise PipelineError(name, f"a start that ends well, not: {said[:200]}", remedy)
    return whole if name == PYTHON else float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def main(arguments: list[str]) -> int:
    """Time the start that is named, here and now, and print it as one line of JSON."""
    name = arguments[0] if len(arguments) == 1 else ""
    if name not in STARTS or name == PYTHON:
        known = ", ".join(each for each in STARTS if each != PYTHON)
        print(f"python -m bench.workloads.cold {name}: expected one of {known}", file=sys.stderr)
        return 2
    start = STARTS[name]
    try:
        given = start.before()
        begun = perf_counter()
        start.timed(given)
        seconds = perf_counter() - begun
    except PipelineError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps({"seconds": seconds}))
    return 0


def _diffusers() -> None:
    import_module("torch")
    _ = import_module("diffusers").StableDiffusionPipeline  # imported when it is asked for


def _ready_for_cuda() -> None:
    _diffusers()
    _cuda_context()


def _loaded(model: str, device: str) -> Any:
    pipe = diffusion.load(model, device)
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
    return pipe


def _sample(pipe: Any, side: int, steps: int) -> None:
    images = diffusion.sample(pipe, diffusion.PROMPT, [0], (side, side), steps)
    contracts.require(contracts.check_images(images, 1, (side, side)))


def _batch() -> Any:
    return preprocessing.preprocess([pregenerated.paths()[0]])


def _eager(device: str) -> Any:
    batch = _batch()
    return batch, pytorch.forward(batch, device)


def _compile(given: Any, device: str) -> None:
    batch, expected = given
    scores = pytorch.forward(batch, device, compiled=True)
    contracts.require(contracts.check_close(scores, expected))


def _cuda_context() -> None:
    import torch

    torch.zeros(1, device="cuda")
    torch.cuda.synchronize()


def _matrices() -> Any:
    import torch

    _cuda_context()
    made = torch.ones(1024, 1024, device="cuda")
    torch.cuda.synchronize()
    return made


def _multiply(matrix: Any) -> None:
    import torch

    torch.mm(matrix, matrix)
    torch.cuda.synchronize()


def _flux_loaded(device: str) -> Any:
    julia.start()  # before torch
    return flux.load(3, device), _batch()


def _score(given: Any) -> None:
    model, batch = given
    contracts.require(contracts.check_scores(model(batch), (1, network.CLASSES)))


def _using_flux(main_module: Any) -> None:
    main_module.seval(f"import {julia.PACKAGE}")


def _using_cuda(_: Any) -> None:
    absent = julia.cuda_missing()
    if absent is not None:
        raise PipelineError("using CUDA", absent.what, str(absent))


_TINY, _SD15 = (models.resolve(name).weights for name in ("tiny", "arch:sd15"))
_FIXTURE = "fixture, seeded random"

STARTS: Mapping[str, Start] = {
    PYTHON: Start(lambda _: None),
    "torch-import": Start(lambda _: import_module("torch")),
    "torchvision-import": Start(
        lambda _: import_module("torchvision.transforms.v2"), lambda: import_module("torch")
    ),
    "diffusers-import": Start(lambda _: _diffusers(), lambda: import_module("torch")),
    "tiny-cpu-load": Start(lambda _: diffusion.load("tiny", "cpu"), _diffusers, weights=_TINY),
    "tiny-cpu-first-call": Start(
        lambda pipe: _sample(pipe, 64, 2),
        lambda: _loaded("tiny", "cpu"),
        weights=_TINY,
    ),
    "sd15-cuda-load": Start(
        lambda _: _loaded("arch:sd15", "cuda"), _ready_for_cuda, ("cuda",), "cuda", _SD15
    ),
    "sd15-cuda-first-call": Start(
        lambda pipe: _sample(pipe, 512, 10),
        lambda: _loaded("arch:sd15", "cuda"),
        ("cuda",),
        "cuda",
        _SD15,
    ),
    "reference-cpu-compile": Start(
        lambda given: _compile(given, "cpu"), lambda: _eager("cpu"), ("compiler",), "cpu", _FIXTURE
    ),
    "reference-cuda-compile": Start(
        lambda given: _compile(given, "cuda"),
        lambda: _eager("cuda"),
        ("cuda", "compiler"),
        "cuda",
        _FIXTURE,
    ),
    "cuda-context": Start(
        lambda _: _cuda_context(), lambda: import_module("torch"), ("cuda",), "cuda"
    ),
    "cuda-first-kernel": Start(_multiply, _matrices, ("cuda",), "cuda"),
    "julia-start": Start(lambda _: julia.boot(), needs=("julia",)),
    "flux-using": Start(_using_flux, julia.boot, ("julia",)),
    "flux-cpu-first-forward": Start(
        _score, lambda: _flux_loaded("cpu"), ("julia",), "cpu", _FIXTURE
    ),
    "flux-cuda-using": Start(_using_cuda, julia.start, ("cuda", "julia"), "cuda"),
    "flux-cuda-first-forward": Start(
        _score, lambda: _flux_loaded("cuda"), ("cuda", "julia"), "cuda", _FIXTURE
    ),
}
"""By the names that rows have."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
