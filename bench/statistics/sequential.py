"""Sequential looks at pairs: an interval that keeps its level however often it is looked at."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import fmean, stdev

from bench.comparing.verdict import DECIDED, UNDECIDED, Floor, Verdict, hold
from bench.statistics import stats
from bench.statistics.bootstrap import PAIRS, WIDEST, Ratio

__all__ = ["judge", "level", "looks"]

FIRST_LOOK = 4
"""Pairs before the first look: Student's interval of fewer is too wide to decide."""

GROWTH = 1.4
"""How many times as many pairs the next look has, in whole blocks of two."""

FEWEST = 2
"""Pairs that have an interval."""


def judge(pairs: Sequence[float], limit: Floor, final: bool = False) -> Verdict:
    """Decide whether B is faster or slower than A from the pairs' log-ratios, in their order.

    At each look Student's interval of their mean, at that look's level; the levels add up to 5 %,
    so that all of them hold together with 95 % (Bonferroni), however they depend on each other, and
    so does what they have in common, which is the interval. The first look that decides is the
    last. With `final` the pairs since the last look get one of their own.
    """
    verdict = _too_few(len(pairs))
    low, high = -math.inf, math.inf
    for number, count in enumerate(looks(len(pairs), final), 1):
        values = pairs[:count]
        middle, reach = fmean(values), _reach(values, level(number))
        low, high = max(low, middle - reach), min(high, middle + reach)
        if low > high:
            return replace(
                _too_few(count),
                code="looks disagree",
                why=f"{count} pairs say what the ones before them excluded: the machine changed",
                remedy="run it again",
            )
        value = math.exp(min(max(middle, low), high))
        verdict = hold(Ratio(value, math.exp(low), math.exp(high), PAIRS, count), limit)
        if verdict.word in DECIDED:
            return verdict
    return verdict


def looks(count: int, final: bool = False) -> Iterator[int]:
    """Yield after how many pairs is looked: 4, 6, 10, 14, 20, … up to `count`.

    With `final` `count` itself too, where it is no look.
    """
    look, last = FIRST_LOOK, 0
    while look <= count:
        yield look
        last, look = look, 2 * math.ceil(look * GROWTH / 2)
    if final and count > last and count >= FEWEST:
        yield count


def level(number: int) -> float:
    """Return the share of wrong intervals that look `number`, counted from 1, may have.

    0.05 / (n (n + 1)): over any number of looks they add up to at most 0.05.
    """
    return (1 - stats.CONFIDENCE) / (number * (number + 1))


def _reach(values: Sequence[float], share: float) -> float:
    freedom = len(values) - 1
    error = stdev(values) / math.sqrt(len(values))
    return min(stats.student_t(freedom, 1 - share) * error, WIDEST)


def _too_few(count: int) -> Verdict:
    counted = f"{count} pair{'' if count == 1 else 's'}"
    return Verdict(
        UNDECIDED,
        "too few pairs",
        f"{counted}, and the first look is at {FIRST_LOOK}",
        "a longer --budget, or fewer cells (-k)",
    )
