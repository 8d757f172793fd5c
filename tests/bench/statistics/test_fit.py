"""The line through measured points: known answers, properties, messages, simulated coverage."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.statistics.stats import linear_fit


def test_a_fit_agrees_with_numpy_in_values_and_standard_errors():
    x, y = [10, 20, 30, 50], [0.61, 1.09, 1.64, 2.58]
    fit = linear_fit(x, y)
    (per_step, fixed), covariance = np.polyfit(x, y, 1, cov=True)
    assert fit.fixed == pytest.approx(fixed)
    assert fit.per_step == pytest.approx(per_step)
    assert fit.per_step_error == pytest.approx(covariance[0, 0] ** 0.5)
    assert fit.fixed_error == pytest.approx(covariance[1, 1] ** 0.5)
    assert fit.max_residual == pytest.approx(
        np.max(np.abs(np.polyval([per_step, fixed], x) - y) / y)
    )


def test_a_fit_gives_the_textbook_answer():
    fit = linear_fit([1, 2, 3, 4, 5], [2, 4, 5, 4, 5])
    assert (fit.fixed, fit.per_step) == pytest.approx((2.2, 0.6))
    assert fit.residual_error == pytest.approx(0.8**0.5)
    assert fit.max_residual == pytest.approx(0.8 / 2)
    reach = 3.182446 * 0.8**0.5 * 1.2**0.5
    assert fit.predict(3) == pytest.approx((4.0, 4.0 - reach, 4.0 + reach))
    reach = 3.182446 * (0.8 / 10) ** 0.5
    assert fit.per_step_interval == pytest.approx((0.6 - reach, 0.6 + reach))
    reach = 3.182446 * (0.8 * (1 / 5 + 9 / 10)) ** 0.5
    assert fit.fixed_interval == pytest.approx((2.2 - reach, 2.2 + reach))


@pytest.mark.parametrize(
    ("freedom", "t"),
    [
        (1, 12.7062),
        (2, 4.3027),
        (3, 3.1824),
        (4, 2.7764),
        (5, 2.5706),
        (8, 2.3060),
        (10, 2.2281),
        (15, 2.1314),
        (30, 2.0423),
        (60, 2.0003),
        (120, 1.9799),
        (1000, 1.9623),
    ],
)
def test_intervals_of_a_fit_use_the_published_quantiles_of_student(freedom, t):
    points = freedom + 2
    fit = linear_fit(range(points), [1 + position % 2 for position in range(points)])
    low, high = fit.per_step_interval
    assert (high - low) / 2 / fit.per_step_error == pytest.approx(t, abs=5e-5)


@given(
    st.floats(1e-3, 10),
    st.floats(1e-3, 10),
    st.lists(st.integers(1, 200), min_size=3, max_size=8, unique=True),
    st.floats(0, 400),
)
@settings(max_examples=60)
def test_points_on_a_line_give_it_back_with_no_error(fixed, per_step, steps, at):
    fit = linear_fit(steps, [fixed + per_step * count for count in steps])
    scale = fixed + per_step * 400
    assert fit.predict(at) == pytest.approx([fixed + per_step * at] * 3, abs=1e-9 * scale)
    assert fit.per_step == pytest.approx(per_step, abs=1e-9 * scale)
    assert fit.max_residual < 1e-9


def test_points_off_any_line_show_a_large_residual():
    assert linear_fit([10, 20, 30], [1.0, 2.0, 1.0]).max_residual > 0.3


def test_predictions_hold_a_new_measurement_19_times_in_20():
    rng = np.random.default_rng(7)
    steps = [10, 20, 30, 50]
    held = 0
    for _ in range(2000):
        errors = rng.normal(0, 0.05, 4)
        fit = linear_fit(steps, [1 + 0.1 * x + e for x, e in zip(steps, errors, strict=True)])
        _, low, high = fit.predict(40)
        held += low <= 5 + rng.normal(0, 0.05) <= high
    assert held / 2000 == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([], [], "x is empty: expected at least one number"),
        ([1, 2, 3], [], "y is empty: expected at least one number"),
        ([1, 2, 3], [1, 2], "x has 3 values and y has 2: expected as many of each"),
        ([20, 10, 20], [1, 2, 3], "x is [10, 20]: expected at least 3 distinct values"),
        ([1, 2, 3], [1, 2, 0.0], "y[2] is 0.0: expected a positive number"),
        ([1, 2, math.nan], [1, 2, 3], "x[2] is nan: expected a finite number"),
    ],
)
def test_a_wrong_question_says_what_was_expected(x, y, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        linear_fit(x, y)
    assert str(error.value) == message
