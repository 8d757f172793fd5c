"""The ratio of two medians and its interval: from the rounds of one run a side, or from runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.statistics import stats
from bench.statistics.stats import median_of

__all__ = ["PAIRS", "ROUNDS", "RUNS", "WIDEST", "Ratio", "Runs", "middle", "ratio"]

Runs = Sequence[Sequence[float]]
"""One side: the samples of each of its runs, in the order of measuring."""

ROUNDS, RUNS, PAIRS = "rounds", "runs", "pairs"

WIDEST = 300.0
"""Half the width of an interval that says nothing, in logarithms: its exponential is finite."""


@dataclass(frozen=True)
class Ratio:
    """How many times as long the second side takes: over 1 is slower."""

    value: float
    """The second side's median over the first's."""
    low: float | None
    """Low end of the 95 % interval; None where a side has none."""
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

    - One run a side: from the intervals of both medians, which add as independent errors do, in
      logarithms (Zou & Donner, Statistics in Medicine 27, 2008). They cannot see how far a process
      lies from the next; the noise floor of `bench.comparing.verdict` stands for that.
    - Several runs: samples inside one process are not independent, so a run counts as one number,
      its median. Student's interval of the difference of the mean logarithms, with one spread for
      both sides (at least two runs on one side; three on each give four degrees of freedom).

    Swapping the sides inverts the ratio and its interval.
    """
    if any(median_of(samples) <= 0 for samples in (*base, *new)):
        return None
    value = middle(new) / middle(base)
    if len(base) + len(new) > 2:
        reach = _reach_of_runs(base, new)
        count = min(len(base), len(new))
        return Ratio(value, value / math.exp(reach), value * math.exp(reach), RUNS, count)
    count = min(len(base[0]), len(new[0]))
    base_reach, new_reach = _reaches(base[0]), _reaches(new[0])
    if base_reach is None or new_reach is None:
        return Ratio(value, None, None, ROUNDS, count)
    (base_down, base_up), (new_down, new_up) = base_reach, new_reach
    down, up = math.hypot(new_down, base_up), math.hypot(new_up, base_down)
    return Ratio(value, value / math.exp(down), value * math.exp(up), ROUNDS, count)


def middle(runs: Runs) -> float:
    """Return a side's time: the median of its run, of several the geometric mean of theirs."""
    if len(runs) == 1:
        return median_of(runs[0])
    return math.exp(fmean(map(math.log, map(median_of, runs))))


def _reaches(samples: Sequence[float]) -> tuple[float, float] | None:
    """Return how far the median's interval reaches down and up, in logarithms.

    None where there is none, and where equal samples do not show how coarse their clock is.
    """
    interval = stats.median_interval(samples)
    if interval is None or interval[0] == interval[1]:
        return None
    centre = median_of(samples)
    low, high = interval
    down = math.log(centre / low) if low > 0 else WIDEST
    return min(down, WIDEST), min(math.log(high / centre), WIDEST)


def _reach_of_runs(base: Runs, new: Runs) -> float:
    """Return half the width of the interval of the difference of the mean logarithms."""
    logs = [[math.log(median_of(samples)) for samples in side] for side in (base, new)]
    freedom = len(base) + len(new) - 2
    squares = math.fsum((value - fmean(side)) ** 2 for side in logs for value in side)
    error = math.sqrt(squares / freedom * (1 / len(base) + 1 / len(new)))
    return min(stats.student_t(freedom) * error, WIDEST)
