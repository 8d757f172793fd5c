"""What bench.statistics.stats promises: known answers, properties, messages, simulated coverage."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.statistics import stats
from bench.statistics.stats import (
    SEEN,
    autocorrelated,
    margin,
    median_interval,
    quantile,
    rounds_needed,
    why_no_interval,
)
from coverage_simulation import (
    LEAST,
    Series,
    autoregressive,
    coverage,
    lognormal,
    planned,
    regimes,
    spiky,
)

ROOT = Path(__file__).resolve().parents[3]
PILOT = [1.00, 1.02, 1.01, 0.99, 1.03, 0.98]

durations = st.floats(min_value=1e-6, max_value=1e3)


def samples_of(least: int, most: int = 60) -> st.SearchStrategy[list[float]]:
    return st.lists(durations, min_size=least, max_size=most)


quick = settings(deadline=None, max_examples=60)


def level(n: int, rank: int) -> float:
    """Exact share of samples whose rank-th lowest and rank-th highest enclose the median."""
    missed, ways = 0, 1
    for i in range(rank):
        missed += ways
        ways = ways * (n - i) // (i + 1)
    return 1 - 2 * missed / (1 << n)


def without_correlation(n: int) -> list[int]:
    """The numbers from 1 to n, each far from the one before."""
    return [n - number // 2 if number % 2 else 1 + number // 2 for number in range(n)]


# median_interval


@pytest.mark.parametrize(
    ("n", "lowest", "percent"),
    [
        (6, 1, 96.9),
        (7, 1, 98.4),
        (8, 1, 99.2),
        (9, 2, 96.1),
        (10, 2, 97.9),
        (12, 3, 96.1),
        (15, 4, 96.5),
        (20, 6, 95.9),
        (30, 10, 95.7),
        (50, 18, 96.7),
        (100, 40, 96.5),
    ],
)
def test_the_ranks_are_the_published_ones_at_their_level(n, lowest, percent):
    assert stats._lower_rank(n) == lowest
    assert round(100 * level(n, lowest), 1) == percent


@pytest.mark.parametrize("n", [*range(9, 60), 250, 999, 1000, 10_000])
def test_the_ranks_are_the_closest_that_keep_the_level(n):
    lowest = stats._lower_rank(n)
    assert level(n, lowest) >= stats.CONFIDENCE > level(n, lowest + 1)


@pytest.mark.parametrize("n", [10_001, 10_002, 30_000])
def test_above_ten_thousand_samples_the_interval_is_at_most_one_rank_too_wide(n):
    lowest = stats._lower_rank(n)
    assert level(n, lowest) >= 0.95 > level(n, lowest + 2)


@pytest.mark.parametrize("n", [19, 30, 1000])
def test_without_correlation_the_interval_is_that_of_the_ranks(n):
    lowest = stats._lower_rank(n)
    assert median_interval(without_correlation(n)) == (lowest, n + 1 - lowest)
    assert not autocorrelated(without_correlation(n))


def test_below_19_samples_it_stands_for_a_correlation_that_does_not_show():
    low, high = median_interval([90, 112, 96, 104, 99, 101])
    assert high == pytest.approx(100 + 16.4 * 12)
    assert low == pytest.approx(1 / (1 / 100 + 16.4 * (1 / 90 - 1 / 100)))
    assert median_interval([0, 2, 1, 2, 1, 2])[0] < 0


def test_an_interval_of_correlated_samples_is_that_of_the_number_that_they_are_worth():
    samples = autoregressive(0.9).draw(np.random.default_rng(1), 1000).tolist()
    worth = int(stats.effective(samples))
    assert 20 < worth < 60  # 1000 * 0.1 / 1.9 is 53
    lowest = stats._lower_rank(worth) * 1001 // (worth + 1)
    assert median_interval(samples) == (sorted(samples)[lowest - 1], sorted(samples)[-lowest])


def test_samples_that_are_worth_fewer_than_six_have_no_interval_and_say_so():
    ramp = [1 + number / 40 for number in range(40)]
    assert median_interval(ramp) is None
    assert why_no_interval(ramp) == (
        "40 autocorrelated rounds are worth less than one independent one, and an interval needs 6"
    )
    assert why_no_interval([1.0] * 5) == "an interval needs 6 rounds"
    assert why_no_interval([1.0] * 6) == ""


@pytest.mark.parametrize(
    "series",
    [autoregressive(0), autoregressive(0.9), spiky(), regimes(6)],
    ids=lambda series: series.name,
)
@pytest.mark.parametrize("n", [6, 15, SEEN, 100])
def test_the_interval_covers_the_median_or_there_is_none(series: Series, n: int):
    result = coverage(series, n, 200, np.random.default_rng(n))
    assert result.covered >= LEAST
    assert result.none < 0.15 or series.name in ("AR(1) 0.9", "6 switches")


def test_independent_samples_have_an_interval_of_nearly_their_own_width():
    for n in (SEEN, 30, 100):
        assert coverage(autoregressive(0), n, 200, np.random.default_rng(n)).width < 1.1


@pytest.mark.parametrize("n", range(1, 6))
def test_fewer_than_six_samples_have_no_interval_and_no_margin(n):
    assert median_interval([1.0] * n) is None
    assert margin([1.0] * n) is None


@given(samples_of(6))
@quick
def test_the_interval_lies_around_the_median(samples):
    interval = median_interval(samples)
    assert bool(interval) != bool(why_no_interval(samples))
    if interval:
        assert interval[0] <= np.median(samples) * (1 + 1e-12)
        assert interval[1] >= np.median(samples) * (1 - 1e-12)


@given(samples_of(6), st.sampled_from([0.125, 2.0, 1024.0]))
@quick
def test_another_unit_scales_the_interval_and_leaves_margin_and_plan(samples, unit):
    scaled = [unit * sample for sample in samples]
    interval = median_interval(samples)
    if interval:
        assert median_interval(scaled) == pytest.approx([unit * end for end in interval])
    assert margin(scaled) == (margin(samples) and pytest.approx(margin(samples)))
    assert rounds_needed(scaled[:6], 0.01, 500) == rounds_needed(samples[:6], 0.01, 500)


def test_the_margin_is_half_the_interval_over_the_median():
    lowest = stats._lower_rank(99)
    assert margin(without_correlation(99)) == pytest.approx((50 - lowest) / 50)


def test_a_median_that_is_not_positive_has_no_margin():
    assert margin([-3, -2, -1, 1, 2, 3]) is None
    assert margin([-1.0] * 8) is None


# rounds_needed


def test_a_constant_pilot_needs_the_rounds_that_show_a_correlation():
    assert rounds_needed([2.0] * 6, 0.01, 1000) == SEEN
    assert rounds_needed([2.0, 2.0], 0.01, 1000) == SEEN
    assert rounds_needed([2.0, 2.0], 0.01, 7) == 7


def test_a_pilot_of_one_says_nothing_and_gets_the_maximum():
    assert rounds_needed([2.0], 0.01, 1000) == 1000


def test_a_pilot_without_a_positive_median_gets_the_maximum():
    assert rounds_needed([-1.0, 0.0, 0.0, 1.0], 0.01, 1000) == 1000


def test_a_wide_pilot_gets_the_maximum():
    assert rounds_needed([1.0, 2.0, 4.0, 8.0, 1.5, 3.0], 0.001, 77) == 77
    assert rounds_needed([1.0, 2.0, 4.0, 8.0, 1.5, 3.0], 0.001, 6) == 6


def test_the_plan_follows_from_the_trimmed_range_and_the_correction():
    # 1.02 - 0.99 over 2 x 0.6433 normal scores is 0.02332; times 3.182 / 1.960 it is 0.03786
    sigma, precision = 0.03786, 0.0142
    rounds = rounds_needed(PILOT, precision, 1000)
    assert rounds == 44
    low = stats._lower_rank(rounds)
    normal = np.sort(np.random.default_rng(3).standard_normal((4000, rounds)))
    half_width = np.mean(normal[:, -low] - normal[:, low - 1]) / 2
    assert half_width * sigma / 1.005 == pytest.approx(precision, rel=0.03)
    asymptotic = (1.96 * 1.2533 * sigma / (precision * 1.005)) ** 2
    assert 42 < asymptotic < 43


def test_no_fewer_rounds_than_planned_are_expected_to_do():
    expected = [stats._half_width(n) for n in range(6, 1500)]
    bound = stats.NormalDist().inv_cdf(0.975) * (math.pi / 2) ** 0.5
    assert all(width >= bound / n**0.5 for n, width in enumerate(expected, start=6))
    # the width falls in a saw tooth: 44 rounds are expected to do better than 46
    assert expected[44 - 6] < expected[46 - 6]


def test_one_slow_call_in_a_pilot_of_six_changes_no_plan():
    spoiled = [*PILOT[:4], 40.0, PILOT[5]]
    assert rounds_needed(spoiled, 0.01, 1000) == rounds_needed(PILOT, 0.01, 1000)


def test_a_smaller_pilot_of_the_same_spread_plans_more_rounds():
    three = rounds_needed([0.99, 1.0, 1.01], 0.01, 10**6)
    two = rounds_needed([0.99, 1.01], 0.01, 10**6)
    assert two > three > rounds_needed([0.99, 0.995, 1.0, 1.0, 1.005, 1.01], 0.01, 10**6)


def test_an_absurd_precision_gets_a_bound_not_an_overflow():
    assert rounds_needed(PILOT, 5e-324, 1000) == 1000
    assert rounds_needed(PILOT, 1e308, 1000) == SEEN


def test_a_huge_maximum_costs_no_time():
    assert rounds_needed(PILOT, 0.0001, 10**9) == pytest.approx(852_000, rel=0.03)


@given(samples_of(1, 6), st.floats(1e-4, 0.5), st.integers(6, 5000))
@quick
def test_a_plan_lies_between_19_and_the_maximum(pilot, precision, maximum):
    assert min(SEEN, maximum) <= rounds_needed(pilot, precision, maximum) <= maximum


@given(samples_of(2, 6), st.floats(1e-4, 0.1), st.floats(1, 10))
@quick
def test_a_finer_precision_never_plans_fewer_rounds(pilot, precision, coarser):
    assert rounds_needed(pilot, precision, 5000) >= rounds_needed(pilot, precision * coarser, 5000)


# quantile


@given(samples_of(1), st.floats(0, 1))
@quick
def test_a_quantile_is_the_one_numpy_gives(samples, q):
    assert quantile(samples, q) == pytest.approx(np.quantile(samples, q), rel=1e-12)


def test_quantiles_interpolate_between_samples():
    assert quantile([40, 10, 30, 20], 0) == 10
    assert quantile([40, 10, 30, 20], 0.5) == 25
    assert quantile([40, 10, 30, 20], 0.75) == 32.5
    assert quantile([40, 10, 30, 20], 1) == 40


# messages


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: median_interval([]), "samples is empty: expected at least one number"),
        (lambda: rounds_needed([], 0.01, 9), "pilot is empty: expected at least one number"),
        (
            lambda: median_interval([1, 2, 3, math.nan]),
            "samples[3] is nan: expected a finite number",
        ),
        (lambda: quantile([1, -math.inf], 0), "samples[1] is -inf: expected a finite number"),
        (lambda: quantile([1.0], 95), "q is 95: expected a number from 0 to 1"),
        (
            lambda: rounds_needed([1, math.nan], 0.01, 9),
            "pilot[1] is nan: expected a finite number",
        ),
        (lambda: rounds_needed([1.0], 0.0, 9), "precision is 0.0: expected a positive number"),
        (
            lambda: rounds_needed([1.0], math.nan, 9),
            "precision is nan: expected a positive number",
        ),
        (lambda: rounds_needed([1.0], 0.01, 5), "maximum is 5: expected at least 6 rounds"),
    ],
)
def test_a_wrong_question_is_told_what_was_given_and_expected(call, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        call()
    assert str(error.value) == message


# the module


def test_importing_it_imports_no_numpy():
    code = "import sys, bench.statistics.stats; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# the whole procedure, simulated; tests/coverage_simulation.py runs more of it


@pytest.mark.parametrize(
    ("series", "precision"),
    [(lognormal(0.02), 0.01), (lognormal(0.3), 0.1), (spiky(), 0.01)],
    ids=["narrow", "skewed", "spiky"],
)
def test_rounds_planned_from_a_pilot_keep_the_level_and_mostly_the_precision(
    series: Series, precision: float
):
    plan = planned(series, 300, precision, 300, np.random.default_rng(11))
    assert plan.covered >= LEAST
    assert plan.precise == pytest.approx(0.8, abs=0.1)
    assert SEEN <= plan.rounds < 300
