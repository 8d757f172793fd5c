"""What is used of pytest-benchmark's inside is still there, and does what it did."""

import os
from importlib.metadata import version
from typing import Any

import pytest

from bench.measuring import internals

without_xdist = pytest.mark.skipif(
    "PYTEST_XDIST_WORKER" in os.environ, reason="under xdist pytest-benchmark measures nothing"
)

REMEDY = "read its fixture.py, session.py and stats.py again, then raise READ_AGAINST"


@pytest.fixture
def stock(request: pytest.FixtureRequest) -> Any:
    """pytest-benchmark's fixture, unseen at collection: else these tests would leave a journal."""
    return request.getfixturevalue("benchmark")


def test_the_plugin_is_of_the_version_that_was_read() -> None:
    """Measuring goes on with any later version: only this test says that it changed."""
    assert version("pytest-benchmark") == internals.READ_AGAINST, REMEDY


@without_xdist
def test_the_samples_are_the_list_that_the_plugin_publishes(stock: Any) -> None:
    assert not internals.is_disabled(stock)
    stock.pedantic(lambda: None, rounds=3)
    samples = internals.samples(stock)
    assert len(samples) == 3
    samples[:] = [0.5, 0.25]
    assert stock.stats.as_dict(include_data=True)["stats"]["data"] == [0.5, 0.25]
    assert stock.stats.stats.median == 0.375


@without_xdist
def test_a_test_that_is_withdrawn_leaves_no_samples(stock: Any) -> None:
    stock.pedantic(lambda: None, rounds=2)
    assert not stock.has_error
    internals.withdraw(stock)
    assert internals.samples(stock) == []
    assert stock.stats.has_error


def test_a_test_without_a_round_can_be_withdrawn(stock: Any) -> None:
    internals.withdraw(stock)
    assert stock.stats is None


@without_xdist
def test_statistics_of_samples_are_those_of_the_plugin(stock: Any) -> None:
    stock.pedantic(lambda: None, rounds=4)
    samples = tuple(internals.samples(stock))
    published = stock.stats.as_dict(include_data=True)["stats"]
    assert internals.statistics(samples) | {"iterations": 1} == published
