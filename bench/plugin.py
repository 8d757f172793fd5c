"""pytest's options, fixtures and hooks: what this project adds to pytest-benchmark."""

import os
import sys
from collections.abc import Iterator
from shutil import get_terminal_size
from typing import Any

import pytest

from bench import grid, options
from bench.machine import allocator
from bench.measuring import internals
from bench.measuring.measure import Measure
from bench.measuring.session import Session
from bench.reporting import tables
from bench.reporting.texts import wrapped
from bench.results.cell import Row
from bench.workloads.pipelines import ImageSource, Pipelines
from pipeline import exits
from pipeline.validation import table

NAME = "sd-flux-bench"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the axes of the grids, `--require` and `--stock-table`."""
    options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Check the command line, pin threads and allocator, and register the harness's hooks."""
    internals.refuse_replacements(config)
    internals.avoid_loop(config)
    exits.use_plain_signs(sys.stdout)
    required = options.required(config)
    missing = options.absent_weights(config) if "weights" in required else None
    if missing is not None:
        pytest.exit(f"--require weights: {missing}", returncode=pytest.ExitCode.TESTS_FAILED)
    config.option.benchmark_save_data = True  # without samples nothing can be compared
    threads = os.environ.setdefault("OMP_NUM_THREADS", "1")
    for variable in ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, threads)
    allocator.pin()

    def render(rows: list[Row], records: dict[str, Any], width: int, color: bool) -> str:
        table = tables.render(rows, records, width, color)
        lines = [wrapped(line, width) for line in options.unjudged(config, rows)]
        return "\n\n".join([table, *lines])

    session = Session(config, required, render, options.notes(config))
    config.pluginmanager.register(session, NAME)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print what the device needs for each call that `--benchmark-skip` asked about."""
    answers = config.stash.get(options.ANSWERS, None) or []
    text = table.memory_text(answers, get_terminal_size().columns)
    if text:
        terminalreporter.section("memory, estimated")
        terminalreporter.write_line(text)


@pytest.fixture(scope="session")
def axes(pytestconfig: pytest.Config) -> grid.Options:
    """What the user typed for the axes of the grids."""
    return options.axes(pytestconfig)


@pytest.fixture
def measure(request: pytest.FixtureRequest, benchmark: Any) -> Measure:
    """Measure the cell of the test: contract, first call, rounds, row."""
    session = request.config.pluginmanager.get_plugin(NAME)
    assert isinstance(session, Session)
    return session.measure(request.node, benchmark)


@pytest.fixture(scope="module")
def pipelines(axes: grid.Options) -> Iterator[Pipelines]:
    """The Stable Diffusion pipelines of a family; the next one's memory must not include them."""
    held = Pipelines(grid.models_of(axes), grid.generate(axes))
    yield held
    held.drop()


@pytest.fixture(scope="module")
def images(axes: grid.Options, pipelines: Pipelines) -> ImageSource:
    """The images of the end-to-end benchmark: generated where possible, else pre-generated."""
    return ImageSource(grid.image_cell(axes), pipelines)
