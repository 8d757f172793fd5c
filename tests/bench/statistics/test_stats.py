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
    autocorrelated,
    lag1,
    margin,
    median_interval,
    quantile,
    rounds_needed,
)
from coverage_simulation import FLOOR, Distribution, coverage, lognormal, spiky

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


def ranks(n: int, confidence: float = stats.CONFIDENCE) -> tuple[float, float]:
    interval = median_interval(range(1, n + 1), confidence)
    return interval


# median_interval


@pytest.mark.parametrize(
    ("n", "expected", "percent"),
    [
        (6, (1, 6), 96.9),
        (7, (1, 7), 98.4),
        (8, (1, 8), 99.2),
        (9, (2, 8), 96.1),
        (10, (2, 9), 97.9),
        (12, (3, 10), 96.1),
        (15, (4, 12), 96.5),
        (20, (6, 15), 95.9),
        (25, (8, 18), 95.7),
        (30, (10, 21), 95.7),
        (40, (14, 27), 96.2),
        (50, (18, 33), 96.7),
        (100, (40, 61), 96.5),
    ],
)
def test_the_interval_has_the_published_ranks_and_level(n, expected, percent):
    assert ranks(n) == expected
    assert round(100 * level(n, expected[0]), 1) == percent


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [*range(8, 60), 250, 999, 1000, 10_000])
def test_the_interval_is_the_narrowest_that_keeps_its_level(n, confidence):
    low, high = ranks(n, confidence)
    assert low + high == n + 1
    assert level(n, int(low)) >= confidence > level(n, int(low) + 1)


@pytest.mark.parametrize("n", [10_001, 10_002, 30_000])
def test_above_ten_thousand_samples_the_interval_is_at_most_one_rank_too_wide(n):
    low = int(ranks(n)[0])
    assert level(n, low) >= 0.95 > level(n, low + 2)


def test_a_level_met_exactly_is_enough():
    assert ranks(6, 0.96875) == (1, 6)
    assert median_interval(range(6), 0.96876) is None


@pytest.mark.parametrize("n", range(1, 6))
def test_fewer_than_six_samples_have_no_interval_and_no_margin(n):
    assert median_interval([1.0] * n) is None
    assert margin([1.0] * n) is None


@given(samples_of(6))
@quick
def test_the_interval_is_two_samples_around_their_median(samples):
    low, high = median_interval(samples)
    assert low in samples
    assert high in samples
    assert low <= np.median(samples) <= high


@given(samples_of(6), st.randoms(use_true_random=False))
@quick
def test_the_order_of_measuring_changes_no_interval_margin_quantile_or_plan(samples, random):
    shuffled = random.sample(samples, len(samples))
    assert median_interval(shuffled) == median_interval(samples)
    assert margin(shuffled) == margin(samples)
    assert quantile(shuffled, 0.3) == quantile(samples, 0.3)
    assert rounds_needed(shuffled[:6], 0.01, 500) == rounds_needed(sorted(shuffled[:6]), 0.01, 500)


@given(samples_of(6), st.sampled_from([0.125, 2.0, 1024.0]))
@quick
def test_another_unit_scales_the_interval_and_leaves_margin_lag_and_plan(samples, unit):
    scaled = [unit * sample for sample in samples]
    low, high = median_interval(samples)
    assert median_interval(scaled) == (unit * low, unit * high)
    assert margin(scaled) == margin(samples)
    assert lag1(scaled) == lag1(samples)
    assert rounds_needed(scaled[:6], 0.01, 500) == rounds_needed(samples[:6], 0.01, 500)


def test_the_margin_is_half_the_interval_over_the_median():
    assert margin([90, 96, 99, 101, 104, 112]) == pytest.approx(0.11)


def test_a_median_that_is_not_positive_has_no_margin():
    assert margin([-3, -2, -1, 1, 2, 3]) is None
    assert margin([-1.0] * 8) is None


# rounds_needed


def test_a_constant_pilot_needs_six_rounds():
    assert rounds_needed([2.0] * 6, 0.01, 1000) == 6
    assert rounds_needed([2.0, 2.0], 0.01, 1000) == 6


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
    planned = rounds_needed(PILOT, precision, 1000)
    assert planned == 44
    low, high = ranks(planned)
    normal = np.sort(np.random.default_rng(3).standard_normal((4000, planned)))
    half_width = np.mean(normal[:, int(high) - 1] - normal[:, int(low) - 1]) / 2
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
    assert rounds_needed(PILOT, 1e308, 1000) == 6


def test_a_huge_maximum_costs_no_time():
    assert rounds_needed(PILOT, 0.0001, 10**9) == pytest.approx(852_000, rel=0.03)


@given(samples_of(1, 6), st.floats(1e-4, 0.5), st.integers(6, 5000))
@quick
def test_a_plan_lies_between_six_and_the_maximum(pilot, precision, maximum):
    assert 6 <= rounds_needed(pilot, precision, maximum) <= maximum


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


# lag1, autocorrelated


def test_a_ramp_and_an_alternation_have_their_known_autocorrelation():
    assert lag1([1, 2, 3, 4, 5]) == pytest.approx(0.4)
    assert lag1([1, 2] * 10) == pytest.approx(-0.95)


def test_two_samples_or_equal_ones_have_no_autocorrelation():
    assert lag1([1.0, 2.0]) is None
    assert lag1([0.1] * 30) is None
    assert not autocorrelated([0.1] * 30)


@given(samples_of(3))
@quick
def test_an_autocorrelation_lies_between_minus_one_and_one(samples):
    correlation = lag1(samples)
    assert (correlation is None) == (min(samples) == max(samples))
    assert correlation is None or -1 <= correlation <= 1


def test_a_drift_is_autocorrelated_from_twenty_samples_on():
    assert not autocorrelated(range(19))
    assert autocorrelated(range(20))
    assert not autocorrelated([1, 2] * 10)


def test_the_limit_parts_weak_from_strong_autocorrelation():
    rng = np.random.default_rng(5)
    noise = rng.standard_normal(2000).tolist()
    for weight, expected in ((0.2, False), (0.4, True)):
        series = [0.0]
        for shock in noise:
            series.append(weight * series[-1] + shock)
        assert lag1(series) == pytest.approx(weight, abs=0.06)
        assert autocorrelated(series) is expected


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
        (
            lambda: median_interval([1.0], 1.0),
            "confidence is 1.0: expected a number between 0 and 1",
        ),
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


@pytest.mark.parametrize("n", [6, 20, 100])
def test_a_fixed_number_of_rounds_covers_the_median_as_often_as_the_ranks_say(n):
    trials = 2000
    expected = level(n, int(ranks(n)[0]))
    covered = coverage(lognormal(0.3), n, trials, np.random.default_rng(n)).covered
    assert covered == pytest.approx(expected, abs=4 * (expected * (1 - expected) / trials) ** 0.5)


@pytest.mark.parametrize(
    ("distribution", "precision"),
    [(lognormal(0.02), 0.01), (lognormal(0.3), 0.1), (spiky(), 0.01)],
    ids=["narrow", "skewed", "spiky"],
)
def test_rounds_planned_from_a_pilot_keep_the_level_and_mostly_the_precision(
    distribution: Distribution, precision: float
):
    result = coverage(distribution, 300, 2000, np.random.default_rng(11), precision)
    assert result.covered >= FLOOR
    assert result.precise == pytest.approx(0.8, abs=0.08)
    assert 6 < result.rounds < 300


def test_a_simulation_without_an_interval_says_so():
    with pytest.raises(ValueError, match=r"^n is 5: expected enough rounds for an interval$"):
        coverage(spiky(), 5, 1, np.random.default_rng(0))
