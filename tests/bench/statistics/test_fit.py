"""The line through medians: known answers, properties, messages, simulated coverage."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.statistics.fit import fit_line
from coverage_simulation import fits


def constant(*medians: float) -> list[list[float]]:
    """Rounds without any spread."""
    return [[value] * 8 for value in medians]


def test_without_spread_and_with_an_equal_one_between_cells_the_fit_is_weighted_least_squares():
    x, y = [10, 20, 30, 50], [0.61, 1.09, 1.64, 2.58]
    fit = fit_line(x, constant(*y), between=0.02)
    (per_step, fixed), covariance = np.polyfit(
        x, y, 1, w=[1 / (0.02 * value) for value in y], cov="unscaled"
    )
    assert (fit.fixed, fit.per_step) == pytest.approx((fixed, per_step))
    variances = [value * 2.58**2 for value in fit.covariance]
    assert variances == pytest.approx([covariance[1, 1], covariance[0, 0], covariance[0, 1]])
    residuals = np.polyval([per_step, fixed], x) - y
    assert fit.max_residual == pytest.approx(np.max(np.abs(residuals) / y))
    assert fit.birge == pytest.approx(np.sqrt(np.sum((residuals / y / 0.02) ** 2) / 2))
    low, high = fit.fixed_interval
    assert (high - low) / 2 == pytest.approx(
        1.96 * max(1, fit.birge) * covariance[1, 1] ** 0.5, 1e-3
    )


def test_a_precise_median_counts_more_than_a_noisy_one():
    noisy = [3.0, 6.0] * 20
    fit = fit_line([1, 2, 3, 4], [*constant(1.0, 2.0, 3.0), noisy], between=0.001)
    assert fit.per_step == pytest.approx(1.0, rel=0.2)


@given(
    st.floats(1e-3, 10),
    st.floats(1e-3, 10),
    st.lists(st.integers(1, 200), min_size=3, max_size=8, unique=True),
    st.floats(0, 400),
)
@settings(max_examples=60)
def test_points_on_a_line_give_it_back(fixed, per_step, steps, at):
    fit = fit_line(steps, constant(*(fixed + per_step * count for count in steps)))
    scale = fixed + per_step * 400
    value, low, high = fit.predict(at)
    assert value == pytest.approx(fixed + per_step * at, abs=1e-7 * scale)
    assert low < value < high
    assert fit.max_residual < 1e-7
    assert not fit.misfit
    assert fit.birge < 1e-3


def test_points_off_any_line_are_said_to_be():
    fit = fit_line([10, 20, 30], constant(1.0, 2.0, 1.0))
    assert fit.misfit
    assert fit.max_residual > 0.3


@pytest.mark.parametrize("steps", [(2, 4, 8), (2, 4, 8, 16), (10, 20, 30, 50)])
@pytest.mark.parametrize(("rounds", "between"), [(6, 0.01), (40, 0.0), (40, 0.03)])
def test_intervals_hold_the_truth_where_the_spread_between_cells_is_known(steps, rounds, between):
    result = fits(steps, rounds, between, between, 300, np.random.default_rng(rounds))
    assert 0.92 < result.fixed <= 0.99
    assert 0.92 < result.per_step <= 0.99
    assert result.misfit < 0.1


def test_cells_that_differ_more_than_assumed_are_mostly_said_to_be_a_misfit():
    result = fits((2, 4, 8, 16), 40, 0.03, 0.01, 200, np.random.default_rng(1))
    assert result.misfit > 0.4


def test_single_rounds_show_no_spread_so_there_is_no_interval_and_no_misfit():
    fit = fit_line([2, 4, 8], [[0.03], [0.09], [0.10]])
    assert fit.freedom == 0
    assert not fit.misfit
    for interval in (fit.fixed_interval, fit.per_step_interval, fit.predict(16)[1:]):
        assert interval == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("x", "samples", "message"),
    [
        ([], [], "x is empty: expected at least one number"),
        ([1, 2, 3], [], "x has 3 values and samples has 0: expected as many of each"),
        ([20, 10, 20], constant(1, 2, 3), "x is [10, 20]: expected at least 3 distinct values"),
        ([1, 2, 3], constant(1, 2, 0.0), "the median of samples[2] is 0.0: expected above 0"),
        ([1, 2, 3], [[1.0], [], [1.0]], "samples[1] is empty: expected at least one number"),
        ([1, 2, math.nan], constant(1, 2, 3), "x[2] is nan: expected a finite number"),
    ],
)
def test_a_wrong_question_says_what_was_expected(x, samples, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        fit_line(x, samples)
    assert str(error.value) == message
