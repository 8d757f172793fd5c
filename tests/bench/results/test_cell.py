"""A cell's id, and rows that survive JSON as they were."""

import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.results.cell import AGREED, FAILED, JUDGED, JULIA, STATUSES, WALL, Cell, Row
from support.results import rows

text = st.text(max_size=12)
seconds = st.floats(min_value=0, max_value=1e6)
axes = st.dictionaries(text, text | st.integers(0, 10**6), max_size=4)
cells = st.builds(
    Cell,
    family=text,
    axes=axes,
    needs=st.lists(text, max_size=2).map(tuple),
    images=st.integers(1, 64),
    steps=st.integers(0, 100),
    device=text,
    budget_factor=seconds,
    regime=axes,
    workload=st.integers(1, 9),
)
any_row = st.builds(
    Row,
    name=text,
    cell=cells,
    status=st.sampled_from(STATUSES),
    reason=text,
    remedy=text,
    samples=st.lists(seconds, max_size=5).map(tuple),
    first_call=st.none() | seconds,
    iterations=st.integers(1, 10**6),
    limited_by=text,
    weights=text,
    threads=st.none() | st.integers(1, 64),
    clock=st.sampled_from([WALL, JULIA]),
    extra=st.dictionaries(text, seconds, max_size=2),
    profiled=st.none() | seconds,
    busy=st.none() | seconds,
    stages=st.dictionaries(text, seconds, max_size=2),
    calls=st.dictionaries(text, st.integers(0, 99), max_size=2),
    fingerprint=text,
)

MINIMAL = {"name": "test[x]", "cell": {"family": "forward", "axes": {}}, "status": "failed"}


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ({}, ""),
        ({"engine": "flux", "device": "cpu", "batch": 8}, "flux-cpu-batch8"),
        ({"regime": "decode", "color": "rgb"}, "decode-rgb"),
        (
            {"model": "tiny", "device": "cpu", "dtype": "float32", "size": "64x64", "steps": 4},
            "tiny-cpu-float32-64x64-4steps",
        ),
        ({"steps": 4, "model": "tiny"}, "4steps-tiny"),
        ({"regime": "stream", "threads": 2}, "stream-threads2"),
    ],
)
def test_an_id_joins_the_axes_in_their_order(axes: dict[str, Any], expected: str) -> None:
    assert Cell("generate", axes).id == expected


def test_a_cell_has_its_size_in_pixels() -> None:
    cell = Cell("generate", {"model": "tiny", "size": "768x512"})
    assert cell.size == (768, 512)
    assert cell == Cell("generate", {"model": "tiny", "size": "768x512"})
    assert "size" not in Row("x", cell, FAILED).as_dict()["cell"]
    with pytest.raises(KeyError, match="size"):
        _ = Cell("forward", {"engine": "flux"}).size


def test_cells_and_rows_do_not_change() -> None:
    row = rows()[0]
    with pytest.raises(FrozenInstanceError):
        row.status = "failed"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        row.cell.steps = 1  # type: ignore[misc]


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.status}-{row.cell.id}")
def test_a_row_survives_json(row: Row) -> None:
    assert Row.from_dict(json.loads(json.dumps(row.as_dict()))) == row


@given(any_row)
def test_every_row_survives_json_and_memory(row: Row) -> None:
    assert Row.from_dict(row.as_dict()) == row
    again = Row.from_dict(json.loads(json.dumps(row.as_dict(), allow_nan=False)))
    assert again == row
    assert list(again.cell.axes) == list(row.cell.axes)
    assert again.cell.id == row.cell.id


def test_a_row_needs_a_name_a_cell_and_a_status() -> None:
    assert Row.from_dict(MINIMAL) == Row("test[x]", Cell("forward", {}), "failed")
    for key in MINIMAL:
        with pytest.raises(ValueError, match=f"^'{key}' at row$"):
            Row.from_dict({each: value for each, value in MINIMAL.items() if each != key})


def test_keys_that_this_version_does_not_know_are_left_out() -> None:
    later = MINIMAL | {
        "unheard_of": 0.1,
        "cell": {"family": "forward", "axes": {}, "mode": "eager"},
    }
    assert Row.from_dict(later) == Row.from_dict(MINIMAL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": None}, "a list at row.samples, not null"),
        ({"samples": [0.1, "0.2"]}, "a number from 0 at row.samples[1], not '0.2'"),
        ({"first_call": -1.0}, "a number from 0 at row.first_call, not -1.0"),
        ({"threads": 1.5}, "a whole number from 0 or null at row.threads, not 1.5"),
        ({"cell": "forward"}, "an object at row.cell, not 'forward'"),
        ({"cell": {"family": "forward"}}, "'axes' at row.cell"),
        (
            {"cell": {"family": "forward", "axes": {}, "needs": "cuda"}},
            "a list at row.cell.needs, not 'cuda'",
        ),
        (
            {"status": "ok"},
            "a status (measured, unavailable, out of memory, failed, not comparable, checked) "
            "at row, not 'ok'",
        ),
        ({"iterations": 0}, "at least one image and one call at row"),
        (
            {"cell": {"family": "forward", "axes": {}, "images": 0}},
            "at least one image and one call at row",
        ),
        *(
            ({"extra": extra}, "whole numbers, agreed_images from 0 to judged_images, at row.extra")
            for extra in (
                {AGREED: 3, JUDGED: 2},
                {AGREED: 2.5, JUDGED: 20},
                {JUDGED: 20},
                {AGREED: 20},
            )
        ),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_place(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=r"^") as error:
        Row.from_dict(MINIMAL | change)
    assert str(error.value) == message


def test_the_place_is_what_the_caller_calls_it() -> None:
    with pytest.raises(ValueError, match=r"^an object at line 7, not null$"):
        Row.from_dict(None, "line 7")
