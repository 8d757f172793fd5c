"""Sequential looks at pairs: intervals that hold together, however often one looks."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from bench.statistics import stats
from bench.statistics.ratio import WIDEST

__all__ = ["FIRST_LOOK", "Look", "intervals", "level", "looks", "needed"]

FIRST_LOOK = 4
"""Pairs before the first look: Student's interval of fewer is too wide to decide."""

GROWTH = 1.4
"""How many times as many pairs the next look has, in whole blocks of two."""


@dataclass(frozen=True)
class Look:
    """What the first `count` log-ratios say of their mean."""

    count: int
    mean: float
    low: float
    """Low end of what the intervals of all looks so far have in common."""
    high: float
    """High end; below `low` where two of the intervals exclude each other."""


def intervals(ratios: Sequence[float], final: bool = False) -> Iterator[Look]:
    """Yield each look at log-ratios, which stand in the order of measuring.

    A look is Student's interval of their mean, at that look's level. The levels add up to 5 %, so
    all intervals hold together at 95 % (Bonferroni), whatever their dependence, and so does their
    intersection. With `final` the pairs since the last look get a look of their own.
    """
    low, high = -math.inf, math.inf
    for number, count in enumerate(looks(len(ratios), final), 1):
        values = ratios[:count]
        mean, reach = fmean(values), _reach(values, number)
        low, high = max(low, mean - reach), min(high, mean + reach)
        yield Look(count, mean, low, high)


def looks(count: int, final: bool = False) -> Iterator[int]:
    """Yield the numbers of pairs at which to look: 4, 6, 10, 14, 20, … up to `count`.

    With `final` also `count` itself, from the first look on.
    """
    look, last = FIRST_LOOK, 0
    while look <= count:
        yield look
        last, look = look, 2 * math.ceil(look * GROWTH / 2)
    if final and count > last >= FIRST_LOOK:
        yield count


def needed(count: int, times: float) -> int:
    """Return at how many pairs an interval is as narrow as `times` as many values would make it.

    It counts how Student's t shrinks with the degrees of freedom, and grows with the looks.
    """
    number = len(list(looks(count)))
    wanted = _factor(count, max(number, 1)) / math.sqrt(times)
    for number, look in enumerate(looks(100 * count), 1):
        if look > count and _factor(look, number) <= wanted:
            return look
    return 100 * count


def level(number: int) -> float:
    """Return the share of wrong intervals that look `number`, counted from 1, may have.

    0.05 / (n (n + 1)): over any number of looks they add up to at most 0.05.
    """
    return (1 - stats.CONFIDENCE) / (number * (number + 1))


def _reach(values: Sequence[float], number: int) -> float:
    return min(stdev(values) * _factor(len(values), number), WIDEST)


def _factor(count: int, number: int) -> float:
    """Return half the width of look `number`, at `count` pairs, over their standard deviation."""
    return stats.student_t(count - 1, 1 - level(number)) / math.sqrt(count)
