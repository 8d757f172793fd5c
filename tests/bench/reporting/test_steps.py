"""The steps fit: on a simulated clock with known costs, and what is no line."""

from dataclasses import replace
from random import Random

import pytest

from bench.reporting import steps
from bench.results.cell import FAILED, MEASURED, Row
from support.results import generate, named

FIXED, PER_STEP = 0.09, 0.0184


def timed(count: int, noise: float = 0.0, seed: int = 0, **axes: str) -> Row:
    """A row on a simulated clock: 0.09 s, 18.4 ms a step, and so much noise on each sample."""
    random = Random(f"{seed} {count}")
    samples = tuple(
        (FIXED + PER_STEP * count) * (1 + random.uniform(-noise, noise)) for _ in range(30)
    )
    return generate("tiny", "cpu", axes.get("size", "64x64"), count, MEASURED, samples=samples)


def test_a_line_without_noise_is_fit_exactly() -> None:
    (fit,) = steps.fits([timed(8), timed(2), timed(4)])
    assert fit.name == "tiny-cpu-float32-64x64"
    assert [latency.steps for latency in fit.latencies] == [2, 4, 8]
    assert fit.fit.fixed == pytest.approx(FIXED)
    assert fit.fit.per_step == pytest.approx(PER_STEP)
    assert fit.outlier is None
    assert fit.prediction is None


@pytest.mark.parametrize("seed", range(5))
def test_32_steps_are_foreseen_within_the_interval_of_2_4_8_and_16(seed: int) -> None:
    (fit,) = steps.fits([timed(count, 0.02, seed) for count in (2, 4, 8, 16, 32)])
    assert fit.prediction is not None
    value, low, high = fit.prediction
    true = FIXED + PER_STEP * 32
    assert low < true < high
    assert low < fit.latencies[-1].seconds < high
    assert value == pytest.approx(true, rel=0.05)


def test_cells_that_differ_in_more_than_steps_have_lines_of_their_own() -> None:
    rows = [timed(count, size=size) for size in ("64x64", "96x64") for count in (2, 4, 8)]
    assert [fit.name for fit in steps.fits(rows)] == [
        "tiny-cpu-float32-64x64",
        "tiny-cpu-float32-96x64",
    ]


def test_two_numbers_of_steps_are_no_line() -> None:
    assert steps.fits([timed(2), timed(4)]) == []


def test_rows_without_a_number_or_without_steps_are_left_out() -> None:
    failed = generate("tiny", "cpu", "64x64", 8, FAILED)
    other = named("preprocess", {"regime": "file"}, MEASURED, samples=(0.1,) * 6)
    assert steps.fits([timed(2), timed(4), failed, other]) == []


def test_what_lies_far_off_is_no_line_and_is_named() -> None:
    slow = generate("tiny", "cpu", "64x64", 32, MEASURED, samples=(1.5,) * 6)
    (fit,) = steps.fits([timed(2), timed(4), timed(8), timed(16), slow])
    assert fit.outlier is not None
    assert fit.residual(fit.outlier) > steps.OFF_THE_LINE
    assert fit.residual(fit.outlier) == max(map(fit.residual, fit.latencies))


def test_a_point_that_is_as_unsure_as_it_is_off_is_no_reason_against_a_line() -> None:
    true = FIXED + PER_STEP * 8
    unsure = tuple(true * factor for factor in (0.8, 0.9, 1.05, 1.15, 1.2, 1.3, 1.4))
    row = generate("tiny", "cpu", "64x64", 8, MEASURED, samples=unsure)
    others = [timed(count) for count in (2, 4, 16, 32)]
    (fit,) = steps.fits([*others, row])
    assert fit.residual(fit.latencies[2]) > steps.OFF_THE_LINE
    assert fit.outlier is None
    sure = replace(row, samples=(true * 1.15,) * 6)
    (fit,) = steps.fits([*others, sure])
    assert fit.outlier == fit.latencies[2]


def lines(*seconds: float) -> list[str]:
    """What is said of rows of 2, 4, 8, … steps that took so long."""
    return steps.lines(
        generate("tiny", "cpu", "64x64", 2**number, MEASURED, samples=(time,) * 7)
        for number, time in enumerate(seconds, 1)
    )


def test_a_fit_is_a_line_and_is_checked_against_its_own_prediction() -> None:
    heading, first = lines(0.0201, 0.0299, 0.0501)
    assert heading == "steps fit: time of a call = fixed + per step × steps (± 95 %)"
    assert first == (
        "tiny-cpu-float32-64x64: fixed 10.09 ± 0.62 ms, 4.99 ± 0.17 ms a step; "
        "every point within 0.44 % of the line"
    )
    assert lines(0.0201, 0.0299) == []
    assert lines(0.0201, 0.0299, 0.0501, 0.0898)[2] == (
        "  check: the smaller step counts predict 89.9 ± 2.8 ms at 16 steps; measured 89.8 ms"
    )


def test_a_distance_is_set_against_the_medians_own_noise() -> None:
    assert lines(0.02, 0.06, 0.05)[1].endswith("; not a straight line: 44 % off at 4 steps")
    noisy = (0.02, 0.025, 0.03, 0.034, 0.038, 0.04, 0.05)
    rows = [
        generate("tiny", "cpu", "64x64", count, MEASURED, samples=(0.01 + 0.005 * count,) * 7)
        for count in (2, 8, 16, 32)
    ]
    unsure = generate("tiny", "cpu", "64x64", 4, MEASURED, samples=noisy)
    assert steps.lines([*rows, unsure])[1].endswith(
        " of the line, which the medians' own intervals explain"
    )
