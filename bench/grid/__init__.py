"""The grids: the axes of each family, and the cells that they make, before anything heavy loads.

To add an axis, declare it in the module of its subject and use it in the cells of that module: the
option, its help and its checks follow. This package may import whatever stands below `bench/`.
"""

from bench.grid import flux, preprocessing, stable_diffusion
from bench.grid.axes import Options
from bench.grid.end_to_end import cold_starts, end_to_end, harness
from bench.grid.flux import FLUX_MODEL, forward
from bench.grid.preprocessing import IMAGES, STREAMED, preprocess
from bench.grid.stable_diffusion import generate, image_cell, model_of, models_of

__all__ = [
    "FAMILIES",
    "FLUX_MODEL",
    "IMAGES",
    "STREAMED",
    "SUBJECTS",
    "Options",
    "check",
    "cold_starts",
    "end_to_end",
    "forward",
    "generate",
    "harness",
    "image_cell",
    "model_of",
    "models_of",
    "preprocess",
]

FLUX_JL = "Flux.jl, the Julia library (not the FLUX.1 image model)"

SUBJECTS = {
    "Stable Diffusion": stable_diffusion.AXES,
    "preprocessing": preprocessing.AXES,
    FLUX_JL: flux.AXES,
}
"""The axes by what they are axes of."""

FAMILIES = {
    "generate": generate,
    "preprocess": preprocess,
    "forward": forward,
    "end_to_end": end_to_end,
    "harness": harness,
}
"""The cells of each family that runs by default."""


def check(options: Options) -> None:
    """Raise `PipelineError` for the first value that is wrong."""
    for axes in SUBJECTS.values():
        for axis in axes:
            axis.values(options)
    for cells in FAMILIES.values():
        cells(options)
