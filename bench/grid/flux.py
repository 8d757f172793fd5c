"""The grids of the network that scores images: alone, and at the end of the whole chain."""

from itertools import product
from pathlib import Path

from bench.grid.axes import DEVICES, Axis, Options, choice
from bench.grid.stable_diffusion import image_cell
from bench.results.cell import Cell
from bench.workloads.engines import ENGINES
from pipeline import pregenerated
from pipeline.arguments import parse_count
from pipeline.errors import PipelineError
from pipeline.flux.forward import split_name

__all__ = ["AXES", "FLUX_MODEL", "end_to_end", "flux_models", "forward"]

TRAINED = 2
"""Version of the work since the network's weights are trained ones."""

BUDGETS = {"flux-bridge": 0.25, "flux-buffered": 0.25}
"""Budget factors of what is quick: a call without a model takes microseconds."""

_REGIMES: dict[str, dict[str, str | int]] = {
    "flux-inside": {"includes": "forward", "clock": "julia"},
    "flux-buffered": {
        "includes": "batch from the CPU, forward, scores to the CPU",
        "buffers": "kept",
    },
    "flux-bridge": {"includes": "batch into Julia, scores out", "model": "none"},
}
_REGIME: dict[str, str | int] = {"includes": "batch from the CPU, forward, scores to the CPU"}


def _model_name(value: str, option: str) -> str:
    """Read the name of a user's Flux model, whose file must exist."""
    split_name(value)
    return value


ENGINE = choice(
    "--flux-engine",
    "flux, flux-inside (its forward by Julia's clock), flux-buffered (with buffers that are kept, "
    "on the CPU), flux-bridge (the call without a model), "
    "reference (the same network in PyTorch), compiled (the reference through torch.compile)",
    list(ENGINES),
)
DEVICE = choice("--flux-device", "cpu, cuda", DEVICES)
BATCH = Axis("--flux-batch", "images a call", parse_count, "1,8,32")
FLUX_MODEL = Axis(
    "--flux-model",
    "your own: FILE.jl:NAME, a function that returns a Flux model (name: model)",
    _model_name,
)
AXES = (ENGINE, DEVICE, BATCH, FLUX_MODEL)


def forward(options: Options) -> list[Cell]:
    """Return the cells of the network that scores images: engine × device × batch.

    `engines.ENGINES` says what each engine is. With `--flux-model` each model runs in the three of
    Flux alone: no other engine has such a network.
    """
    models: list[dict[str, str | int]] = [{"model": label} for label in flux_models(options)]
    return [
        Cell(
            "forward",
            model | {"engine": engine, "device": device, "batch": batch},
            needs=_needs(engine, device),
            images=batch,
            device=device,
            dtype="" if engine == "flux-bridge" else "float32",
            budget_factor=BUDGETS.get(engine, 1.0),
            workload=1 if model else TRAINED,
            regime=_REGIMES.get(engine, _REGIME) | _process(engine, device),
        )
        for model, engine, device, batch in product(
            models or [{}], ENGINE.values(options), DEVICE.values(options), BATCH.values(options)
        )
        if not (model and engine not in ("flux", "flux-inside", "flux-bridge"))
        and not (engine in ("flux-bridge", "flux-buffered") and device == "cuda")
    ]


def end_to_end(options: Options) -> list[Cell]:
    """Return the cells of the whole chain: engine × device, on three images.

    The images are those of `image_cell`, or the pre-generated ones.
    """
    source = image_cell(options)
    source_needs = source.needs if source else ()
    return [
        Cell(
            "end_to_end",
            {"engine": engine, "device": device},
            needs=tuple(dict.fromkeys([*source_needs, *_needs(engine, device)])),
            images=pregenerated.COUNT,
            device=device,
            dtype="float32",
            budget_factor=source.budget_factor if source else 1.0,
            workload=TRAINED,
            regime={"images": source.id if source else "pregenerated"} | _process(engine, device),
        )
        for engine, device in product(ENGINE.values(options), DEVICE.values(options))
        if engine in ("flux", "reference")
    ]


def _process(engine: str, device: str) -> dict[str, str | int]:
    """Return what a row says of Flux on CUDA: beside torch, and not in its process."""
    return {"process": "its own"} if device == "cuda" and engine.startswith("flux") else {}


def _needs(engine: str, device: str) -> tuple[str, ...]:
    """Return what an engine needs, CUDA first: to ask for Julia starts it."""
    needs = {
        "cuda": device == "cuda",
        "compiler": engine == "compiled",
        "julia": engine.startswith("flux"),
    }
    return tuple(need for need, needed in needs.items() if needed)


def flux_models(options: Options) -> dict[str, str]:
    """Return the user's own Flux models as they were typed, by the label that cells have.

    Raises `PipelineError` for two of one label.
    """
    models: dict[str, str] = {}
    for typed in FLUX_MODEL.values(options):
        file, name = split_name(typed)
        label = f"{Path(file).stem}.{name}"
        if label in models:
            given = f"--flux-model {models[label]},{typed}"
            raise PipelineError(given, f"one model called {label}", "rename a file or a function")
        models[label] = typed
    return models
