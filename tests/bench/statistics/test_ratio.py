"""The ratio of two medians: known answers, symmetry, how often its interval holds the truth."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.statistics.ratio import ROUNDS, RUNS, middle, ratio
from coverage_simulation import autoregressive
from support.comparisons import around

durations = st.floats(1e-6, 1e3)
rounds = st.lists(durations, min_size=6, max_size=40)
sides = st.lists(rounds, min_size=1, max_size=4)
few = settings(max_examples=40)


# One run a side.


def test_the_ratio_is_that_of_the_medians() -> None:
    result = ratio([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]], [[6.9, 7.0, 7.0, 7.0, 7.0, 7.1, 9.0]])
    assert result.value == 2.0
    assert (result.unit, result.count) == (ROUNDS, 6)


def test_equal_samples_do_not_show_how_coarse_their_clock_is() -> None:
    result = ratio([[0.25] * 8], [[0.5] * 8])
    assert (result.low, result.value, result.high) == (None, 2.0, None)


def test_a_coarse_clock_widens_the_interval_by_half_a_tick() -> None:
    random = np.random.default_rng(0)
    base, new = (np.round(random.normal(value, 0.03, 200), 1).tolist() for value in (1.0, 1.06))
    result = ratio([base], [new])
    assert result.value == pytest.approx(1.1)
    assert result.low < 1.06 < result.high


def test_below_six_rounds_there_is_a_ratio_without_an_interval() -> None:
    result = ratio([[1.0] * 5], [[3.0] * 100])
    assert (result.value, result.low, result.high, result.count) == (3.0, None, None, 5)


@pytest.mark.parametrize("zero", [[[0.0] * 6], [[1.0] * 6, [0.0] * 6]])
def test_a_median_of_zero_has_no_ratio(zero: list[list[float]]) -> None:
    assert ratio(zero, [[1.0] * 6]) is None
    assert ratio([[1.0] * 6], zero) is None


@pytest.mark.parametrize("rho", [0.0, 0.9])
@pytest.mark.parametrize("count", [6, 19, 60, 200])
def test_the_interval_covers_the_truth_or_there_is_none(count: int, rho: float) -> None:
    random = np.random.default_rng(count)
    series = autoregressive(rho)
    held = []
    for _ in range(100):
        base, new = (series.draw(random, count).tolist() for _ in range(2))
        result = ratio([base], [new])
        held.append(result.low is None or result.low <= 1 <= result.high)
    assert sum(held) >= 93


def test_a_side_without_an_interval_leaves_the_ratio_without_one() -> None:
    ramp = [1 + number / 40 for number in range(40)]
    result = ratio([ramp], [[3.0] * 40])
    assert (result.low, result.high, result.count) == (None, None, 40)


@few
@given(sides, sides)
def test_swapping_the_sides_inverts_the_ratio_and_its_interval(
    base: list[list[float]], new: list[list[float]]
) -> None:
    one, other = ratio(base, new), ratio(new, base)
    assert other.value == pytest.approx(1 / one.value)
    if one.low is None:  # too few independent samples on a side
        assert (one.high, other.low, other.high) == (None, None, None)
        return
    assert (other.low, other.high) == pytest.approx((1 / one.high, 1 / one.low))
    assert one.low <= one.value * (1 + 1e-9)
    assert one.value <= one.high * (1 + 1e-9)


@few
@given(rounds, st.floats(0.01, 100))
def test_a_unit_does_not_change_the_interval(base: list[float], scale: float) -> None:
    new = [value * 1.5 for value in base]
    one = ratio([base], [new])
    other = ratio([[value * scale for value in base]], [[value * scale for value in new]])
    assert (other.low, other.high) == pytest.approx((one.low, one.high))


def test_samples_of_zero_and_runs_far_apart_stay_finite() -> None:
    result = ratio([[0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0]], [[1.0] * 6 + [1.1]])
    assert 0 < result.low <= 1 <= result.high < math.inf
    wide = ratio([[1e-12], [1e12]], [[1.0]])
    assert wide.high < math.inf


# Several runs.


def test_of_several_runs_the_middle_is_the_geometric_mean_of_their_medians() -> None:
    assert middle([[1.0, 1.0, 5.0], [4.0, 4.0, 0.1]]) == pytest.approx(2.0)
    assert middle([[1.0, 3.0, 2.0]]) == 2.0


def test_runs_are_the_unit_and_their_interval_is_students() -> None:
    base = [[math.exp(value)] for value in (0.0, 0.1, 0.2)]
    new = [[math.exp(value)] for value in (0.5, 0.6, 0.7)]
    result = ratio(base, new)
    # one spread of 0.1 for both, 4 degrees of freedom: 2.776 * 0.1 * sqrt(1/3 + 1/3)
    reach = 2.7764451 * 0.1 * math.sqrt(2 / 3)
    assert (result.value, result.unit, result.count) == (pytest.approx(math.exp(0.5)), RUNS, 3)
    assert (result.low, result.high) == pytest.approx(
        (math.exp(0.5 - reach), math.exp(0.5 + reach))
    )


def test_more_rounds_inside_a_run_do_not_narrow_the_interval_of_runs() -> None:
    medians = (1.0, 1.1, 1.05)
    short, long = ([[value] * count for value in medians] for count in (6, 600))
    other = [[2.0] * 6, [2.1] * 6]
    assert ratio(short, other) == ratio(long, other)


def test_one_run_against_two_rests_on_the_spread_of_the_two() -> None:
    result = ratio([around(1.0, 1)], [around(2.0, 2), around(2.2, 3)])
    assert result.low < 1 < 2 < result.value  # one degree of freedom: Student's t is 12.7
