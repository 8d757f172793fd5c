"""Sequential looks against known answers and in simulation, seeded."""

import math
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest

from bench.comparing.verdict import FASTER, SAME, SLOWER, UNDECIDED, Floor, decide_pairs
from bench.statistics.sequential import level, looks, needed

FLOOR = Floor(0.02, "measured in turns")

TRIALS = 300


def words(times: float, spread: Callable[[Random], float], count: int = 20) -> Counter[str]:
    """What many A/Bs of `count` pairs come to, whose true ratio is `times`."""
    random = Random(7)
    true = math.log(times)
    return Counter(
        decide_pairs([true + spread(random) for _ in range(count)], FLOOR, final=True).word
        for _ in range(TRIALS)
    )


def normal(spread: float) -> Callable[[Random], float]:
    return lambda random: random.gauss(0, spread)


def heavy(spread: float) -> Callable[[Random], float]:
    """Student's t of three degrees of freedom: one pair in a hundred lies 4.5 spreads away."""

    def draw(random: Random) -> float:
        squares = sum(random.gauss(0, 1) ** 2 for _ in range(3))
        return spread * random.gauss(0, 1) / math.sqrt(squares / 3)

    return draw


SPREADS = [normal(0.005), normal(0.02), normal(0.08), heavy(0.01), heavy(0.04)]


def test_looks_grow_by_whole_blocks() -> None:
    assert list(looks(30)) == [4, 6, 10, 14, 20, 28]
    assert list(looks(3)) == []


def test_a_last_look_takes_what_is_left() -> None:
    assert list(looks(9, final=True)) == [4, 6, 9]
    assert list(looks(10, final=True)) == [4, 6, 10]
    assert list(looks(3, final=True)) == []


def test_more_pairs_shrink_an_interval_faster_than_their_square_root() -> None:
    # 4 pairs: t of 3 degrees of freedom at 2.5 % is 4.18 over 2; at 6 pairs it is 4.22 over 2.45,
    # for the second look has a level of 0.83 %; at 10, 4.02 over 3.16.
    assert needed(4, 1.0) == 6
    assert needed(4, 2.0) == 10
    assert needed(4, 4.0) == 14
    assert needed(10, 1e9) == 1000


def test_the_levels_of_all_looks_add_up_to_5_percent() -> None:
    shares = [level(number) for number in range(1, 1000)]
    assert shares[:2] == pytest.approx([0.025, 0.05 / 6])
    assert 0.0499 < sum(shares) <= 0.05


@pytest.mark.parametrize("spread", SPREADS)
def test_equal_sides_are_told_apart_in_less_than_5_percent(
    spread: Callable[[Random], float],
) -> None:
    result = words(1.0, spread)
    assert result[SLOWER] + result[FASTER] <= 0.02 * TRIALS


@pytest.mark.parametrize("spread", SPREADS)
def test_a_ratio_on_the_floor_is_decided_in_less_than_5_percent(
    spread: Callable[[Random], float],
) -> None:
    result = words(1.02, spread)
    assert result[SLOWER] + result[FASTER] + result[SAME] <= 0.05 * TRIALS


@pytest.mark.parametrize("spread", SPREADS)
def test_3_percent_are_the_same_in_less_than_5_percent(
    spread: Callable[[Random], float],
) -> None:
    assert words(1.03, spread)[SAME] <= 0.05 * TRIALS


@pytest.mark.parametrize(("times", "word"), [(1.1, SLOWER), (1 / 1.1, FASTER)])
def test_10_percent_are_found_where_pairs_spread_by_2(times: float, word: str) -> None:
    assert words(times, normal(0.02))[word] >= 0.99 * TRIALS


def test_equal_sides_are_the_same_where_pairs_spread_by_1_percent() -> None:
    assert words(1.0, normal(0.01))[SAME] >= 0.95 * TRIALS


def test_the_first_look_that_decides_is_the_last() -> None:
    first = [0.100, 0.101, 0.099, 0.100]
    early = decide_pairs(first, FLOOR)
    assert (early.word, early.ratio and early.ratio.count) == (SLOWER, 4)
    assert decide_pairs([*first, *[0.0] * 16], FLOOR, final=True) == early


def test_an_interval_never_widens() -> None:
    random = Random(3)
    values = [random.gauss(0.02, 0.01) for _ in range(28)]
    result = [decide_pairs(values[:count], FLOOR).ratio for count in looks(28)]
    ends = [(ratio.low, ratio.high) for ratio in result if ratio and ratio.low and ratio.high]
    assert len(ends) == 6
    assert all(one[0] <= two[0] and two[1] <= one[1] for one, two in pairwise(ends))


def test_pairs_that_contradict_the_earlier_ones_decide_nothing() -> None:
    earlier = [0.0198, 0.0201, 0.0195, 0.0198]
    result = decide_pairs([*earlier, *[0.5, 0.51, 0.49] * 40], FLOOR)
    assert (result.word, result.code) == (UNDECIDED, "looks disagree")
    assert result.remedy == "run it again"


@pytest.mark.parametrize(("count", "counted"), [(0, "0 pairs"), (1, "1 pair"), (3, "3 pairs")])
def test_too_few_pairs_say_so(count: int, counted: str) -> None:
    result = decide_pairs([0.5] * count, FLOOR)
    assert (result.word, result.code) == (UNDECIDED, "too few pairs")
    assert result.why == f"{counted}, and the first look is at 4"
    assert result.remedy == "a longer --budget, or fewer cells (-k)"


def test_an_undecided_row_says_how_many_more_pairs() -> None:
    result = decide_pairs([0.04, 0.01, 0.03, 0.02], FLOOR)
    assert (result.word, result.code) == (UNDECIDED, "across the floor")
    assert result.remedy.startswith("about ") or "further from the noise floor" in result.remedy


def test_swapping_the_sides_swaps_the_verdict() -> None:
    values = [0.10, 0.11, 0.09, 0.10]
    one, other = decide_pairs(values, FLOOR), decide_pairs([-value for value in values], FLOOR)
    assert (one.word, other.word) == (SLOWER, FASTER)
    assert one.ratio.value == pytest.approx(1 / other.ratio.value)
    assert one.ratio.low == pytest.approx(1 / (other.ratio.high or 0))
