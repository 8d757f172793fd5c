"""`tests/ab_experiment.py` injects its work where it counts, and reads what `ab` then prints."""

import math
from collections import Counter
from pathlib import Path

import pytest

import ab_experiment
from bench.comparing import ab
from bench.comparing.pair import measure
from bench.comparing.verdict import in_turns
from bench.reporting import compare_tables
from support.helpers import ROOT


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the experiment clones this checkout")
def test_injected_work_is_found_by_one_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ab_experiment.clone(tmp_path / "clone", [0.0, 1.0])
    monkeypatch.chdir(tmp_path / "clone")
    halves = ab.halves(tmp_path, "share-0.0", "share-1.0", ab.options(""), ab.options(""))
    pair = measure(halves, ab_experiment.CELL, 0, math.inf, tmp_path)
    comparison = ab.compared(halves, [pair] * 4, in_turns())
    word, ratio, _ = ab_experiment.answer(compare_tables.render(comparison, 400))
    assert word == "slower"
    assert 1.5 < float(ratio) < 2.5


def test_claims_are_mixed_and_counted() -> None:
    runs = ab_experiment.order()
    assert Counter(runs) == {claim: claim.runs for claim in ab_experiment.CLAIMS}
    assert set(runs[:6]) == set(ab_experiment.CLAIMS)
    equal = ab_experiment.CLAIMS[0]
    assert equal.text == "0% injected, 60 times: at most 3 faster or slower"
    assert equal.holds(Counter(faster=1, slower=2))
    assert not equal.holds(Counter(faster=2, slower=2))


def test_a_row_of_too_few_pairs_is_undecided() -> None:
    row = "decode-png-512x512-rgb  5.36  5.30    –     –  undecided"
    assert ab_experiment.answer(row) == ("undecided", "–", "–")


def test_an_answer_without_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="no row of a decode cell"):
        ab_experiment.answer("")
