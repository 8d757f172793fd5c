"""Autocorrelation: how many independent samples say as much of the median as a run's samples do."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bench.statistics.checks import checked

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

__all__ = ["effective", "rank_lag1", "resolution", "worth"]

FEWEST = 6
"""Fewer samples show no correlation at all."""

LIMITS = ((22, 1.28), (40, 1.5), (math.inf, 1.645))
"""Below how many samples, how many standard errors above its mean a lag-1 correlation is seen. Of
independent samples 9 %, 6 % and 4 % show one by chance: fewer samples would else miss too many."""

LEVELS = (0.25, 0.5, 0.75)
"""Quantiles whose crossings are correlated. The median's alone misses a second mode: where a third
of a run is slower, most crossings of the median are noise inside the first mode."""

FEW_CLUMPS = 1.645
"""How many standard errors below its mean a number of clumps is seen: 5 % of independent samples
show one by chance."""

FEW_CLUMPS_APART = 1.0
"""As `FEW_CLUMPS`, where two levels are apart: few independent samples have such levels at all."""

APART = 4.0
"""How many standard deviations two levels are apart."""

FEWEST_APART = 10
"""Fewer samples lie at two levels too often by chance; their interval is wide anyhow."""


def effective(samples: Sequence[float]) -> float:
    """Estimate, rather too low than too high, how many independent samples these are worth.

    All of them, unless their ranks correlate from one to the next, or the rarer of two speeds comes
    in fewer clumps than by chance: where one is rare, most ranks are noise. Then their number over
    the larger of two variance inflation factors, each with its own error added:

    - (1 + rho) / (1 - rho) of an autoregressive series, whose rho is `rank_lag1` without its bias
      (Marriott & Pope, Biometrika 41, 1954) plus its standard error;
    - 1 + 2 * the sum of the autocorrelations of being above a quantile or of the slower speed,
      summed in pairs of lags while a pair is positive (Geyer, Statistical Science 7, 1992),
      corrected for the subtracted mean (Wolff, Computer Physics Communications 156, 2004), plus two
      standard errors (Sokal 1997).

    Where the two speeds are apart, the samples are worth no more than there are stays at one.

    tests/coverage_simulation.py says what intervals based on it cover.
    """
    return _effective(tuple(samples))


@lru_cache(maxsize=16_384)
def _effective(samples: tuple[float, ...]) -> float:
    """Keep what the rows of a run are worth: intervals, caveats and reasons ask for each."""
    import numpy as np

    count = len(checked(samples))
    lag = rank_lag1(samples)
    errors = next(errors for below, errors in LIMITS if count < below)
    values = np.asarray(samples, float)
    upper = values > _parting(values)
    apart = _apart(values[upper], values[~upper])
    clumped = _clumped(upper, FEW_CLUMPS_APART if apart else FEW_CLUMPS)
    lone = apart and int(upper.sum()) == count - 1  # no spike: those are slow
    seen = lag > errors / math.sqrt(count) - 1 / count or clumped or lone
    if count < FEWEST or not seen:
        return float(count)
    rho = min(0.999, max(0.0, lag + (1 + 4 * lag) / count))
    rho = min(0.999, rho + math.sqrt((1 - rho * rho) / count))
    levels = [values > level for level in np.quantile(values, LEVELS)]
    factors = [_inflation(above) for above in (*levels, upper)]
    number = count / max((1 + rho) / (1 - rho), *factors)
    stays = 1 + int((upper[1:] != upper[:-1]).sum())
    return min(number, stays) if apart and (clumped or lone) else number


def worth(samples: Sequence[float]) -> str:
    """Return `worth 1.9 independent ones`."""
    number = effective(samples)
    return (
        f"worth {number:.1f} independent ones"
        if number >= 1
        else "worth less than one independent one"
    )


def resolution(samples: Sequence[float]) -> float:
    """Return the tick of a coarse clock: the smallest step between values, or from 0 to one.

    0 unless the samples have at most half as many values as there are samples.
    """
    import numpy as np

    values = np.unique(np.asarray(samples, float))
    if 2 * len(values) > len(samples):
        return 0.0
    steps = np.diff(values, prepend=0.0)
    steps = steps[steps > 1e-9 * values[-1]]  # a tick is rounded at each multiple
    return float(steps.min()) if len(steps) else 0.0


def rank_lag1(samples: Sequence[float]) -> float:
    """Correlate the ranks of the samples with those of their successors; 0 where all are equal.

    Ranks, so that a few slow samples do not hide it; samples of one value share a rank.
    """
    import numpy as np

    _, places, counts = np.unique(
        np.asarray(samples, float), return_inverse=True, return_counts=True
    )
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    ranks -= ranks.mean()
    squares = float(ranks @ ranks)
    return float(ranks[1:] @ ranks[:-1]) / squares if squares > 0 else 0.0


def _parting(values: "Array") -> float:
    """Return the value up to which samples are of the lower of two levels.

    Between them is most of the variance (Otsu, IEEE Trans. Systems, Man and Cybernetics 9, 1979).
    The order of the samples plays no part, so that of independent ones stays a random one.
    """
    import numpy as np

    ordered = np.sort(values)
    lower = np.arange(1, len(ordered))
    sums = np.cumsum(ordered - ordered.mean())[:-1]
    between = sums * sums / (lower * (len(ordered) - lower))
    return float(ordered[np.argmax(between)]) if len(between) else float(ordered[0])


def _apart(upper: "Array", lower: "Array") -> bool:
    """Say whether two levels lie further apart than their samples spread."""
    if not len(upper) or not len(lower) or len(upper) + len(lower) < FEWEST_APART:
        return False
    step = resolution([*upper, *lower]) / math.sqrt(12)  # two ticks of a coarse clock are no levels
    return bool(upper.mean() - lower.mean() > APART * max(upper.std(), lower.std(), step))


def _clumped(above: "np.ndarray[Any, np.dtype[np.bool_]]", errors: float) -> bool:
    """Say whether the rarer of yes and no comes in fewer clumps than by chance.

    That is by more than so many standard `errors`.

    Of independent ones the number of clumps is hypergeometric (Wald & Wolfowitz, Annals of
    Mathematical Statistics 11, 1940); half a clump is the correction for continuity.
    """
    count, rarer = len(above), int(above.sum())
    if 2 * rarer > count:
        above, rarer = ~above, count - rarer
    if rarer < 2:
        return False
    clumps = int(above[0]) + int((above[1:] & ~above[:-1]).sum())
    share = (count - rarer + 1) / count
    variance = rarer * share * (1 - share) * (count - rarer) / (count - 1)
    return clumps + 0.5 < rarer * share - errors * math.sqrt(variance)


def _inflation(above: "np.ndarray[Any, np.dtype[np.bool_]]") -> float:
    """Return the variance inflation factor of a series of yes and no, with its error added."""
    import numpy as np

    count = len(above)
    values = above - above.mean()
    if not values.any():
        return 1.0
    spectrum = np.fft.rfft(values, 2 * count)
    lags = np.fft.irfft(spectrum * spectrum.conj())[:count]
    pairs = (lags / lags[0])[: count // 2 * 2].reshape(-1, 2).sum(axis=1)
    end = int(np.argmax(pairs <= 0)) if (pairs <= 0).any() else len(pairs)
    window = max(1, 4 * end - 1) / count
    factor = max(1.0, 2 * float(pairs[:end].sum()) - 1)
    return factor * (1 + window) * (1 + 2 * math.sqrt(2 * window))
