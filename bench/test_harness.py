"""The harness's own cost: a call that does nothing, timed like any other, and an empty loop."""

from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Any

import pytest

from bench.measuring import internals
from bench.measuring.measure import Measure
from bench.results.cell import Cell

STEPS = 100_000


CELL = Cell("harness", {"call": "harness-noop"}, budget_factor=0.25)


@pytest.mark.parametrize("cell", [CELL], ids=[CELL.id])
def test_harness(measure: Measure, cell: Cell, benchmark: Any) -> None:
    """Time a call that does nothing: what remains is the cost of the harness and the plugin."""
    measure(
        lambda: None,
        check=lambda output: [],
        extra=lambda: beside_an_empty_loop(internals.samples(benchmark)),
    )


def beside_an_empty_loop(samples: Sequence[float]) -> dict[str, float]:
    """Return how long a step of an empty loop takes now, and how many such steps the call takes."""
    seconds = median(empty_loop() for _ in range(9)) / STEPS
    return {"empty_loop_ns": seconds * 1e9, "times_an_empty_loop": median(samples) / seconds}


def empty_loop() -> float:
    """Return the seconds of `STEPS` steps of a loop that does nothing."""
    begun = perf_counter()
    for _ in range(STEPS):
        pass
    return perf_counter() - begun
