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
    row = generate("tiny", "cpu", axes.get("size", "64x64"), count, MEASURED, samples=samples)
    return row


def test_a_line_without_noise_is_found_exactly() -> None:
    (found,) = steps.fits([timed(8), timed(2), timed(4)])
    assert found.of == "tiny-cpu-float32-64x64"
    assert [point.steps for point in found.points] == [2, 4, 8]
    assert found.fit.fixed == pytest.approx(FIXED)
    assert found.fit.per_step == pytest.approx(PER_STEP)
    assert found.off is None
    assert found.foreseen is None


@pytest.mark.parametrize("seed", range(5))
def test_32_steps_are_foreseen_within_the_interval_of_2_4_8_and_16(seed: int) -> None:
    (found,) = steps.fits([timed(count, 0.02, seed) for count in (2, 4, 8, 16, 32)])
    assert found.foreseen is not None
    value, low, high = found.foreseen
    true = FIXED + PER_STEP * 32
    assert low < true < high
    assert low < found.points[-1].seconds < high
    assert value == pytest.approx(true, rel=0.05)


def test_cells_that_differ_in_more_than_steps_have_lines_of_their_own() -> None:
    rows = [timed(count, size=size) for size in ("64x64", "96x64") for count in (2, 4, 8)]
    assert [found.of for found in steps.fits(rows)] == [
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
    (found,) = steps.fits([timed(2), timed(4), timed(8), timed(16), slow])
    assert found.off is not None
    assert found.residual(found.off) > steps.OFF_THE_LINE
    assert found.residual(found.off) == max(map(found.residual, found.points))


def test_a_point_that_is_as_unsure_as_it_is_off_is_no_reason_against_a_line() -> None:
    true = FIXED + PER_STEP * 8
    unsure = tuple(true * factor for factor in (0.8, 0.9, 1.05, 1.15, 1.2, 1.3, 1.4))
    row = generate("tiny", "cpu", "64x64", 8, MEASURED, samples=unsure)
    others = [timed(count) for count in (2, 4, 16, 32)]
    (found,) = steps.fits([*others, row])
    assert found.residual(found.points[2]) > steps.OFF_THE_LINE
    assert found.off is None
    sure = replace(row, samples=(true * 1.15,) * 6)
    (found,) = steps.fits([*others, sure])
    assert found.off == found.points[2]
