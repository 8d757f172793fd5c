"""pytest's options: the axes of the grids, and checks of the command line before a run."""

from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from typing import Any

import pytest

from bench import grid
from bench.results.cell import MEASURED, Cell, Row
from bench.workloads import pictures
from pipeline import availability
from pipeline.arguments import parse_list
from pipeline.errors import Missing, PipelineError, plain
from pipeline.needs import NEEDS
from pipeline.stable_diffusion import models
from pipeline.validation.answers import Answer

__all__ = [
    "ANSWERS",
    "absent_weights",
    "add",
    "axes",
    "notes",
    "one_test_a_cell",
    "pictures_judged",
    "required",
    "unjudged",
]

ANSWERS = pytest.StashKey[list[Answer]]()
"""What `--benchmark-skip` was told of each call, in pytest's stash."""

AGREEMENT = "--sd-agreement"
PICTURES_JUDGED, MOST_JUDGED = 20, 1000
"""How many pictures of a cell are judged by default, and at most: bounds the run's time."""

REQUIREMENTS = (*NEEDS, "weights")


def add(parser: pytest.Parser) -> None:
    """Add every option to pytest's command line."""
    group = parser.getgroup("sd-flux-bench")
    for subject, axes_ in grid.SUBJECTS.items():
        for axis in axes_:
            group.addoption(axis.option, default="", metavar="LIST", help=f"{subject}: {axis.help}")
    group.addoption(
        "--require",
        default="",
        metavar="LIST",
        help=f"fail where one of these is missing instead of skipping: {', '.join(REQUIREMENTS)}",
    )
    group.addoption(
        AGREEMENT,
        default=str(PICTURES_JUDGED),
        metavar="N",
        help="pictures of a cell of tiny that the trained network judges; 0 for none "
        f"(default: {PICTURES_JUDGED})",
    )
    group.addoption(
        "--cold",
        action="store_true",
        help="also time cold starts: imports, loading, first calls, each in a fresh process",
    )
    group.addoption(
        "--bulk",
        action="store_true",
        help="also time bulk runs: many images in one process, and on Ray, by workers",
    )
    group.addoption(
        "--stock-table",
        action="store_true",
        help="also print pytest-benchmark's own table",
    )


def axes(config: pytest.Config) -> grid.Options:
    """Return what the user typed for the axes."""
    every = (axis for axes_ in grid.SUBJECTS.values() for axis in axes_)
    return {axis: config.getoption(axis.option) for axis in every}


def one_test_a_cell(
    metafunc: pytest.Metafunc, family: Callable[[grid.Options], Sequence[Cell]]
) -> None:
    """Parametrize a test with the cells of a family."""
    metafunc.parametrize("cell", family(axes(metafunc.config)), ids=lambda cell: cell.id)


def notes(config: pytest.Config) -> list[str]:
    """Return what is to be said of the options before anything is measured, a line each."""
    folder = axes(config)[grid.IMAGES]
    return pictures.left_out(folder) if folder else []


def pictures_judged(config: pytest.Config) -> int:
    """Return how many pictures of a cell of tiny are judged."""
    text = config.getoption(AGREEMENT)
    count = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else -1
    if not 0 <= count <= MOST_JUDGED:
        expected = f"a whole number from 0 to {MOST_JUDGED}"
        raise PipelineError(f"{AGREEMENT} {text}".rstrip(), expected, f"change {AGREEMENT}")
    return count


def unjudged(config: pytest.Config, rows: Sequence[Row]) -> list[str]:
    """Say whose pictures were not judged although `--sd-agreement` was typed, in at most a line."""
    arguments = map(str, config.invocation_params.args)
    if not any(argument.startswith(AGREEMENT) for argument in arguments):
        return []
    models_ = grid.models_of(axes(config))
    names = dict.fromkeys(
        plain(str(cell.axes.get("call") or cell.axes["model"]))
        for cell in (row.cell for row in rows if row.status == MEASURED)
        if cell.family == "generate"
        and ("call" in cell.axes or models_[str(cell.axes["model"])] != "tiny")
    )
    if not names or not pictures_judged(config):
        return []
    return [
        f"no agreement of {', '.join(names)}: the network that judges was trained on the scenes "
        "that tiny draws; add --sd-model tiny"
    ]


def required(config: pytest.Config) -> list[str]:
    """Return the values of `--require`, after a check of every option.

    Raises `pytest.UsageError` for the first wrong one, before anything is collected.
    """
    try:
        grid.check(axes(config))
        names = parse_list(config.option.require) if config.option.require else []
        for name in names:
            if name not in REQUIREMENTS:
                raise PipelineError(
                    f"--require {name}", " or ".join(REQUIREMENTS), "change --require"
                )
        if config.option.benchmark_compare_fail and not config.option.benchmark_compare:
            remedy = "add it, or use python -m bench compare A B --fail-on slower:5%"
            raise PipelineError("--benchmark-compare-fail", "--benchmark-compare too", remedy)
        if config.option.benchmark_only and getattr(config.option, "numprocesses", None):
            given, expected = f"-n {config.option.numprocesses}", "one process to measure in"
            raise PipelineError(given, expected, "leave -n out, or --benchmark-only")
        pictures_judged(config)
        _check_json(config.option.benchmark_json)
        _check_seconds("--benchmark-max-time", config.option.benchmark_max_time)
    except PipelineError as error:
        raise pytest.UsageError(str(error)) from error
    return names


def absent_weights(config: pytest.Config) -> Missing | None:
    """Return why a hub id of `--sd-model` has no weights here; None where each has.

    It asks the hub where they are not in the local cache.
    """
    for name in grid.models_of(axes(config)).values():
        if models.is_on_hub(name) and (missing := availability.weights(name)):
            return missing
    return None


def _check_json(path: Any) -> None:
    if path is None:
        return
    target = Path(path)
    given = f"--benchmark-json {target}"
    try:
        for folder in target.parents:
            if folder.exists() and not folder.is_dir():
                expected = f"a folder, but {folder} is a file"
                raise PipelineError(given, expected, "choose another folder")
        if not target.parent.is_dir():
            raise PipelineError(given, "a folder that exists", f"mkdir -p {target.parent}")
        if target.is_dir():
            raise PipelineError(given, "a file, not a folder", "add a name")
    except OSError as error:  # such as a name that is too long
        expected = f"a file that can be written ({error.strerror})"
        raise PipelineError(given, expected, "change --benchmark-json") from error


def _check_seconds(name: str, text: str) -> None:
    if not 0 < float(text) < inf:
        raise PipelineError(f"{name} {text}", "a number of seconds above 0", f"change {name}")
