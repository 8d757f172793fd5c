"""The grids: the axes of each family, and the cells that they make, before anything heavy loads.

To add an axis, declare it in the module of its subject and use it in the cells of that module: the
option, its help and its checks follow. Imports `bench.workloads`, `bench.results` and `pipeline`.
"""

from bench.grid import flux, preprocessing, stable_diffusion
from bench.grid.axes import Options, calls
from bench.grid.flux import end_to_end, flux_models, forward
from bench.grid.preprocessing import IMAGES, STREAMED, preprocess
from bench.grid.stable_diffusion import generate, image_cell, model_of, models_of

__all__ = [
    "FAMILIES",
    "GENERATE_CALL",
    "IMAGES",
    "PREPROCESS_CALL",
    "STREAMED",
    "SUBJECTS",
    "Options",
    "calls",
    "check",
    "end_to_end",
    "flux_models",
    "forward",
    "generate",
    "image_cell",
    "model_of",
    "models_of",
    "preprocess",
]

GENERATE_CALL, PREPROCESS_CALL = stable_diffusion.CALL, preprocessing.CALL

SUBJECTS = {
    "Stable Diffusion": stable_diffusion.AXES,
    "preprocessing": preprocessing.AXES,
    "Flux.jl, the Julia library (not the FLUX.1 image model)": flux.AXES,
}
"""The axes by what they are axes of."""

FAMILIES = {
    "generate": generate,
    "preprocess": preprocess,
    "forward": forward,
    "end_to_end": end_to_end,
}
"""The families that have axes: options to cells."""


def check(options: Options) -> None:
    """Raise `PipelineError` for the first value that is wrong."""
    for axis in options:
        axis.values(options)
    for cells in FAMILIES.values():
        cells(options)
