"""Medians and their intervals, the plan of rounds, quantiles, autocorrelation, the line fit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist, fmean, linear_regression, median

__all__ = [
    "AUTOCORRELATION_LIMIT",
    "AUTOCORRELATION_MIN_SAMPLES",
    "CONFIDENCE",
    "MIN_ROUNDS",
    "Fit",
    "autocorrelated",
    "lag1",
    "linear_fit",
    "margin",
    "median_interval",
    "quantile",
    "rounds_needed",
    "student_t",
]

CONFIDENCE = 0.95
"""Level of every interval here, unless a call says otherwise."""

MIN_ROUNDS = 6
"""Fewest samples with a 95 % interval of the median: all n lie on one side with 2 / 2**n."""

AUTOCORRELATION_LIMIT = 0.3
"""Lag-1 autocorrelation above which the interval is too narrow: 95 % then covers 84 to 91 %."""

AUTOCORRELATION_MIN_SAMPLES = 20
"""Fewer samples cannot tell it from chance: the standard error is 1 / sqrt(n)."""

_EXACT_UP_TO = 10_000
"""Samples up to which ranks are computed in whole numbers (2 ms; a million takes seconds)."""


def median_interval(
    samples: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """Give two of the samples that enclose the true median with at least this confidence.

    It holds for independent samples of any continuous distribution, since the ranks are binomial
    (David & Nagaraja, Order Statistics, 3rd ed. 2003, section 7.1). None for too few samples: below
    6 at 95 %.
    """
    ordered = sorted(_checked(samples))
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}: expected a number between 0 and 1")
    rank = _lower_rank(len(ordered), confidence)
    return (ordered[rank - 1], ordered[-rank]) if rank else None


def margin(samples: Sequence[float]) -> float | None:
    """Give half the width of the median's 95 % interval, relative to it: 0.01 reads ±1 %.

    None without an interval (fewer than 6 samples) or where the median is not positive.
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

    Gives 6 to `maximum`: `maximum` for a pilot of one, which shows no spread, or without a positive
    median; 6 for a pilot whose spread is 0. Raises ValueError where `precision` is not positive or
    `maximum` is below 6.
    """
    ordered = sorted(_checked(pilot, "pilot"))
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
    if ratio == 0:
        return MIN_ROUNDS
    # The asymptotic number never exceeds the exact one (12 000 were checked): count up from it.
    asymptotic = math.pi / 2 * ratio * ratio
    start = max(MIN_ROUNDS, math.floor(min(asymptotic, maximum)))
    target = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) / ratio  # in standard deviations
    fits = (rounds for rounds in range(start, maximum) if _half_width(rounds) <= target)
    return next(fits, maximum)


def quantile(samples: Sequence[float], q: float) -> float:
    """Interpolate linearly between the two samples around a share `q` (0 to 1) of them.

    Type 7 of Hyndman & Fan (The American Statistician 50, 1996), the default of numpy.
    """
    ordered = sorted(_checked(samples))
    if not 0 <= q <= 1:
        raise ValueError(f"q is {q}: expected a number from 0 to 1")
    position = q * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def lag1(samples: Sequence[float]) -> float | None:
    """Correlate each sample with the next one, in the order of measuring: -1 to 1.

    None for fewer than three samples, or where all are equal.
    """
    values = _checked(samples)
    if len(values) < 3 or min(values) == max(values):
        return None
    centre = fmean(values)
    deviations = [value - centre for value in values]
    shared = math.fsum(a * b for a, b in pairwise(deviations))
    return shared / math.fsum(a * a for a in deviations)


def autocorrelated(samples: Sequence[float]) -> bool:
    """Say whether the samples are autocorrelated, which makes the median's interval too narrow."""
    correlation = lag1(samples)
    return (
        len(samples) >= AUTOCORRELATION_MIN_SAMPLES
        and correlation is not None
        and correlation > AUTOCORRELATION_LIMIT
    )


@dataclass(frozen=True)
class Fit:
    """The line y = fixed + per_step * x through measured points, with the errors of its terms.

    Intervals are at 95 % and assume independent normal errors of one size (Draper & Smith,
    Applied Regression Analysis, 3rd ed. 1998, chapter 1).
    """

    fixed: float
    """y at x = 0, in the unit of y."""
    per_step: float
    """What one more x adds to y."""
    fixed_error: float
    """Standard error of `fixed`."""
    per_step_error: float
    """Standard error of `per_step`."""
    residual_error: float
    """Standard deviation of a point around the line, in the unit of y."""
    max_residual: float
    """Largest distance of a point from the line, relative to its y: large where no line fits."""
    points: int
    """How many points."""
    x_mean: float
    """Mean of x."""
    x_spread: float
    """Sum of the squared distances of x from its mean."""

    @property
    def fixed_interval(self) -> tuple[float, float]:
        """Interval of `fixed`."""
        reach = self._t * self.fixed_error
        return self.fixed - reach, self.fixed + reach

    @property
    def per_step_interval(self) -> tuple[float, float]:
        """Interval of `per_step`."""
        reach = self._t * self.per_step_error
        return self.per_step - reach, self.per_step + reach

    def predict(self, x: float) -> tuple[float, float, float]:
        """Give the y expected at `x`, and the low and high end for one new measurement there."""
        value = self.fixed + self.per_step * x
        leverage = 1 / self.points + (x - self.x_mean) ** 2 / self.x_spread
        reach = self._t * self.residual_error * math.sqrt(1 + leverage)
        return value, value - reach, value + reach

    @property
    def _t(self) -> float:
        return student_t(self.points - 2)


def linear_fit(x: Sequence[float], y: Sequence[float]) -> Fit:
    """Fit y = fixed + per_step * x by least squares.

    Raises ValueError where x and y differ in length, y is not positive, or x has fewer than three
    distinct values: through two, every line fits.
    """
    xs, ys = _checked(x, "x"), _checked(y, "y")
    if len(xs) != len(ys):
        raise ValueError(f"x has {len(xs)} values and y has {len(ys)}: expected as many of each")
    if len(distinct := sorted(set(xs))) < 3:
        raise ValueError(f"x is {distinct}: expected at least 3 distinct values")
    for position, value in enumerate(ys):
        if value <= 0:
            raise ValueError(f"y[{position}] is {value}: expected a positive number")
    per_step, fixed = linear_regression(xs, ys)
    points, x_mean = len(xs), fmean(xs)
    x_spread = math.fsum((a - x_mean) ** 2 for a in xs)
    residuals = [b - fixed - per_step * a for a, b in zip(xs, ys, strict=True)]
    residual_error = math.sqrt(math.fsum(r * r for r in residuals) / (points - 2))
    return Fit(
        fixed=fixed,
        per_step=per_step,
        fixed_error=residual_error * math.sqrt(1 / points + x_mean**2 / x_spread),
        per_step_error=residual_error / math.sqrt(x_spread),
        residual_error=residual_error,
        max_residual=max(abs(r) / b for r, b in zip(residuals, ys, strict=True)),
        points=points,
        x_mean=x_mean,
        x_spread=x_spread,
    )


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


def _checked(samples: Sequence[float], name: str = "samples") -> Sequence[float]:
    if len(samples) == 0:
        raise ValueError(f"{name} is empty: expected at least one number")
    for position, value in enumerate(samples):
        if not math.isfinite(value):
            raise ValueError(f"{name}[{position}] is {value}: expected a finite number")
    return samples


@lru_cache(maxsize=4096)
def _lower_rank(count: int, confidence: float) -> int:
    """Largest k, from 1, where the k-th lowest and k-th highest enclose the median; 0 for none.

    They miss it where fewer than k of `count` fair coins fall on one side.
    """
    if count > _EXACT_UP_TO:
        # without the continuity correction: at most one rank too wide, never too narrow
        z = NormalDist().inv_cdf((1 + confidence) / 2)
        return math.floor((count - z * math.sqrt(count)) / 2)
    rank = (count + 1) // 2
    ways = math.comb(count, rank)
    enclosing = 0 if count % 2 else ways
    while rank and enclosing / (1 << count) < confidence:
        ways = ways * rank // (count - rank + 1)
        rank -= 1
        enclosing += 2 * ways
    return rank


@lru_cache(maxsize=4096)
def _half_width(count: int) -> float:
    """Half the expected width of the median's interval, for samples of a standard normal."""
    return _normal_score(count + 1 - _lower_rank(count, CONFIDENCE), count)


def _normal_score(rank: int, count: int) -> float:
    """Expected `rank`-th lowest of `count` standard normals (Blom 1958; within 0.03)."""
    return NormalDist().inv_cdf((rank - 0.375) / (count + 0.25))
