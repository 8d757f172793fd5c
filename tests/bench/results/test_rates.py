"""The reference workload's rates, as a run has recorded them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.results import rates


def test_the_ceiling_of_a_fraction_is_the_rate_at_the_start() -> None:
    records = {"workload": {"start": {"matrix_cuda_float16_flop_per_s": 6.61e14}, "end": {}}}
    assert rates.matrix_rate(records, "cuda", "float16") == 6.61e14
    assert rates.matrix_rate(records, "cuda", "float32") is None
    assert rates.matrix_rate({}, "cuda", "float16") is None


@given(st.floats(1e-3, 1e18), st.floats(0.5, 2))
def test_a_change_is_changes_from_five_percent_on(rate: float, ratio: float) -> None:
    changes = rates.drifts({"a": rate, "b": 0.0, "c": 1.0}, {"a": rate * ratio, "b": 1.0})
    assert list(changes) == (["a"] if abs(rate * ratio / rate - 1) > 0.05 else [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "an object at workload, not a list"),
        ({"start": 1}, "an object at workload.start, not 1"),
        ({"start": {"a": "b"}}, "a number from 0 at workload.start.a, not 'b'"),
        ({"start": {"a": float("nan")}}, "a number from 0 at workload.start.a, not nan"),
    ],
)
def test_rates_that_are_none_are_refused(content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        rates.start_and_end({"workload": content})
