"""JSON values become dataclasses, or the first that does not fit is named with its place."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.results.reading import LIMIT, Number, Whole, read


@dataclass(frozen=True)
class Leaf:
    count: Whole
    label: str | None = None


@dataclass(frozen=True)
class Tree:
    leaf: Leaf
    values: tuple[Number, ...] = ()
    axes: Mapping[str, str | Whole] = field(default_factory=dict)
    extra: Any = None


def test_nested_values_are_read() -> None:
    data = {"leaf": {"count": 3}, "values": [1, 2.5], "axes": {"a": 1, "b": "x"}, "extra": [None]}
    tree = read(Tree, data, "tree")
    assert tree == Tree(Leaf(3), (1.0, 2.5), {"a": 1, "b": "x"}, [None])
    assert [type(value) for value in tree.values] == [float, float]


def test_what_has_a_default_may_be_missing_and_unknown_keys_are_left_out() -> None:
    assert read(Tree, {"leaf": {"count": 0, "colour": "green"}, "roots": 5}, "tree") == Tree(
        Leaf(0)
    )


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (Tree, None, "an object at x, not null"),
        (Tree, [], "an object at x, not a list"),
        (Tree, {}, "'leaf' at x"),
        (Tree, {"leaf": {}}, "'count' at x.leaf"),
        (Tree, {"leaf": {"count": "3"}}, "a whole number from 0 at x.leaf.count, not '3'"),
        (Tree, {"leaf": {"count": 3.0}}, "a whole number from 0 at x.leaf.count, not 3.0"),
        (Tree, {"leaf": {"count": True}}, "a whole number from 0 at x.leaf.count, not True"),
        (Tree, {"leaf": {"count": -1}}, "a whole number from 0 at x.leaf.count, not -1"),
        (Leaf, {"count": 1, "label": 5}, "text or null at x.label, not 5"),
        (tuple[Number, ...], "1, 2", "a list at x, not '1, 2'"),
        (tuple[Number, ...], [1.0, None], "a number from 0 at x[1], not null"),
        (tuple[Number, ...], [1.0, float("nan")], "a number from 0 at x[1], not nan"),
        (tuple[Number, ...], [float("inf")], "a number from 0 at x[0], not inf"),
        (Mapping[str, Number], {"flop": 10**19}, None),
        (tuple[Number, ...], [10**400], f"a number from 0 at x[0], not 1{'0' * 39}"),
        (Mapping[str, str | Whole], {"a": 1.5}, "text or a whole number from 0 at x.a, not 1.5"),
        (Mapping[str, Mapping[str, Any]], {"a": {}, "b": []}, "an object at x.b, not a list"),
        (
            Mapping[str, Mapping[str, Number]],
            {"a": {"x": 1}, "b": {"x": 1, "y": -1}, "c": {"x": -1}},
            "a number from 0 at x.b.y, not -1",
        ),
        (Whole, 2**63, "a whole number from 0 at x, not 9223372036854775808"),
        (str, "y" * 99 + "\n", None),
        (Whole, "y" * 99, f"a whole number from 0 at x, not '{'y' * 39}"),
        (Whole, "\n\ud800", r"text in UTF-8 at x, not '\n\ud800'"),
        (list, {}, "a list at x, not an object"),
    ],
)
def test_the_first_value_that_does_not_fit_is_named(
    kind: Any, value: Any, message: str | None
) -> None:
    if message is None:
        assert read(kind, value, "x") == value
        return
    with pytest.raises(ValueError, match=r"^") as error:
        read(kind, value, "x")
    assert str(error.value) == message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["leaf", "values", "axes", "extra", "count", "label"]), inner
        )
    ),
    max_leaves=8,
)


@given(json_values)
def test_any_json_is_read_or_refused(value: Any) -> None:
    try:
        tree = read(Tree, value, "tree")
    except ValueError:
        return
    assert isinstance(tree.leaf, Leaf)
    assert all(0 <= each < LIMIT for each in (*tree.values, tree.leaf.count))
    json.dumps(tree.values, allow_nan=False)
