"""How scores read, and which engine gives them."""

import numpy as np
import pytest

from pipeline.errors import ContractError, UnavailableError
from pipeline.flux import network, scoring
from support.helpers import hide_julia

SCORES = np.float32([[0.5, -1.25, 2], [0, 3, 1]])


def test_scores_without_names_stand_in_the_order_of_the_classes() -> None:
    assert scoring.lines(["a.png", "b.png"], SCORES) == [
        "a.png: 0: +0.5000  1: -1.2500  2: +2.0000",
        "b.png: 0: +0.0000  1: +3.0000  2: +1.0000",
    ]
    assert scoring.lines(["a.png", "b.png"], SCORES, top=2) == [
        "a.png: 2: +2.0000  0: +0.5000",
        "b.png: 1: +3.0000  2: +1.0000",
    ]


def test_named_classes_have_probabilities_and_the_highest_comes_first() -> None:
    names = ("sea", "snow", "storm")
    assert scoring.lines(["a.png", "b.png"], SCORES, names) == [
        "a.png: storm 79.2%  sea 17.7%  snow 3.1%",
        "b.png: snow 84.4%  storm 11.4%  sea 4.2%",
    ]
    assert scoring.lines(["a.png"], SCORES[:1], names, 1) == ["a.png: storm 79.2%"]


def test_probabilities_add_up_however_large_the_scores() -> None:
    shares = scoring.probabilities(np.float32([[1000, 999, -1000], [0, 0, 0]]))
    assert shares.sum(axis=1).tolist() == pytest.approx([1, 1])
    assert shares[1].tolist() == pytest.approx([1 / 3] * 3)


def test_scores_that_are_not_finite_are_not_printed() -> None:
    with pytest.raises(ContractError) as refused:
        scoring.lines(["a.png"], np.float32([[0.5, np.nan]]))
    assert str(refused.value) == (
        "scores: a value that is not finite: expected finite; check the weights"
    )


def test_the_reference_scores_where_julia_is_missing_unless_flux_was_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hide_julia(monkeypatch)
    assert scoring.choose_engine("")[0] == scoring.REFERENCE
    assert scoring.choose_engine("reference")[0] == scoring.REFERENCE
    with pytest.raises(UnavailableError):
        scoring.choose_engine("flux")


@pytest.mark.parametrize("channels", [1, 3])
def test_the_weights_name_a_class_for_each_score(channels: int) -> None:
    names = network.class_names(network.weights_path(channels))
    assert len(set(names)) == network.CLASSES
    assert {"city at sunset", "storm"} < set(names)
