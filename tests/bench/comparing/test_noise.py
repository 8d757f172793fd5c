"""The noise of a machine: what is found in pairs, what is kept, and where it counts."""

import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bench.comparing import noise
from bench.comparing.noise import FOLDER, Noise, Rate, by_cell, keep, known, overall
from bench.comparing.pair import Pair
from bench.comparing.verdict import in_turns
from pipeline.errors import PipelineError
from support.comparisons import LAPTOP, around, run, sampled

HARDWARE = LAPTOP["hardware"]


def pairs(count: int, spread: float, bias: float = 1.0, runs: float = 0.05) -> list[Pair]:
    """Pairs whose processes lie `runs` apart from one to the next, and their turns `spread`."""
    random = Random(1)
    made = []
    for number in range(count):
        level = random.lognormvariate(0, runs)
        sides = tuple(
            run([sampled("one", around(level * random.lognormvariate(0, 0.01), number))])
            for _ in range(2)
        )
        ratio = random.lognormvariate(0, spread) * bias
        made.append(Pair(sides, {sides[0].rows[0].name: (((1.0,),), ((ratio,),))}))
    return made


def test_a_quiet_cell_says_how_far_runs_and_pairs_are_apart() -> None:
    (cell,) = by_cell(pairs(20, 0.005))
    assert cell.cell.id == "one"
    assert len(cell.apart) == 40 * 39 / 2
    assert cell.spread == pytest.approx(0.005, rel=0.4)
    assert cell.low < 0 < cell.high < 0.005


def test_one_pair_is_no_spread() -> None:
    assert by_cell(pairs(1, 0.005)) == []


def test_the_floor_of_runs_is_what_95_of_100_pairings_stay_below() -> None:
    made = pairs(40, 0.005, runs=0.05)
    record = overall(by_cell(made), made)
    assert 0.10 < record.runs_apart < 0.18  # 1.96 times the root of 2, times 5 %
    assert record.pairs == 40
    assert record.hardware == HARDWARE


def floor_of_turns(count: int, spread: float, bias: float = 1.0) -> float:
    made = pairs(count, spread, bias)
    return overall(by_cell(made), made).in_turns


def test_a_quiet_machine_lowers_the_floor_of_turns_to_1_percent_at_most() -> None:
    assert floor_of_turns(20, 0.001) == 0.01
    assert 0.01 < floor_of_turns(10, 0.015) < 0.02


def test_pairs_that_spread_widely_leave_the_default() -> None:
    assert floor_of_turns(12, 0.2) == 0.02


def test_sides_that_are_not_treated_alike_raise_it() -> None:
    assert 0.05 < floor_of_turns(20, 0.005, bias=1.05) < 0.06


def test_wrong_verdicts_are_counted() -> None:
    made = pairs(8, 0.005, runs=0.0)
    assert noise.wrong_of_runs(made) == Rate(0, 15)
    assert noise.wrong_of_pairs(made, in_turns()) == Rate(0, 2)
    biased = pairs(8, 0.005, bias=1.2)
    assert noise.wrong_of_pairs(biased, in_turns()) == Rate(2, 2)


def test_runs_that_lie_far_apart_are_wrong_verdicts_of_one_run_a_side() -> None:
    record = noise.wrong_of_runs(pairs(10, 0.005, runs=0.5))
    assert record.count == 19
    assert record.wrong >= 5


@pytest.mark.parametrize(
    ("rate", "text"), [(Rate(2, 57), "2 of 57 (3.5 %)"), (Rate(0, 0), "0 of 0")]
)
def test_a_rate_reads(rate: Rate, text: str) -> None:
    assert str(rate) == text


KEPT = Noise(HARDWARE, "2026-11-22T18:00:00+00:00", 12, 0.14, 0.013)


def test_what_is_kept_is_found_from_below_in_its_checkout(tmp_path: Path) -> None:
    path = keep(KEPT, tmp_path)
    assert path == tmp_path / FOLDER / "amd-epyc-9354-2cores.json"
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert known(HARDWARE, below) is None  # of no checkout
    (tmp_path / ".git").mkdir()
    assert known(HARDWARE, below) == KEPT
    (tmp_path / "a" / ".git").mkdir()
    assert known(HARDWARE, below) is None  # of a checkout of its own


def test_a_machine_of_the_same_name_is_not_the_same_machine(tmp_path: Path) -> None:
    keep(KEPT, tmp_path)
    assert known(HARDWARE | {"ram_gib": 32}, tmp_path) is None
    assert known(HARDWARE | {"cpu": "another"}, tmp_path) is None


def test_a_machine_without_a_record_has_none(tmp_path: Path) -> None:
    assert known({}, tmp_path) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "(Expecting property name"),
        ("[]", "(an object at noise, not a list)"),
        ('{"hardware": {}}', "('begun' at noise)"),
        (json.dumps(vars(KEPT) | {"in_turns": -1}), "(a number from 0 at noise.in_turns, not -1)"),
        (json.dumps(vars(KEPT) | {"in_turns": 9}), "(0.01 to 1 at noise.in_turns, not 9)"),
        (json.dumps(vars(KEPT) | {"in_turns": 0}), "(0.01 to 1 at noise.in_turns, not 0)"),
        (json.dumps(vars(KEPT) | {"runs_apart": 5}), "(0 to 4 at noise.runs_apart, not 5)"),
        (json.dumps(vars(KEPT) | {"pairs": 2}), "(10 to inf at noise.pairs, not 2)"),
    ],
)
def test_a_file_that_is_no_record_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    keep(KEPT, tmp_path).write_text(text)
    with pytest.raises(PipelineError) as error:
        known(HARDWARE, tmp_path)
    line = str(error.value)
    assert "amd-epyc-9354-2cores.json: expected a record of python -m bench noise " in line
    assert message in line
    assert line.endswith("; remove it")


def test_a_record_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    keep(KEPT, tmp_path)
    keep(replace(KEPT, pairs=30), tmp_path)
    record: Any = known(HARDWARE, tmp_path)
    assert record.pairs == 30
