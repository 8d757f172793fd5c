"""The line y = fixed + per_step * x through medians, each weighted by its own variance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, median

from bench.statistics.checks import checked
from bench.statistics.correlation import effective
from bench.statistics.stats import CONFIDENCE, student_t

__all__ = ["BETWEEN", "Fit", "fit_line"]

BETWEEN = 0.01
"""Relative spread between cells that differ in nothing but their steps, where no noise record says
it: that of cells of one run on a quiet machine."""

FEWEST_ROUNDS = 2
"""Rounds that show a spread."""


@dataclass(frozen=True)
class Fit:
    """The line, with the variances of its two terms and what they rest on.

    A median varies by its own rounds, whose relative spread all points share, and by `between`
    (Draper & Smith, Applied Regression Analysis, 3rd ed. 1998, section 9.2). Where the points lie
    further off than both explain, the intervals are widened by the Birge ratio, the root of chi
    squared over its degrees of freedom (Birge, Physical Review 40, 1932).
    """

    fixed: float
    """y at x = 0, in the unit of y."""
    per_step: float
    """What one more x adds to y."""
    between: float
    """The relative spread between cells that was assumed."""
    max_residual: float
    """Largest distance of a point from the line, relative to its y: large where no line fits."""
    points: int
    """How many points."""
    birge: float
    """Root of chi squared over its degrees of freedom: how far the points lie off, in errors."""
    misfit: bool
    """Whether they lie further off than at 95 %: no line, or cells that differ more than said."""
    freedom: float
    """Degrees of freedom of the intervals (Satterthwaite, Biometrics Bulletin 2, 1946); 0 where no
    point has the rounds that show a spread: the intervals then have no end."""
    scale: float
    """The largest y."""
    covariance: tuple[float, float, float]
    """Variance of `fixed`, of `per_step`, and their covariance, in squares of `scale`."""
    spread: float
    """Relative standard deviation of one more median around the line."""

    @property
    def fixed_interval(self) -> tuple[float, float]:
        """Interval of `fixed` at 95 %."""
        return self._around(self.fixed, self.covariance[0])

    @property
    def per_step_interval(self) -> tuple[float, float]:
        """Interval of `per_step` at 95 %."""
        return self._around(self.per_step, self.covariance[1])

    def predict(self, x: float) -> tuple[float, float, float]:
        """Give the y expected at `x`, and the low and high end for one new median there."""
        value = self.fixed + self.per_step * x
        of_fixed, of_step, shared = self.covariance
        own = self.spread * value / self.scale
        variance = of_fixed + of_step * x * x + 2 * shared * x + own * own
        return value, *self._around(value, variance)

    def _around(self, value: float, variance: float) -> tuple[float, float]:
        if not self.freedom:
            return -math.inf, math.inf
        widened = max(1.0, self.birge)
        reach = _quantile(self.freedom) * math.sqrt(max(0.0, variance)) * widened * self.scale
        return value - reach, value + reach


def fit_line(
    x: Sequence[float], samples: Sequence[Sequence[float]], between: float = BETWEEN
) -> Fit:
    """Fit a line through the medians of `samples`, one list of times for each x.

    Raises ValueError where x and samples differ in number, a median is not positive, or x has fewer
    than three distinct values: through two, every line fits.
    """
    xs = checked(x, "x")
    if len(xs) != len(samples):
        counts = f"x has {len(xs)} values and samples has {len(samples)}"
        raise ValueError(f"{counts}: expected as many of each")
    if len(distinct := sorted(set(xs))) < 3:
        raise ValueError(f"x is {distinct}: expected at least 3 distinct values")
    ys = [median(checked(rounds, f"samples[{number}]")) for number, rounds in enumerate(samples)]
    for number, value in enumerate(ys):
        if value <= 0:
            raise ValueError(f"the median of samples[{number}] is {value}: expected above 0")
    scale = max(ys)  # squares of the shortest times would be 0
    ys = [y / scale for y in ys]
    relative, freedom = _pooled([[value / scale for value in rounds] for rounds in samples], ys)
    own = [(relative * y) ** 2 * _of_median(rounds) for y, rounds in zip(ys, samples, strict=True)]
    variances = [max(v + (between * y) ** 2, 1e-24 * y * y) for v, y in zip(own, ys, strict=True)]
    fixed, per_step, covariance = _weighted(xs, ys, variances)
    residuals = [b - fixed - per_step * a for a, b in zip(xs, ys, strict=True)]
    chi = math.fsum(r * r / v for r, v in zip(residuals, variances, strict=True))
    share = math.fsum(own) / math.fsum(variances)
    reach = freedom / share**2 if share and freedom else math.inf if freedom else 0.0
    misfit = bool(freedom) and _is_misfit(chi, len(xs) - 2, reach)
    return Fit(
        fixed=fixed * scale,
        per_step=per_step * scale,
        scale=scale,
        between=between,
        max_residual=max(abs(r) / y for r, y in zip(residuals, ys, strict=True)),
        points=len(xs),
        birge=math.sqrt(chi / (len(xs) - 2)),
        misfit=misfit,
        freedom=reach,
        covariance=covariance,
        spread=math.sqrt(fmean(v / y / y for v, y in zip(variances, ys, strict=True))),
    )


def _pooled(samples: Sequence[Sequence[float]], medians: Sequence[float]) -> tuple[float, float]:
    """Return the relative standard deviation of a round, from all points, and its freedom.

    From the quartiles where a point has 20 rounds, so that a few slow ones change little. Rounds
    that correlate spread less around their own mean, and count as many as they are worth.
    """
    squares, freedom = 0.0, 0.0
    for rounds, middle in zip(samples, medians, strict=True):
        if len(rounds) < FEWEST_ROUNDS:
            continue
        ordered = sorted(rounds)
        worth = max(effective(rounds), FEWEST_ROUNDS)
        if len(ordered) >= 20:
            quarter = len(ordered) // 4
            spread = (ordered[-1 - quarter] - ordered[quarter]) / 1.349
            own = worth * 2 / 5  # what the quartiles are worth: 37 % of the rounds
        else:
            spread = math.sqrt(math.fsum((value - fmean(ordered)) ** 2 for value in ordered))
            spread /= math.sqrt(len(ordered) * (1 - 1 / worth))
            own = worth - 1
        squares += own * (spread / middle) ** 2
        freedom += own
    return (math.sqrt(squares / freedom) if freedom else 0.0), freedom


def _of_median(rounds: Sequence[float]) -> float:
    """Return the variance of the median over that of a round (Kenney & Keeping 1962, 14.4)."""
    worth = effective(rounds)
    return math.pi / 2 / (worth + (1.32 if len(rounds) % 2 == 0 else 0.57))


def _weighted(
    xs: Sequence[float], ys: Sequence[float], variances: Sequence[float]
) -> tuple[float, float, tuple[float, float, float]]:
    weights = [1 / variance for variance in variances]
    total = math.fsum(weights)
    x_mean = math.fsum(w * x for w, x in zip(weights, xs, strict=True)) / total
    y_mean = math.fsum(w * y for w, y in zip(weights, ys, strict=True)) / total
    x_squares = math.fsum(w * (x - x_mean) ** 2 for w, x in zip(weights, xs, strict=True))
    products = (w * (x - x_mean) * (y - y_mean) for w, x, y in zip(weights, xs, ys, strict=True))
    per_step = math.fsum(products) / x_squares
    covariance = (1 / total + x_mean**2 / x_squares, 1 / x_squares, -x_mean / x_squares)
    return y_mean - per_step * x_mean, per_step, covariance


def _is_misfit(chi: float, freedom: int, of_variance: float) -> bool:
    """Say whether points that lie on a line are as far off in fewer than 5 of 100 cases: an F test.

    By the normal approximation of Paulson (Annals of Mathematical Statistics 13, 1942).
    """
    root = (chi / freedom) ** (1 / 3)
    above, below = 2 / 9 / freedom, 2 / 9 / of_variance
    deviation = (1 - below) * root - (1 - above)
    return bool(deviation > NormalDist().inv_cdf(CONFIDENCE) * math.sqrt(below * root**2 + above))


def _quantile(freedom: float) -> float:
    """Return Student's t for degrees of freedom that need not be whole."""
    if freedom > 200:
        return NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    whole = max(1, int(freedom))
    share = max(0.0, freedom - whole)
    return student_t(whole) * (1 - share) + student_t(whole + 1) * share
