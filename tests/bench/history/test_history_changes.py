"""Steps are found where they are, and noise, lone outliers and drift are none."""

from random import Random

import pytest

from bench.history.changes import FEWEST, change_points
from history_simulation import simulated


def series(seed: int, noise: float, kind: str = "quiet", steps: dict[int, float] | None = None,
           runs: int = 60) -> list[float]:  # fmt: skip
    return simulated(Random(seed), noise, kind, steps or {}, runs)


@pytest.mark.parametrize("kind", ["quiet", "outliers", "drift"])
def test_without_a_step_at_most_one_series_in_ten_shows_one(kind: str) -> None:
    # 20 series: the simulation says 0 to 3 %
    assert sum(bool(change_points(series(seed, 0.03, kind))) for seed in range(20)) <= 2


@pytest.mark.parametrize(("noise", "step"), [(0.01, 0.05), (0.01, -0.05), (0.03, 0.15)])
@pytest.mark.parametrize("at", [2, 10, 30, 58])
def test_a_step_of_five_standard_deviations_is_found_at_its_run(
    noise: float, step: float, at: int
) -> None:
    found = [change_points(series(seed, noise, steps={at: step})) for seed in range(10)]
    near = [any(abs(point - at) <= 2 for point in points) for points in found]
    assert sum(near) >= 8


def test_two_steps_are_two_changes() -> None:
    assert change_points(series(1, 0.01, steps={20: 0.1, 40: -0.1})) == [20, 40]


def test_a_lone_outlier_however_far_is_no_change() -> None:
    times = series(1, 0.01)
    times[30] *= 1000
    assert change_points(times) == []
    times[-1] *= 1000
    assert change_points(times) == []


@pytest.mark.parametrize("times", [[], [1.0] * (FEWEST - 1), [1.0] * 60, [1.0, 1.0005] * 30])
def test_few_or_equal_runs_show_nothing(times: list[float]) -> None:
    assert change_points(times) == []


def test_a_step_between_equal_runs_is_found() -> None:
    assert change_points([1.0] * 10 + [1.05] * 10) == [10]


def test_the_unit_does_not_matter() -> None:
    times = series(3, 0.02, steps={25: 0.2})
    assert change_points(times) == change_points([time * 1e9 for time in times]) == [25]


def test_a_machine_that_becomes_busy_shows_half_as_many_steps_of_its_noise() -> None:
    # 80 quiet runs, then 20 of fifty times their noise: by the noise of the quiet ones it was 79
    mixed = [series(seed, 0.002, runs=80) + series(seed, 0.1, runs=20) for seed in range(20)]
    assert sum(len(change_points(times)) for times in mixed) <= 45
