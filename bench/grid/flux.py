"""The grid of the network that scores images, in Flux.jl and in PyTorch."""

from itertools import product
from pathlib import Path

from bench.grid.axes import DEVICES, Axis, Options, choice, text
from bench.results.cell import Cell
from bench.workloads.engines import ENGINES
from pipeline.arguments import parse_count
from pipeline.flux.forward import split_name

__all__ = ["AXES", "FLUX_MODEL", "engines_and_devices", "forward", "needs_of"]

BRIDGE_BUDGET = 0.5
"""Budget factor of a call without a model, which takes microseconds."""

_REGIMES: dict[str, dict[str, str | int]] = {
    "flux-inside": {"includes": "forward", "clock": "julia"},
    "flux-bridge": {"includes": "batch into Julia, scores out", "model": "none"},
}
_REGIME: dict[str, str | int] = {"includes": "batch from the CPU, forward, scores to the CPU"}

ENGINE = choice(
    "flux_engine",
    "flux, flux-inside (its forward by Julia's clock), flux-bridge (the call without a model), "
    "reference (the same network in PyTorch), compiled (the reference through torch.compile)",
    list(ENGINES),
)
DEVICE = choice("flux_device", "cpu, cuda", DEVICES)
BATCH = Axis("flux_batch", "images a call", parse_count, "1,8,32")
FLUX_MODEL = Axis(
    "flux_model", "your own: FILE.jl:NAME, a function that returns a Flux model (name: model)", text
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
            needs=needs_of(engine, device),
            images=batch,
            device=device,
            dtype="" if engine == "flux-bridge" else "float32",
            budget_factor=BRIDGE_BUDGET if engine == "flux-bridge" else 1.0,
            regime=_REGIMES.get(engine, _REGIME),
        )
        for (engine, device), batch in product(engines_and_devices(options), BATCH.values(options))
        if not (model and engine in ("reference", "compiled"))
        and not (engine == "flux-bridge" and device == "cuda")  # it never reaches a device
    ]


def engines_and_devices(options: Options) -> list[tuple[str, str]]:
    """Return the engines, each with the devices."""
    return list(product(ENGINE.values(options), DEVICE.values(options)))


def needs_of(engine: str, device: str) -> tuple[str, ...]:
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
