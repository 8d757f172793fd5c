"""The families that take their axes from others, or have none: the whole chain, cold, harness."""

from bench.grid import flux
from bench.grid.axes import Options
from bench.grid.stable_diffusion import FULL_SIZE_BUDGET, image_cell
from bench.results.cell import Cell
from bench.workloads import cold
from pipeline import pregenerated

__all__ = ["cold_starts", "end_to_end", "harness"]

COLD_BUDGET = 2.0
"""Budget factor of a start, which takes seconds: it keeps the announced upper bound true."""

NOOP_BUDGET = 0.25
"""Budget factor of a call that does nothing."""


def end_to_end(options: Options) -> list[Cell]:
    """Return the cells of the whole chain: engine × device, on three images.

    The images are those of `image_cell`, or the pre-generated ones.
    """
    source = image_cell(options)
    return [
        Cell(
            "end_to_end",
            {"engine": engine, "device": device},
            needs=tuple(
                dict.fromkeys([*(source.needs if source else ()), *flux.needs_of(engine, device)])
            ),
            images=pregenerated.COUNT,
            device=device,
            dtype="float32",
            budget_factor=source.budget_factor if source else 1.0,
            regime={"images": source.id if source else "pregenerated"},
        )
        for engine, device in flux.engines_and_devices(options)
        if engine in ("flux", "reference")
    ]


def cold_starts(_: Options) -> list[Cell]:
    """Return the cells of `cold.STARTS`, each in a process of its own."""
    return [
        Cell(
            "cold",
            {"start": name},
            needs=start.needs,
            device=start.device,
            budget_factor=FULL_SIZE_BUDGET if name.startswith("sd15") else COLD_BUDGET,
            regime={"process": "fresh"},
        )
        for name, start in cold.STARTS.items()
    ]


def harness(_: Options) -> list[Cell]:
    """Return the one cell of the harness's own cost."""
    return [Cell("harness", {"call": "harness-noop"}, budget_factor=NOOP_BUDGET)]
