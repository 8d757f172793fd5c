"""The grid of Stable Diffusion, and the cell whose images the end-to-end benchmark takes."""

from dataclasses import replace
from itertools import product

from bench.grid.axes import DEVICES, Axis, Options, calls, choice, own_call, text
from bench.results.cell import Cell
from bench.workloads.modes import EAGER, MODES
from pipeline import availability
from pipeline.arguments import parse_count, parse_size, size_label
from pipeline.errors import PipelineError
from pipeline.stable_diffusion import diffusion, models

__all__ = ["AXES", "CALL", "FULL_SIZE_BUDGET", "generate", "image_cell", "model_of", "models_of"]

FULL_SIZE_BUDGET = 15.0
"""Budget factor of a full-size model: an image takes seconds, not milliseconds."""

FULL_SIZE_BYTES = 2e9
"""The weights of Stable Diffusion 1.5 in float16: a folder's budget follows its own."""

LARGEST_BUDGET = 60.0

TINY, ARCHITECTURE = "tiny", "arch:sd15"

MODEL = Axis(
    "--sd-model",
    "tiny, arch:sd15, a hub id or a folder",
    text,
    f"{TINY},{ARCHITECTURE}",
    said=f"{TINY} on the CPU, {ARCHITECTURE} on CUDA",
)
SIZE = Axis("--sd-size", "512 or 768x512, width × height", parse_size, "512,768", tiny="64,128")
STEPS = Axis("--sd-steps", "denoising steps", parse_count, "10,20,30,50", tiny="2,4,8")
BATCH = Axis("--sd-batch", "images a call", parse_count, "1")
MODE = choice(
    "--sd-mode",
    "eager, compile (the UNet's repeated blocks), graph (the whole UNet, as a CUDA graph)",
    MODES,
    EAGER,
)
DEVICE = choice(
    "--sd-device",
    "cpu, cuda",
    DEVICES,
    diffusion.default_device(ARCHITECTURE),
    tiny=diffusion.default_device(TINY),
)
DTYPE = choice(
    "--sd-dtype",
    "float16, bfloat16, float32",
    diffusion.DTYPES,
    said="float16 on cuda, float32 on cpu",
)
CALL = Axis(
    "--generate-call",
    "your own: FILE.py:NAME, a function that returns images; it may take prompt, seeds, width, "
    "height, steps, device, dtype",
    own_call,
)
AXES = (MODEL, SIZE, STEPS, BATCH, MODE, DEVICE, DTYPE, CALL)


def generate(options: Options) -> list[Cell]:
    """Return the cells of Stable Diffusion: model × device × dtype × mode × batch × size × steps.

    Without `--sd-model` these are the tiny pipeline on the CPU and `arch:sd15` on CUDA, on every
    machine. An id leaves out a batch of 1 and the mode `eager`. Each `--generate-call` does what
    the cells of the first model do, eager.
    """
    names = list(models_of(options).values())
    cells = [cell for name in names for cell in _cells(name, options)]
    return cells + [
        replace(cell, axes={**cell.axes, "call": label})
        for label in calls(CALL, options)
        for cell in _cells(names[0], {**options, MODE: ""})
    ]


def models_of(options: Options) -> dict[str, str]:
    """Return what `--sd-model` calls each model, by the label that ids have for it."""
    names: dict[str, str] = {}
    for name in MODEL.values(options):
        label = models.resolve(name).label
        if label in names:
            expected, remedy = f"one model called {label}", "rename one of the two folders"
            raise PipelineError(f"{MODEL.option} {name}", expected, remedy)
        names[label] = name
    return names


def model_of(cell: Cell, options: Options) -> str:
    """Return what `--sd-model` calls the model of `cell`."""
    return models_of(options)[str(cell.axes["model"])]


def image_cell(options: Options) -> Cell | None:
    """Return the cell of `generate` whose images the end-to-end benchmark takes.

    It is the first of the first `--sd-model`, eager, batch 1. Without `--sd-model` it is the first
    of `arch:sd15` on CUDA that PyTorch is built for, and None elsewhere: the pre-generated images
    stand in.
    """
    plain = {**options, BATCH: "", MODE: ""}
    if options[MODEL]:
        return generate(plain)[0]
    return None if availability.torch_build() else _cells(ARCHITECTURE, plain)[0]


def _cells(name: str, options: Options) -> list[Cell]:
    tiny = name == TINY
    model = models.resolve(name)
    label, factor = model.label, _budget_factor(model)
    cells = []
    for device in DEVICE.values(options, DEVICE.tiny if tiny else ""):
        for dtype, mode, batch, size, steps in product(
            DTYPE.values(options, diffusion.default_dtype(device)),
            MODE.values(options),
            BATCH.values(options),
            SIZE.values(options, SIZE.tiny if tiny else ""),
            STEPS.values(options, STEPS.tiny if tiny else ""),
        ):
            axes: dict[str, str | int] = {
                "model": label,
                "device": device,
                "dtype": dtype,
                "size": size_label(size),
                **({"batch": batch} if batch > 1 else {}),
                **({"mode": mode} if mode != EAGER else {}),
                "steps": steps,
            }
            needs = ["cuda"] if device == "cuda" or mode == "graph" else []
            needs += ["compiler"] if mode != EAGER else []  # on CUDA Triton too needs a C compiler
            cell = Cell(
                "generate",
                axes,
                needs=tuple(needs),
                workload=2 if tiny else 1,
                images=batch,
                steps=steps,
                device=device,
                dtype=dtype,
                budget_factor=factor * batch,
                regime={"batch": batch, "mode": mode},
            )
            cells.append(cell)
    return cells


def _budget_factor(model: models.Model) -> float:
    """Return the budget factor of an image: a folder's by the size of its weights."""
    size = models.bytes_of(model)
    if size is None:
        return FULL_SIZE_BUDGET
    return min(max(1.0, FULL_SIZE_BUDGET * size / FULL_SIZE_BYTES), LARGEST_BUDGET)
