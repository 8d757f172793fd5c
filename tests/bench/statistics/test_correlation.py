"""How many independent samples correlated ones are worth."""

from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics.correlation import effective, rank_lag1
from coverage_simulation import autoregressive, regimes, spiky


def worth(rho: float, count: int = 1000) -> float:
    """The median over some series, as a share of their samples."""
    series = autoregressive(rho)
    random = np.random.default_rng(count)
    return median(effective(series.draw(random, count).tolist()) / count for _ in range(20))


def test_ranks_that_alternate_or_are_all_equal_do_not_correlate() -> None:
    assert rank_lag1([1, 2, 3, 4, 5]) == pytest.approx(0.4)
    assert rank_lag1([1, 2] * 10) == pytest.approx(-0.95)
    assert rank_lag1([0.1] * 30) == 0
    for samples in ([1.0, 2.0] * 50, [1.0] * 100, [3.0], [1.0, 2.0, 3.0, 4.0, 5.0]):
        assert effective(samples) == len(samples)


def test_samples_of_one_value_share_a_rank() -> None:
    assert rank_lag1([1, 1, 2, 2]) == pytest.approx(0.25)


def test_independent_samples_are_all_counted() -> None:
    assert worth(0.0) == 1


@pytest.mark.parametrize(("rho", "share"), [(0.5, 0.33), (0.9, 0.053), (0.99, 0.005)])
def test_a_correlation_leaves_at_most_its_share(rho: float, share: float) -> None:
    assert 0.4 * share < worth(rho) < 1.1 * share


def test_a_drift_and_a_few_regimes_leave_a_few() -> None:
    assert effective([float(number) for number in range(1000)]) < 1
    series = regimes(6).draw(np.random.default_rng(0), 1000).tolist()
    assert effective(series) < 10


def test_a_rare_second_speed_is_seen_where_it_comes_in_few_clumps() -> None:
    noise = np.random.default_rng(1).lognormal(0, 0.01, 60)
    clumped, scattered = noise.copy(), noise.copy()
    clumped[40:44] *= 1.2
    scattered[5::15] *= 1.2
    assert rank_lag1(clumped.tolist()) < 0.1  # too little to be seen among 60
    assert effective(clumped.tolist()) < 10
    assert effective(scattered.tolist()) == 60


@pytest.mark.parametrize("count", [19, 30, 100])
@pytest.mark.parametrize("times", [1.2, 1 / 1.2])
def test_a_run_that_switches_once_between_two_speeds_is_worth_two(count: int, times: float) -> None:
    values = np.random.default_rng(count).lognormal(0, 0.02, count)
    values[:2] *= times
    assert effective(values.tolist()) <= 2


def test_one_fast_round_is_another_speed_and_one_slow_round_is_a_spike() -> None:
    noise = np.random.default_rng(3).lognormal(0, 0.02, 19)
    fast, slow = noise.copy(), noise.copy()
    fast[0] /= 1.2
    slow[0] *= 1.2
    assert effective(fast.tolist()) <= 2
    assert effective(slow.tolist()) == 19


def test_spikes_and_two_ticks_of_a_coarse_clock_are_no_speeds() -> None:
    random = np.random.default_rng(4)
    seen = sum(effective(spiky().draw(random, 30).tolist()) < 30 for _ in range(200))
    ticks = [np.round(random.normal(1.13, 0.02, 30), 1).tolist() for _ in range(200)]
    assert seen < 25
    assert sum(effective(values) < 30 for values in ticks) < 25


def test_outliers_do_not_hide_a_correlation() -> None:
    values = autoregressive(0.9).draw(np.random.default_rng(0), 1000)
    values[::50] *= 100
    assert effective(values.tolist()) < 150


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=60))
def test_the_worth_lies_between_nothing_and_all(samples: list[float]) -> None:
    assert 0 < effective(samples) <= len(samples)
    assert effective([2 * value for value in samples]) == effective(samples)
