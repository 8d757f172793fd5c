"""A service that is asked for a new size: real graphs of torch, without its slow code generator."""

from functools import partial
from typing import Any

import pytest

from bench.reporting import caveats
from bench.results.cell import AGAIN, CAPTURES, MEASURED, RECOMPILE_LIMIT, RECOMPILES
from bench.workloads import modes, new_size
from bench.workloads.new_size import Service
from pipeline.errors import PipelineError, UnavailableError
from pipeline.stable_diffusion import diffusion
from support.results import named


@pytest.fixture(scope="module")
def service(request: pytest.FixtureRequest) -> Service:
    """The tiny pipeline in `compile`, on dynamo's own `eager` backend, after one size."""
    load = diffusion.load

    def loaded(*settings: Any) -> Any:
        pipe = load(*settings)
        compile_blocks = pipe.unet.compile_repeated_blocks
        pipe.unet.compile_repeated_blocks = partial(compile_blocks, backend="eager")
        return pipe

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffusion, "load", loaded)
        return new_size.serving("tiny", "cpu", "compile", 64, 96, 1)


@pytest.fixture(scope="module")
def costs(service: Service) -> dict[str, float]:
    new_size.draw_new(service)
    return new_size.costs(service)


def test_a_new_size_compiles_and_the_next_call_does_not(
    service: Service, costs: dict[str, float]
) -> None:
    assert costs[RECOMPILES] > 0
    assert costs[CAPTURES] == 0
    assert costs[AGAIN] > 0
    assert new_size.costs(service)[RECOMPILES] == costs[RECOMPILES], "two more calls, no compile"


def test_the_sizes_that_torch_takes_are_as_many_as_the_row_says(
    service: Service, costs: dict[str, float]
) -> None:
    most = int(costs[RECOMPILE_LIMIT] // costs[RECOMPILES])
    for extra in range(most - 2):  # two sizes have been drawn
        new_size._draw(service, 112 + 16 * extra)
    with pytest.raises(PipelineError, match="FailOnRecompileLimitHit"):
        new_size._draw(service, 240)


def test_a_graph_needs_cuda() -> None:
    with pytest.raises(UnavailableError, match="no CUDA graph on the CPU"):
        new_size.serving("tiny", "cpu", "graph", 64, 96, 1)


def test_captures_are_counted_by_shape() -> None:
    import torch

    def capture(call: Any) -> Any:
        return call, call()

    graphed = modes.Graphed(lambda tensor: tensor + 1, capture)
    for side in (2, 3, 2):
        graphed(torch.zeros(side))
    assert graphed.captures == 2


def test_the_table_says_at_which_sizes_a_service_stalls() -> None:
    row = named(
        "cold",
        {"start": "x"},
        MEASURED,
        samples=(1.0,),
        extra={RECOMPILES: 2.0, CAPTURES: 1.0, AGAIN: 0.25, RECOMPILE_LIMIT: 8.0},
    )
    assert caveats.of_row(row)[0] == (
        "a running service stalls so long at each size and batch that it has not drawn "
        "(2 recompiles, 1 graph capture); the next call took 250 ms: draw each once before it "
        "serves, and raise torch._dynamo.config.recompile_limit (8) for more than 4 sizes: the "
        "call after them fails"
    )
