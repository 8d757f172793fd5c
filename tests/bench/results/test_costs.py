"""What a time is set against: known answers, and nothing where something is missing."""

from dataclasses import replace
from typing import Any

import pytest

from bench.results import costs
from bench.results.cell import MEASURED, Row
from support.results import generate, named


def row(seconds: float, **known: Any) -> Row:
    made = generate("sd15", "cuda", "512x512", 30, MEASURED, samples=(seconds,) * 6)
    return replace(made, **known)


def in_mode(mode: str, seconds: float, **known: Any) -> Row:
    made = row(seconds, **known)
    return replace(made, cell=replace(made.cell, axes={**made.cell.axes, "mode": mode}))


def test_operations_a_second_are_those_of_a_call_over_its_median() -> None:
    assert costs.flop_per_second(row(0.5, extra={"call_flop": 5e13})) == 1e14
    assert costs.flop_per_second(row(0.5)) is None
    assert costs.flop_per_second(row(0.0, extra={"call_flop": 5e13})) is None


def test_the_ceiling_is_the_matrix_product_of_the_same_device_and_dtype() -> None:
    rates = {"matrix_cuda_float16_flop_per_s": 7e14, "matrix_cpu_float32_flop_per_s": 5e10}
    assert costs.matrix_rate(row(1.0), {"workload": {"start": rates}}) == 7e14
    assert costs.matrix_rate(row(1.0), {"workload": {"start": {}}}) is None
    assert costs.matrix_rate(row(1.0), {}) is None
    assert costs.matrix_rate(named("forward", {"x": 1}, MEASURED), {"workload": {}}) is None


def test_the_host_gap_is_the_median_without_the_busy_time() -> None:
    assert costs.host_gap(row(0.5, busy=0.375)) == 0.125
    assert costs.host_gap(row(0.5, busy=0.51)) == 0.0
    assert costs.host_gap(row(0.5)) is None


def test_a_mode_is_so_many_times_as_fast_as_eager_in_the_same_cell() -> None:
    eager, graph = row(0.9), in_mode("graph", 0.5)
    larger = replace(eager, cell=replace(eager.cell, axes={**eager.cell.axes, "size": "768x768"}))
    assert costs.times_eager(graph, [larger, eager, graph]) == pytest.approx(1.8)
    assert costs.times_eager(graph, [larger, graph]) is None
    assert costs.times_eager(graph, [replace(eager, weights="others"), graph]) is None


@pytest.mark.parametrize(
    ("known", "rest"),
    [
        ({"profiled": 1.0, "stages": {"UNet": 0.7, "VAE": 0.2}}, pytest.approx(0.1)),
        ({"profiled": 1.0, "stages": {"UNet": 0.96}}, None),
        ({"profiled": 1.0, "busy": 0.7, "stages": {"UNet": 0.6}}, pytest.approx(0.1)),
        ({"profiled": 1.0, "busy": 0.7, "stages": {"UNet": 0.66}}, None),
        ({"profiled": 1.0, "busy": 0.7}, None),
        ({}, None),
    ],
)
def test_what_no_stage_and_no_gap_explains_is_said_from_a_twentieth_on(
    known: dict[str, Any], rest: Any
) -> None:
    assert costs.unattributed(row(1.0, **known)) == rest
