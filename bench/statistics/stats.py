"""Medians and their intervals, the plan of rounds, quantiles, autocorrelation."""

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist, median

from bench.statistics.checks import checked
from bench.statistics.correlation import effective, resolution, worth

__all__ = [
    "CONFIDENCE",
    "MIN_ROUNDS",
    "SEEN",
    "autocorrelated",
    "margin",
    "median_interval",
    "median_of",
    "quantile",
    "rounds_needed",
    "student_t",
    "why_no_interval",
]

CONFIDENCE = 0.95
"""Level of every interval here, unless a call says otherwise."""

MIN_ROUNDS = 6
"""Fewest samples with a 95 % interval of the median: all n lie on one side with 2 / 2**n."""

SEEN = 19
"""Samples from which on an autocorrelation that matters shows."""

UNSEEN = {6: 16.4, 7: 13.2, 8: 11.0, 9: 15.2, 10: 11.8, 11: 10.1, 12: 11.6, 13: 8.1, 14: 6.4}
UNSEEN |= {15: 4.5, 16: 2.3, 17: 1.4, 18: 1.15}
"""By the number of samples: how many times as wide the interval is as that of independent samples.

So that it covers 94 % where each sample correlates with the one before by up to 0.99 and too few
samples show it (tests/coverage_simulation.py)."""

_EXACT_UP_TO = 10_000
"""Samples up to which ranks are computed in whole numbers (2 ms; a million takes seconds)."""


def median_of(samples: Sequence[float]) -> float:
    """Return the median; kept for some cells, since a comparison asks for each many times."""
    return _median(tuple(samples))


@lru_cache(maxsize=256)
def _median(samples: tuple[float, ...]) -> float:
    return median(_ordered(samples))


@lru_cache(maxsize=8)
def _ordered(samples: tuple[float, ...]) -> list[float]:
    return sorted(samples)


def median_interval(samples: Sequence[float]) -> tuple[float, float] | None:
    """Give the ends of an interval that holds the true median with 95 % confidence.

    Two of the samples, whose ranks are binomial for independent samples of any distribution (David
    & Nagaraja, Order Statistics, 3rd ed. 2003, section 7.1). Where the samples are autocorrelated,
    the ranks of as many as `bench.statistics.correlation` says that they are worth. Below 19
    samples, which do not show it, the interval is widened by `UNSEEN`.

    A coarse clock gives many samples the same value, which is off by up to half a tick: half the
    smallest step between two values, or from 0 to one, is added at both ends.

    None below 6 samples, and where they are worth fewer than 6: `why_no_interval` says which. Of
    equal samples, which do not show the tick, it has no width, and no ratio rests on it.
    """
    return _interval(tuple(samples))


@lru_cache(maxsize=16_384)
def _interval(samples: tuple[float, ...]) -> tuple[float, float] | None:
    """Keep the intervals of a run: a table, its charts and a comparison ask for each again."""
    count = len(checked(samples))
    size = effective(samples)
    if size < MIN_ROUNDS:
        return None
    whole = int(size)
    rank = _lower_rank(whole)
    if whole < count:
        rank = max(1, rank * (count + 1) // (whole + 1))
    ordered = _ordered(samples)
    low, centre, high = ordered[rank - 1], median(ordered), ordered[-rank]
    if ordered[0] == ordered[-1]:
        return low, high
    half_tick = resolution(samples) / 2
    times = UNSEEN.get(count, 1.0)
    if times > 1:
        high = centre + times * (high - centre)
        if low > 0:  # a time stays above 0
            low = 1 / (1 / centre + times * (1 / low - 1 / centre))
        else:
            low = centre - times * (centre - low)
    return (max(low - half_tick, low / 2) if low > 0 else low - half_tick), high + half_tick


def why_no_interval(samples: Sequence[float]) -> str:
    """Say why `median_interval` gives none; an empty text where it gives one."""
    count = len(samples)
    if count < MIN_ROUNDS:
        return f"an interval needs {MIN_ROUNDS} rounds"
    if effective(samples) < MIN_ROUNDS:
        return (
            f"{count} autocorrelated rounds are {worth(samples)}, "
            f"and an interval needs {MIN_ROUNDS}"
        )
    return ""


def autocorrelated(samples: Sequence[float]) -> bool:
    """Say whether the samples show an autocorrelation, for which the interval is widened."""
    return effective(samples) < len(samples)


def margin(samples: Sequence[float]) -> float | None:
    """Give half the width of the median's 95 % interval, relative to it: 0.01 reads ±1 %.

    None without an interval, or where the median is not positive.
    """
    interval = median_interval(samples)
    middle = median(samples)
    if interval is None or middle <= 0:
        return None
    return (interval[1] - interval[0]) / 2 / middle


def rounds_needed(pilot: Sequence[float], precision: float, maximum: int) -> int:
    """Plan, once, how many rounds should bring `margin` to at most `precision`.

    - Spread: the range, from five samples on without the lowest and the highest (so that one slow
      call in a pilot of six changes little), over the range that a standard normal would show.
    - Correction: a small pilot mostly shows less than the true spread, so the spread is multiplied
      by t / z as in Stein's two-stage procedure (Ann. Math. Stat. 16, 1945), with the degrees of
      freedom left after trimming (Tukey & McLaughlin, Sankhya A 25, 1963): by 1.6 for six.
      About four plans in five then reach the precision (tests/coverage_simulation.py); without
      the correction, half of them do.
    - Rounds: the fewest whose ranks are expected to lie that close. The asymptotic
      1.2533 sigma / sqrt(n) is too few: where it plans 20 to 30, 9 to 25 % more are needed.

    Gives 19 (which show an autocorrelation) to `maximum`: `maximum` for a pilot of one, which shows
    no spread, or without a positive median; 19 for a pilot whose spread is 0. Raises ValueError
    where `precision` is not positive or `maximum` is below 6.
    """
    ordered = sorted(checked(pilot, "pilot"))
    if not precision > 0:
        raise ValueError(f"precision is {precision}: expected a positive number")
    if maximum < MIN_ROUNDS:
        raise ValueError(f"maximum is {maximum}: expected at least {MIN_ROUNDS} rounds")
    count, middle = len(ordered), median(ordered)
    if count == 1 or middle <= 0:
        return maximum
    trimmed = 1 if count >= 5 else 0
    spread = ordered[-1 - trimmed] - ordered[trimmed]
    sigma = spread / (2 * _normal_score(count - trimmed, count))
    ratio = sigma * student_t(count - 1 - 2 * trimmed) / middle / precision
    least = min(SEEN, maximum)
    if ratio == 0:
        return least
    # The asymptotic number never exceeds the exact one (12 000 were checked): count up from it.
    asymptotic = math.pi / 2 * ratio * ratio
    start = max(least, math.floor(min(asymptotic, maximum)))
    target = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) / ratio  # in standard deviations
    fits = (rounds for rounds in range(start, maximum) if _half_width(rounds) <= target)
    return next(fits, maximum)


def quantile(samples: Sequence[float], q: float) -> float:
    """Interpolate linearly between the two samples around a share `q` (0 to 1) of them.

    Type 7 of Hyndman & Fan (The American Statistician 50, 1996), the default of numpy.
    """
    ordered = sorted(checked(samples))
    if not 0 <= q <= 1:
        raise ValueError(f"q is {q}: expected a number from 0 to 1")
    position = q * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


@lru_cache(maxsize=256)
def student_t(freedom: int, confidence: float = CONFIDENCE) -> float:
    """Two-sided quantile of Student's t, by bisection on the angle atan(t / sqrt(freedom)).

    The finite sums are Abramowitz & Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    odd = freedom % 2

    def within(angle: float) -> float:
        term, total = math.cos(angle) if odd else 1.0, 0.0
        for power in range(odd, freedom - 1, 2):
            total += term
            term *= (power + 1) / (power + 2) * math.cos(angle) ** 2
        share = math.sin(angle) * total
        return 2 / math.pi * (angle + share) if odd else share

    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle) < confidence else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


@lru_cache(maxsize=4096)
def _lower_rank(count: int) -> int:
    """Largest k, from 1, where the k-th lowest and k-th highest enclose the median at 95 %; or 0.

    They miss it where fewer than k of `count` fair coins fall on one side.
    """
    if count > _EXACT_UP_TO:
        # without the continuity correction: at most one rank too wide, never too narrow
        z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
        return math.floor((count - z * math.sqrt(count)) / 2)
    rank = (count + 1) // 2
    ways = math.comb(count, rank)
    enclosing = 0 if count % 2 else ways
    while rank and enclosing / (1 << count) < CONFIDENCE:
        ways = ways * rank // (count - rank + 1)
        rank -= 1
        enclosing += 2 * ways
    return rank


@lru_cache(maxsize=4096)
def _half_width(count: int) -> float:
    """Half the expected width of the median's interval, for samples of a standard normal."""
    return _normal_score(count + 1 - _lower_rank(count), count)


def _normal_score(rank: int, count: int) -> float:
    """Expected `rank`-th lowest of `count` standard normals (Blom 1958; within 0.03)."""
    return NormalDist().inv_cdf((rank - 0.375) / (count + 0.25))
