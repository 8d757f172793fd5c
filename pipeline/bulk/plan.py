"""The plan of a run: its settings, its items and workers, all checked before a model is loaded."""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline import availability
from pipeline.arguments import parse_count, parse_list, size_label
from pipeline.bulk import cluster, items, needs, stages
from pipeline.bulk.settings import FILES, FLUX, NONE, PARQUET, Settings
from pipeline.bulk.stages import FORWARD, GENERATE, NAMES, PREPROCESS
from pipeline.errors import PipelineError, UnavailableError
from pipeline.flux import julia
from pipeline.preprocessing.streaming import default_workers
from pipeline.stable_diffusion import diffusion, models, schedulers
from pipeline.validation import meta

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Plan",
    "batch_of",
    "limit_of",
    "parse_errors",
    "parse_gpus",
    "parse_workers",
    "plan",
    "refuse_without_input",
]

MOST_BATCH = 32
"""Items of a batch: 32 pictures of 512×512 and their float32 batch are 44 MB. A float32 batch above
32 MB would get new memory from the system every time, which cost more than scoring."""

BATCHES = 32
"""The fewest batches of a run, so that the stages overlap and the workers share the work."""


@dataclass(frozen=True)
class Plan:
    """What a run does."""

    settings: Settings
    items: "pa.Table"
    """All items of the input; what is done already is left out later."""
    workers: Mapping[str, int]
    """In this process: threads a stage; on Ray: the most of the stages that were named."""


def plan(options: argparse.Namespace) -> Plan:
    """Read and check everything that a run needs; raises `PipelineError` for what is wrong."""
    name = "--prompts" if options.prompts else "--images"
    needs.require_tables(name)
    if options.ray:
        needs.require_cluster(f"--ray {options.ray}")
        cluster.check_address(options.ray)
    _require_fitting(options)
    workers = _workers(options)
    if options.prompts:
        table = items.of_prompts(options.prompts, options.seed)
        settings = _drawing_settings(options)
    else:
        table, notice = items.of_images(options.images, options.out)
        if notice:
            print(notice, file=sys.stderr)
        settings = Settings("images", options.engine or FLUX, grayscale=options.grayscale)
    if settings.engine == FLUX and (absent := julia.missing()) is not None:  # before torch
        print(f"no scores: {absent}; or add --engine reference", file=sys.stderr)
        settings = replace(settings, engine=NONE)
    if options.prompts:
        _check_model(settings)
        table = _with_defaults(table, settings)
    return Plan(settings, table, workers)


def refuse_without_input(options: argparse.Namespace) -> None:
    """Refuse the options of bulk runs where there are neither prompts nor images of a user."""
    defaults = {"store": FILES, "gpus_per_worker": 1.0}
    for option in ("ray", "store", "workers", "gpus_per_worker", "batch", "max_errors"):
        if getattr(options, option) not in (None, "", defaults.get(option)):
            given = f"--{option.replace('_', '-')} without --prompts or --images"
            raise PipelineError(given, "many items", "add --prompts FILE or --images FOLDER")
    if options.json:
        raise PipelineError("--json without --prompts or --images", "many items", "leave it out")


def batch_of(count: int, batch: int | None) -> int:
    """Return how many of `count` items make a batch, which is a part of the dataset."""
    return batch or max(1, min(MOST_BATCH, count // BATCHES))


def parse_workers(text: str, name: str) -> dict[str, int]:
    """Read `4`, for every stage, or `generate=8,forward=2`."""
    if text.isascii() and text.isdigit():
        return dict.fromkeys(NAMES, parse_count(text, name))
    workers = {}
    for part in parse_list(text):
        stage, equals, count = part.partition("=")
        if stage not in NAMES or not equals:
            expected = f"a number, or {', '.join(f'{stage}=N' for stage in NAMES)}"
            raise PipelineError(f"{name} {text}", expected, f"change {name}")
        workers[stage] = parse_count(count, f"{name} {stage}")
    return workers


def parse_gpus(text: str, name: str) -> float:
    """Read the share of an accelerator that one worker takes: 1, 0.5, 0.25 and so on."""
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0.01 <= share <= 1:
        raise PipelineError(f"{name} {text}", "a share from 0.01 to 1", f"change {name}")
    return share


def parse_errors(text: str, name: str) -> str:
    """Check `10` or `5%`; `limit_of` makes a number of it."""
    number = text.removesuffix("%")
    try:
        value = float(number) if text.endswith("%") else int(number)
    except ValueError:
        value = -1
    if not 0 <= value <= (100 if text.endswith("%") else value):
        raise PipelineError(f"{name} {text}", "a number such as 10, or 5%", f"change {name}")
    return text


def limit_of(text: str | None, count: int) -> float:
    """Return how many of `count` items may fail."""
    if text is None:
        return float("inf")
    return float(text[:-1]) / 100 * count if text.endswith("%") else int(text)


def _require_fitting(options: argparse.Namespace) -> None:
    """Refuse options that this input has no use for, instead of ignoring them."""
    if options.prompts and options.images:
        raise PipelineError("--prompts and --images", "one of them", "leave one out")
    unused = ["count", "prompt", "top", "pregenerated"]
    if options.images:
        unused += ["size", "steps", "guidance", "negative_prompt", "scheduler", "dtype", "sd_model"]
    defaults = {"count": 3, "prompt": diffusion.PROMPT}
    name = "prompts" if options.prompts else "images"
    for option in unused:
        if getattr(options, option) not in (None, "", False, defaults.get(option)):
            given = f"--{option.replace('_', '-')} with --{name}"
            raise PipelineError(given, "one of them", "leave one out")
    if options.images and options.store == PARQUET:
        remedy = "leave --store out: the dataset names the files"
        raise PipelineError("--store parquet with --images", "pictures that are drawn", remedy)


def _workers(options: argparse.Namespace) -> Mapping[str, int]:
    workers: Mapping[str, int] = options.workers or {}
    if options.ray:
        return workers
    if options.gpus_per_worker != 1:
        given = f"--gpus-per-worker {options.gpus_per_worker:g} in one process"
        raise PipelineError(given, "several", "add --ray local")
    if len(set(workers.values())) > 1 or set(workers) < set(NAMES):
        for stage in (GENERATE, FORWARD):
            if workers.get(stage, 1) > 1:
                given = f"--workers {stage}={workers[stage]} in one process"
                raise PipelineError(given, "1: one process holds one", "add --ray local")
    threads = workers.get(PREPROCESS, default_workers())
    return {GENERATE: 1, PREPROCESS: threads, FORWARD: 1}


def _drawing_settings(options: argparse.Namespace) -> Settings:
    if options.scheduler:
        schedulers.check(options.scheduler)
    absent = availability.cuda()
    model = options.sd_model or ("arch:sd15" if absent is None else "")
    if not model:
        remedy = "add --sd-model tiny, or another with --device cpu"
        raise PipelineError("--prompts without a model", f"CUDA ({absent})", remedy)
    models.resolve(model)
    device = options.device or diffusion.default_device(model)
    if device == "cuda" and absent is not None and not options.ray:
        raise UnavailableError(f"--sd-model {model}", replace(absent, remedy="add --device cpu"))
    return Settings(
        "prompts",
        options.engine or FLUX,
        options.store,
        options.grayscale,
        model,
        device,
        options.dtype or diffusion.default_dtype(device),
        options.scheduler,
        options.negative_prompt,
        "" if options.size is None else size_label(options.size),
        options.steps,
        options.guidance,
        options.seed,
    )


def _with_defaults(table: "pa.Table", settings: Settings) -> "pa.Table":
    """Give rows that name no value the run's, where it has one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name in ("negative_prompt", "steps", "guidance", "size"):
        value = getattr(settings, name)
        if value not in (None, ""):
            index, kind = table.column_names.index(name), table.schema.field(name).type
            filled = pc.fill_null(table[name], pa.scalar(value, kind))
            table = table.set_column(index, name, filled)
    return table


def _check_model(settings: Settings) -> None:
    """Check the run's size and steps against the model's configuration; imports torch."""
    if settings.model.startswith("arch:"):
        line = f"{settings.model} has random weights: texture, not a picture; --sd-model ID for one"
        print(line, file=sys.stderr)
    drawing = stages.drawing_of(settings, {"prompt": "a picture"})
    meta.require(drawing.model, drawing.size, 1, drawing.dtype)
