"""The grids of the network that scores images: alone, and at the end of the whole chain."""

from itertools import product
from pathlib import Path

from bench.grid.axes import DEVICES, Axis, Options, choice, text
from bench.grid.stable_diffusion import image_cell
from bench.results.cell import Cell
from bench.workloads.engines import ENGINES
from pipeline import pregenerated
from pipeline.arguments import parse_count
from pipeline.flux.forward import split_name

__all__ = ["AXES", "FLUX_MODEL", "end_to_end", "forward"]

BRIDGE_BUDGET = 0.5
"""Budget factor of a call without a model, which takes microseconds."""

_REGIMES: dict[str, dict[str, str | int]] = {
    "flux-inside": {"includes": "forward", "clock": "julia"},
    "flux-bridge": {"includes": "batch into Julia, scores out", "model": "none"},
}
_REGIME: dict[str, str | int] = {"includes": "batch from the CPU, forward, scores to the CPU"}

ENGINE = choice(
    "--flux-engine",
    "flux, flux-inside (its forward by Julia's clock), flux-bridge (the call without a model), "
    "reference (the same network in PyTorch), compiled (the reference through torch.compile)",
    list(ENGINES),
)
DEVICE = choice("--flux-device", "cpu, cuda", DEVICES)
BATCH = Axis("--flux-batch", "images a call", parse_count, "1,8,32")
FLUX_MODEL = Axis(
    "--flux-model",
    "your own: FILE.jl:NAME, a function that returns a Flux model (name: model)",
    text,
)
AXES = (ENGINE, DEVICE, BATCH, FLUX_MODEL)


def forward(options: Options) -> list[Cell]:
    """Return the cells of the network that scores images: engine × device × batch.

    `engines.ENGINES` says what each engine is. With `--flux-model` the three of Flux alone run:
    PyTorch has no such network.
    """
    model = _model(options)
    return [
        Cell(
            "forward",
            model | {"engine": engine, "device": device, "batch": batch},
            needs=_needs(engine, device),
            images=batch,
            device=device,
            dtype="" if engine == "flux-bridge" else "float32",
            budget_factor=BRIDGE_BUDGET if engine == "flux-bridge" else 1.0,
            regime=_REGIMES.get(engine, _REGIME),
        )
        for engine, device, batch in product(
            ENGINE.values(options), DEVICE.values(options), BATCH.values(options)
        )
        if not (model and engine in ("reference", "compiled"))
        and not (engine == "flux-bridge" and device == "cuda")  # it never reaches a device
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
            regime={"images": source.id if source else "pregenerated"},
        )
        for engine, device in product(ENGINE.values(options), DEVICE.values(options))
        if engine in ("flux", "reference")
    ]


def _needs(engine: str, device: str) -> tuple[str, ...]:
    """Return what an engine needs, CUDA first: to ask for Julia starts it."""
    needs = {
        "cuda": device == "cuda",
        "compiler": engine == "compiled",
        "julia": engine.startswith("flux"),
    }
    return tuple(need for need, needed in needs.items() if needed)


def _model(options: Options) -> dict[str, str | int]:
    """Return the axis that names a user's own Flux model; empty without one."""
    if not options[FLUX_MODEL]:
        return {}
    file, name = split_name(options[FLUX_MODEL])
    return {"model": f"{Path(file).stem}.{name}"}
