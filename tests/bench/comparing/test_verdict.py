"""Verdicts against known answers, and what holds for any samples."""

import math
import re
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench.comparing.verdict import (
    FASTER,
    SAME,
    SLOWER,
    UNDECIDED,
    Floor,
    decide,
    floor,
    in_turns,
    slower,
)
from support.comparisons import around

rounds = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=40)
sides = st.lists(rounds, min_size=1, max_size=4)
quiet = st.builds(
    lambda seconds, seed, count: list(around(seconds, seed, count)),
    st.floats(1e-5, 10),
    st.integers(0, 10_000),
    st.integers(12, 60),
)
few = settings(max_examples=40)
SWAPPED = {FASTER: SLOWER, SLOWER: FASTER, SAME: SAME, UNDECIDED: UNDECIDED}

TURNS = "several runs of each side, taken in turn on a quiet machine (python -m bench ab does)"


# Known answers.


@pytest.mark.parametrize(
    ("times", "word"),
    [(1.0, SAME), (1.05, SAME), (0.95, SAME), (1.15, SLOWER), (0.85, FASTER), (0.1, FASTER)],
)
def test_one_quiet_run_a_side_decides_beyond_and_within_10_percent(times: float, word: str) -> None:
    assert decide([around(1.0, 1)], [around(times, 2)]).word == word


def test_a_slower_row_says_why() -> None:
    verdict = decide([around(1.0, 1)], [around(1.3, 2)])
    assert (verdict.word, verdict.code, verdict.remedy) == (SLOWER, "beyond the floor", "")
    assert verdict.why.startswith("the whole interval 1.2")
    assert verdict.why.endswith("lies beyond the noise floor of 10 % (a side is one run)")


def test_a_row_that_stayed_the_same_says_why() -> None:
    verdict = decide([around(1.0, 1)], [around(1.0, 2)])
    assert (verdict.word, verdict.code, verdict.remedy) == (SAME, "within the floor", "")
    assert " lies within the noise floor of 10 % (a side is one run); " in verdict.why


def test_too_few_rounds_are_undecided_and_say_what_would_do() -> None:
    verdict = decide([around(1.0, 1)], [(9.0,)])
    assert (verdict.word, verdict.code) == (UNDECIDED, "too few rounds")
    assert verdict.why == "1 round, and an interval needs 6"
    assert verdict.remedy == (
        "more rounds (a longer --benchmark-max-time) or several runs of each side"
    )
    assert verdict.ratio.value == pytest.approx(9.0, rel=0.01)


def test_a_time_of_zero_is_undecided() -> None:
    verdict = decide([(0.0,) * 6], [around(1.0, 1)])
    assert (verdict.word, verdict.code, verdict.ratio) == (UNDECIDED, "no time", None)
    assert verdict.why == "a median is not above 0"


def test_an_interval_across_the_edge_says_how_many_more_rounds() -> None:
    verdict = decide([around(1.0, 1, 20, 0.1)], [around(1.15, 2, 20, 0.1)])
    assert (verdict.word, verdict.code) == (UNDECIDED, "across the floor")
    assert re.fullmatch(
        r"about \d+ more rounds on each side \(a longer --benchmark-max-time\)", verdict.remedy
    )


def test_rounds_too_few_to_show_a_correlation_want_those_that_do() -> None:
    verdict = decide([around(1.0, 1, 18, 0.1)], [around(1.15, 2, 18, 0.1)])
    assert verdict.remedy == "at least 19 rounds on each side (a longer --benchmark-max-time)"


def test_that_many_more_rounds_do_decide() -> None:
    decided = [
        decide([around(1.0, seed, 70, 0.1)], [around(1.13, 100 + seed, 70, 0.1)]).word
        for seed in range(20)
    ]
    assert set(decided) <= {SLOWER, UNDECIDED}
    assert decided.count(SLOWER) >= 10


def test_a_difference_at_the_edge_wants_repeated_runs_not_rounds() -> None:
    base = around(1.0, 1, 20, 0.2)
    verdict = decide([base], [[1.0999 * value for value in base]])
    assert (verdict.code, verdict.remedy) == ("across the floor", TURNS)


def test_a_run_that_drifted_raises_the_floor_and_is_never_the_same() -> None:
    drifting = [1.0] * 12 + [1.2] * 12
    raised = floor([around(1.0, 1)], [drifting])
    assert raised.value == pytest.approx(0.2)
    assert raised.raised
    assert raised.why == "a run drifted that far between its halves"
    verdict = decide([around(1.1, 1)], [drifting])
    assert (verdict.word, verdict.code, verdict.remedy) == (UNDECIDED, "autocorrelated", TURNS)
    assert re.fullmatch(
        r"24 autocorrelated rounds are worth [\w. ]+ independent ones?, and an interval needs 6",
        verdict.why,
    )


def busy(value: float) -> list[Floor]:
    return [Floor(value, "the machine had other work", raised=True)]


def test_a_raised_floor_leaves_only_large_differences() -> None:
    base = [around(1.0, 1)]
    verdict = decide(base, [around(1.0, 2)], busy(2.0))
    assert verdict.code == "noisy"
    assert " which is too wide to call them the same; 3 times as slow would" in verdict.why
    assert decide(base, [around(2.5, 2)], busy(2.0)).word == UNDECIDED
    assert decide(base, [around(3.5, 2)], busy(2.0)).word == SLOWER
    assert decide(base, [around(0.3, 2)], busy(2.0)).word == FASTER


def test_a_raised_floor_holds_for_several_runs_too() -> None:
    old, new = runs(1.0, 1.01, 0.99), runs(1.5, 1.51, 1.49)
    assert decide(old, new).word == SLOWER
    assert decide(old, new, busy(2.0)).word == UNDECIDED
    assert floor(old, new, busy(0.01)).why == "runs are the unit"


def test_the_widest_reason_is_the_floor() -> None:
    base, new = [around(1.0, 1)], [[1.0] * 12 + [1.2] * 12]
    assert floor(base, new, busy(0.15)).why == "a run drifted that far between its halves"
    assert floor(base, new, busy(0.4)).why == "the machine had other work"
    assert floor(base, new, busy(0.4), noise=0.5).why == "the noise of this machine on record"
    assert floor(base, base, busy(0.1)) == floor(base, base)


def test_a_side_against_itself_is_the_same_whatever_the_machine_did() -> None:
    for samples in ([1.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], around(1.0, 1)):
        verdict = decide([samples], [tuple(samples)], busy(5.0))
        assert (verdict.word, verdict.code) == (SAME, "identical")
        assert verdict.why == "the samples of both sides are the same ones"


def test_what_is_not_found_says_what_would_have_been() -> None:
    verdict = decide([around(1.0, 1)], [around(1.0, 2)])
    assert 0.10 < verdict.smallest < 0.12
    assert verdict.why.endswith("(a side is one run); 11 % slower would have shown")
    times = 1 + verdict.smallest
    found = decide([around(1.0, 1)], [[times * value * 1.0001 for value in around(1.0, 2)]])
    assert found.word == SLOWER


def test_the_noise_on_record_raises_the_floor_and_never_lowers_it() -> None:
    base, new = [around(1.0, 1)], [around(1.15, 2)]
    assert decide(base, new, noise=0.04).word == SLOWER
    lower = floor(base, new, noise=0.04)
    assert (lower.value, lower.raised) == (0.10, False)
    assert lower.why == "a side is one run; the noise of this machine on record is 4 %"
    raised = floor(base, new, noise=0.3)
    assert (raised.value, raised.raised) == (0.3, True)
    assert raised.why == "the noise of this machine on record"
    assert decide(base, new, noise=0.3).code == "noisy"
    assert floor(base * 2, new * 2, noise=0.3).value == 0.03


def test_turns_have_a_floor_of_their_own() -> None:
    assert (in_turns().value, in_turns().why) == (0.02, "measured in turns")
    assert (in_turns(0.013).value, in_turns(0.013).why) == (
        0.013,
        "in turns, this machine's on record",
    )


def runs(*seconds: float) -> list[tuple[float, ...]]:
    return [around(each, 10 + number) for number, each in enumerate(seconds)]


def test_several_runs_decide_less_than_10_percent() -> None:
    assert decide(runs(1.0, 1.01, 0.99), runs(1.07, 1.06, 1.08)).word == SLOWER
    assert decide(runs(1.0, 1.005, 0.995), runs(1.0, 0.995, 1.005)).word == SAME
    assert decide(runs(1.0), runs(1.07)).word == SAME


def test_runs_that_differ_more_than_the_sides_decide_nothing() -> None:
    verdict = decide(runs(1.0, 1.2, 0.9), runs(1.1, 0.95, 1.25))
    assert (verdict.word, verdict.code) == (UNDECIDED, "across the floor")
    assert verdict.remedy == (
        "more runs of each side, taken in turn on a quiet machine (python -m bench ab does)"
    )


def test_a_few_more_runs_are_counted() -> None:
    verdict = decide(runs(1.0, 1.02, 0.98), runs(1.07, 1.09, 1.05))
    assert verdict.word == UNDECIDED
    assert verdict.remedy == "about 2 more runs of each side"


# Whatever the samples.


@few
@given(sides, st.integers(1, 3), st.sampled_from([[], busy(2.4)]))
def test_a_side_against_itself_is_never_faster_or_slower(
    side: list[list[float]], copies: int, raised: list[Floor]
) -> None:
    assert decide(side, side * copies, raised).word in (SAME, UNDECIDED)
    assert decide(side * copies, side, raised).word in (SAME, UNDECIDED)


@few
@given(sides, sides, st.sampled_from([[], busy(2.4)]))
def test_swapping_the_sides_swaps_the_verdict(
    base: list[list[float]], new: list[list[float]], raised: list[Floor]
) -> None:
    one, other = decide(base, new, raised), decide(new, base, raised)
    if one.ratio and one.floor and one.ratio.low and one.ratio.high:
        edge = math.log1p(one.floor.value)
        ends = (math.log(one.ratio.low), math.log(one.ratio.high))
        assume(all(abs(abs(end) - edge) > 1e-9 for end in ends))
    assert other.word == SWAPPED[one.word]
    assert (one.floor, one.code) == (other.floor, other.code)


@few
@given(quiet, st.floats(1.5, 100))
def test_a_scaled_copy_is_found(base: list[float], times: float) -> None:
    scaled = [each * times for each in base]
    verdict = decide([base], [scaled])
    assert verdict.word == SLOWER
    assert decide([scaled], [base]).word == FASTER
    assert verdict.ratio.value == pytest.approx(times)


@few
@given(sides, sides)
def test_what_is_undecided_says_what_would_decide_it_and_what_is_decided_does_not(
    base: list[list[float]], new: list[list[float]]
) -> None:
    verdict = decide(base, new)
    assert verdict.why
    assert bool(verdict.remedy) == (verdict.word == UNDECIDED)


def test_the_same_code_in_ever_new_processes_is_rarely_told_apart() -> None:
    """Processes whose medians differ by a few per cent, as those of one machine do."""
    random = Random(0)
    words = []
    for trial in range(200):
        one, other = (random.gauss(1.0, 0.02) for _ in range(2))
        words.append(decide([around(one, trial)], [around(other, 1000 + trial)]).word)
    assert sum(word in (FASTER, SLOWER) for word in words) <= 4
    assert words.count(SAME) >= 150


def test_equal_rounds_decide_nothing() -> None:
    verdict = decide([[1.0] * 6], [[1.2] * 6])
    assert (verdict.word, verdict.code) == (UNDECIDED, "equal rounds")
    assert verdict.why == "all rounds of a side took the same time: its clock is too coarse"


def test_the_same_runs_in_another_order_are_the_same() -> None:
    one, other = around(1.0, 1), around(1.3, 2)
    assert decide([one, other], [other, one]).word == SAME


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.12, "12 % slower"),
        (2.5, "3.5 times as slow"),
        (102.04, "100 times as slow or more"),
    ],
)
def test_a_large_slowdown_is_said_in_times(share: float, text: str) -> None:
    assert slower(share) == text
