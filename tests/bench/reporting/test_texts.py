"""Digits are cut to what is known, and no text moves a cursor."""

import re
from math import floor, log10

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.reporting.texts import with_margin


@pytest.mark.parametrize(
    ("value", "margin", "shown"),
    [
        (0.0, 0.01, "0"),
        (1e-12, None, "0"),
        (213.4, None, "213"),
        (1.0, None, "1.00"),
        (0.04567, None, "0.0457"),
        (123456.0, None, "123 000"),
        (1234567.0, 0.01, "1 235 000"),
        (17.0765, 1.0, "17"),
        (17.0765, 0.1, "17.1"),
        (17.0765, 0.05, "17.08"),
        (17.0765, 0.0, "17.08"),
        (17.0765, 100.0, "20"),
        (50.31, 0.034, "50.3"),
        (999.96, 0.001, "1 000.0"),
        (9.9996, None, "10.00"),
        (-17.0765, 0.005, "-17.08"),
    ],
)
def test_digits_end_one_beyond_the_first_unsure_one(
    value: float, margin: float | None, shown: str
) -> None:
    assert with_margin(value, margin) == shown


@given(st.floats(1e-6, 1e9), st.floats(1e-6, 10.0))
def test_what_is_shown_lies_within_the_margin_or_half_of_the_fourth_digit(
    value: float, margin: float
) -> None:
    text = with_margin(value, margin)
    assert re.fullmatch(r"\d{1,3}( \d{3})*(\.\d+)?", text)
    fourth = 10.0 ** (floor(log10(value)) - 3)
    shown = float(text.replace(" ", ""))
    assert abs(shown - value) <= max(0.0501 * margin * value, 0.501 * fourth)


@given(st.floats(1e-6, 1e9), st.none() | st.floats(1e-6, 10.0))
def test_at_most_four_digits_say_something(value: float, margin: float | None) -> None:
    text = with_margin(value, margin).replace(" ", "")
    whole = len(text.partition(".")[0].lstrip("0"))
    # 9.9996 rounds up to 10.00: one more
    assert len(text.replace(".", "").lstrip("0")) <= max(5, whole)
