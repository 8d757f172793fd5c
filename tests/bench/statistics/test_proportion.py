"""Exact intervals of a share, and Fisher's exact test, against known answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics.proportion import drop_by_chance, interval


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (5, 10, 0.1871, 0.8129), (18, 20, 0.683, 0.9877)],
)
def test_the_interval_is_that_of_clopper_and_pearson(
    right: int, count: int, low: float, high: float
) -> None:
    assert interval(right, count) == pytest.approx((low, high), abs=1e-4)


def test_the_tea_tasting_lady_is_right_by_chance_once_in_seventy() -> None:
    assert drop_by_chance((4, 4), (0, 4)) == pytest.approx(1 / 70)  # Fisher 1935
    assert drop_by_chance((3, 4), (1, 4)) == pytest.approx(17 / 70)


@given(st.integers(1, 60), st.data())
def test_an_interval_holds_its_share_and_no_drop_is_nothing(
    count: int, data: st.DataObject
) -> None:
    right = data.draw(st.integers(0, count))
    low, high = interval(right, count)
    assert 0 <= low <= right / count <= high <= 1
    assert drop_by_chance((right, count), (right, count)) >= 0.5
    assert drop_by_chance((right, count), (count, count)) == pytest.approx(1)
