"""Lines over steps and batches: on a simulated clock with known costs, and what is no line."""

import re
from dataclasses import replace
from random import Random

import pytest

from bench.reporting import fits
from bench.results.cell import FAILED, MEASURED, OUT_OF_MEMORY, Row
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
    (fit,) = fits.of_steps([timed(8), timed(2), timed(4)])
    assert fit.name == "tiny-cpu-float32-64x64"
    assert [latency.count for latency in fit.latencies] == [2, 4, 8]
    assert fit.fit.fixed == pytest.approx(FIXED)
    assert fit.fit.per_step == pytest.approx(PER_STEP)
    assert fit.outlier is None
    assert fit.prediction is None


@pytest.mark.parametrize("seed", range(5))
def test_32_steps_are_foreseen_within_the_interval_of_2_4_8_and_16(seed: int) -> None:
    (fit,) = fits.of_steps([timed(count, 0.02, seed) for count in (2, 4, 8, 16, 32)])
    assert fit.prediction is not None
    value, low, high = fit.prediction
    true = FIXED + PER_STEP * 32
    assert low < true < high
    assert low < fit.latencies[-1].seconds < high
    assert value == pytest.approx(true, rel=0.05)


def test_cells_that_differ_in_more_than_steps_have_lines_of_their_own() -> None:
    rows = [timed(count, size=size) for size in ("64x64", "96x64") for count in (2, 4, 8)]
    assert [fit.name for fit in fits.of_steps(rows)] == [
        "tiny-cpu-float32-64x64",
        "tiny-cpu-float32-96x64",
    ]


def test_two_numbers_of_steps_are_no_line() -> None:
    assert fits.of_steps([timed(2), timed(4)]) == []


def test_rows_without_a_number_or_without_steps_are_left_out() -> None:
    failed = generate("tiny", "cpu", "64x64", 8, FAILED)
    other = named("preprocess", {"regime": "file"}, MEASURED, samples=(0.1,) * 6)
    assert fits.of_steps([timed(2), timed(4), failed, other]) == []


def test_what_lies_far_off_is_no_line_and_is_named() -> None:
    slow = generate("tiny", "cpu", "64x64", 32, MEASURED, samples=(1.5,) * 6)
    (fit,) = fits.of_steps([timed(2), timed(4), timed(8), timed(16), slow])
    assert fit.outlier is not None
    assert fit.residual(fit.outlier) > fits.OFF_THE_LINE
    assert fit.residual(fit.outlier) == max(map(fit.residual, fit.latencies))


def test_a_point_that_is_as_unsure_as_it_is_off_is_no_reason_against_a_line() -> None:
    true = FIXED + PER_STEP * 8
    unsure = tuple(true * factor for factor in (0.8, 0.9, 1.05, 1.15, 1.2, 1.3, 1.4))
    row = generate("tiny", "cpu", "64x64", 8, MEASURED, samples=unsure)
    others = [timed(count) for count in (2, 4, 16, 32)]
    (fit,) = fits.of_steps([*others, row])
    assert fit.residual(fit.latencies[2]) > fits.OFF_THE_LINE
    assert fit.outlier is None
    sure = replace(row, samples=(true * 1.15,) * 6)
    (fit,) = fits.of_steps([*others, sure])
    assert fit.outlier == fit.latencies[2]


def lines(*seconds: float) -> list[str]:
    """What is said of rows of 2, 4, 8, … steps that took so long."""
    return fits.step_lines(
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
    assert lines(0.0201, 0.0299) == [
        "steps fit: none, as a line needs three numbers of steps, and there are two"
    ]
    assert lines(0.0201) == []
    assert lines(0.0201, 0.0299, 0.0501, 0.0898)[2] == (
        "  check: the smaller step counts predict 89.9 ± 2.8 ms at 16 steps; measured 89.8 ms"
    )


def test_a_fit_of_single_rounds_has_no_interval_and_says_why() -> None:
    rows = [
        generate("tiny", "cpu", "64x64", count, MEASURED, samples=(time,))
        for count, time in ((2, 0.02), (4, 0.033), (8, 0.05), (16, 0.09))
    ]
    (line,) = fits.step_lines(rows)[1:]
    assert line.startswith("tiny-cpu-float32-64x64: fixed 1")
    assert line.endswith(" a step; too few rounds for an interval: one a point")
    assert "±" not in line
    assert fits.in_words(fits.of_steps(rows)[0]).endswith(", from single rounds")


def test_a_distance_is_set_against_the_medians_own_noise() -> None:
    assert lines(0.02, 0.06, 0.05)[1].endswith("; not a straight line: 44 % off at 4 steps")
    noisy = (0.02, 0.025, 0.03, 0.034, 0.038, 0.04, 0.05)
    rows = [
        generate("tiny", "cpu", "64x64", count, MEASURED, samples=(0.01 + 0.005 * count,) * 7)
        for count in (2, 8, 16, 32)
    ]
    unsure = generate("tiny", "cpu", "64x64", 4, MEASURED, samples=noisy)
    assert fits.step_lines([*rows, unsure])[1].endswith(
        " of the line, which the medians' own intervals explain"
    )


def scored(batch: int, seconds: float, status: str = MEASURED) -> Row:
    """A row of the PyTorch reference that takes so long for a batch, give or take 1 %."""
    random = Random(batch)
    samples = tuple(seconds * (1 + random.uniform(-0.01, 0.01)) for _ in range(30))
    row = named(
        "forward",
        {"engine": "reference", "device": "cpu", "batch": batch},
        status,
        samples=samples if status == MEASURED else (),
    )
    return replace(row, cell=replace(row.cell, images=batch))


def test_a_batch_has_a_fixed_part_a_knee_and_a_best_size() -> None:
    rows = [scored(batch, 0.008 + 0.002 * batch) for batch in (1, 8, 64, 128)]
    heading, line, choice = fits.batch_lines(rows)
    assert heading == "batch fit: time of a call = fixed + per image × batch (± 95 %)"
    assert re.match(r"reference-cpu: fixed (7\.9|8\.0)", line)
    assert " ms an image; every point within " in line
    assert choice.startswith("  most images/s at batch 128: 48")
    assert choice.endswith(
        "image is within 5 % of the least from batch 64 on; the largest batch tried, 128, fits"
    )


def test_a_batch_that_costs_more_an_image_is_not_chosen_and_one_without_memory_is_named() -> None:
    times = {1: 0.010, 8: 0.040, 16: 0.160}
    rows = [scored(batch, seconds) for batch, seconds in times.items()]
    rows += [scored(batch, 0.0, OUT_OF_MEMORY) for batch in (64, 32)]
    _, line, choice = fits.batch_lines(rows)
    assert "not a straight line: " in line
    assert choice.startswith("  most images/s at batch 8: 20")
    assert choice.endswith("of the least at no other batch; batch 32 ran out of memory")


def test_a_knee_at_the_largest_batch_tried_is_none() -> None:
    times = {1: 0.010, 2: 0.018, 4: 0.030}
    *_, choice = fits.batch_lines([scored(batch, seconds) for batch, seconds in times.items()])
    assert "within 5 % of the least at no smaller one: it still falls at the largest; " in choice


def test_two_batches_are_no_line() -> None:
    assert fits.batch_lines([scored(1, 0.01), scored(8, 0.03)]) == []


def test_batches_that_cost_the_same_end_before_one_that_costs_more() -> None:
    times = {1: 0.010, 8: 0.0402, 16: 0.080, 32: 0.320}
    *_, choice = fits.batch_lines([scored(batch, seconds) for batch, seconds in times.items()])
    assert choice.startswith("  most images/s at batch 16: ")
    assert "of the least from batch 8 to 16; " in choice
