"""The ratio of two medians and its interval: from the rounds of one run a side, or from runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from bench.statistics import stats

if TYPE_CHECKING:
    import numpy as np

__all__ = ["PAIRS", "ROUNDS", "RUNS", "WIDEST", "Ratio", "Runs", "independent", "middle", "ratio"]

Runs = Sequence[Sequence[float]]
"""One side: the samples of each of its runs, in the order of measuring."""

ROUNDS, RUNS, PAIRS = "rounds", "runs", "pairs"

DRAWS = 2_000
"""Resamples of each of the two pairings below. The interval's ends then lie within 3 % of its width
of where 64 000 resamples put them (120 pairs of runs; half of them within 1 %)."""

WIDEST = 300.0
"""Half the width of an interval that says nothing, in logarithms: its exponential is finite."""


@dataclass(frozen=True)
class Ratio:
    """How many times as long the second side takes: over 1 is slower."""

    value: float
    """The second side's median over the first's."""
    low: float | None
    """Low end of the 95 % interval; None where there are too few samples for one."""
    high: float | None
    """High end."""
    unit: str
    """What the interval rests on: `rounds` of one run a side, `runs`, or `pairs` of processes."""
    count: int
    """How many of them the smaller side has."""

    @property
    def margin(self) -> float | None:
        """Return half the interval's width, relative; None without an interval."""
        if self.low is None or self.high is None:
            return None
        return (self.high - self.low) / 2 / self.value


def ratio(base: Runs, new: Runs) -> Ratio | None:
    """Compare the times of two sides; None where a median is not positive.

    - One run a side: a bootstrap of both medians. It cannot see how far one process lies from the
      next; the noise floor of `bench.comparing.verdict` stands for that.
    - Several runs: samples inside one process are not independent, so a run counts as one number,
      its median. Student's interval of the difference of the mean logarithms, with one spread for
      both sides (at least two runs on one side; three on each give four degrees of freedom).

    Swapping the sides inverts the ratio and its interval.
    """
    if any(median(samples) <= 0 for samples in (*base, *new)):
        return None
    value = middle(new) / middle(base)
    if len(base) + len(new) > 2:
        reach = _reach_of_runs(base, new)
        count = min(len(base), len(new))
        return Ratio(value, value / math.exp(reach), value * math.exp(reach), RUNS, count)
    count = min(len(base[0]), len(new[0]))
    if count < stats.MIN_ROUNDS:
        return Ratio(value, None, None, ROUNDS, count)
    low, high = _bootstrap(base[0], new[0])
    return Ratio(value, min(low, value), max(high, value), ROUNDS, count)


def middle(runs: Runs) -> float:
    """Return a side's time: the median of its run, of several the geometric mean of theirs."""
    if len(runs) == 1:
        return median(runs[0])
    return math.exp(fmean(map(math.log, map(median, runs))))


def independent(samples: Sequence[float]) -> float:
    """Estimate how many independent samples say as much of the median as these.

    The median depends only on the side of it that a sample falls on, so the autocorrelations of
    these signs count: n / (1 + 2 * their sum), summed in pairs of lags while a pair is positive
    (Geyer, Statistical Science 7, 1992). A slow drift leaves a few. All samples count below 20,
    which cannot tell a correlation from chance.
    """
    import numpy as np

    count = len(samples)
    values = np.asarray(samples, float)
    signs = np.sign(values - np.median(values))
    total = float(signs @ signs)
    if count < stats.AUTOCORRELATION_MIN_SAMPLES or total == 0:
        return float(count)
    lags = np.correlate(signs, signs, "full")[count - 1 :] / total
    pairs = lags[: count // 2 * 2].reshape(-1, 2).sum(axis=1)
    ending = int(np.argmax(pairs <= 0)) if (pairs <= 0).any() else len(pairs)
    return count / max(1.0, 2 * float(pairs[:ending].sum()) - 1)


def _reach_of_runs(base: Runs, new: Runs) -> float:
    """Half the width of the interval of the difference of the mean logarithms."""
    logs = [[math.log(median(samples)) for samples in side] for side in (base, new)]
    freedom = len(base) + len(new) - 2
    squares = math.fsum((value - fmean(side)) ** 2 for side in logs for value in side)
    error = math.sqrt(squares / freedom * (1 / len(base) + 1 / len(new)))
    return min(stats.student_t(freedom) * error, WIDEST)


def _bootstrap(base: Sequence[float], new: Sequence[float]) -> tuple[float, float]:
    """Return both ends of the bootstrap interval of the ratio.

    Each stream of random numbers serves each side once, so that swapping sides inverts the result.
    """
    import numpy as np

    pairings = [_medians(new, 1) - _medians(base, 2), _medians(new, 2) - _medians(base, 1)]
    tail = (1 - stats.CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(pairings), [tail, 1 - tail])
    return math.exp(low), math.exp(high)


def _medians(samples: Sequence[float], stream: int) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Draw the logarithms of resampled medians, the same ones for the same stream.

    The median of a resample is one of the samples, and its rank follows a beta distribution (Maritz
    & Jarrett, JASA 73, 1978): ranks are drawn directly, as of the independent number of samples.
    """
    import numpy as np

    half = (independent(samples) + 1) / 2
    places = np.random.default_rng(stream).beta(half, half, DRAWS)
    ranks = np.arange(1, len(samples) + 1) / (len(samples) + 1)
    medians = np.interp(places, ranks, np.sort(np.asarray(samples, float)))
    return np.asarray(np.log(np.maximum(medians, np.finfo(float).tiny)))
