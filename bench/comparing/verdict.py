"""The verdict: faster, slower, same or undecided, each with a reason and what would decide it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from bench.results.units import percent
from bench.statistics import sequential, stats
from bench.statistics.ratio import PAIRS, ROUNDS, RUNS, Ratio, Runs
from bench.statistics.ratio import ratio as ratio_of
from pipeline.errors import counted

__all__ = [
    "DECIDED",
    "FASTER",
    "SAME",
    "SLOWER",
    "UNDECIDED",
    "WORSE",
    "Floor",
    "Verdict",
    "decide",
    "decide_pairs",
    "floor",
    "hold",
    "in_turns",
    "slower",
]

FASTER, SLOWER, SAME, UNDECIDED = "faster", "slower", "same", "undecided"
WORSE = "worse pictures"
"""Whatever its time: fewer pictures agree with their prompt than chance explains."""
DECIDED = (FASTER, SLOWER, SAME)

ONE_RUN = 0.10
"""Floor where a side is one run. Identical code in four processes, one after the other on 2 shared
cores, lay up to 8 % apart while the intervals inside each were under 1 %. asv's factor is 1.1, too.
No floor holds for all: of 42 rows of two quiet runs, one (Flux, a batch of 32, 7 rounds) lay 36 %
off what four other runs agreed on."""

SEVERAL_RUNS = 0.03
"""Floor where runs are the unit. The interval holds the spread between them; what is left is what
all runs of a side share. The tolerances of criterion.rs (1 %) and BenchmarkTools.jl (5 %) lie
around it."""

IN_TURNS = 0.02
"""Floor where pairs of processes are the unit and their turns lie side by side: what is left is
what an unrelated change does, such as where code lies in memory."""

UNWATCHED = 4.0
"""Floor where a file holds no load: identical code on 2 shared cores took up to 3.5 times as long
at a load of 2.8 per CPU, and what nobody watched may have been that."""

MOST_TIMES = 10
"""More than this many times as many rounds are not proposed: repeated runs say more."""


@dataclass(frozen=True)
class Floor:
    """The noise floor: how far apart two medians can be although nothing has changed."""

    value: float
    """Relative: 0.1 is 10 %, in either direction."""
    why: str
    """Where it comes from."""
    raised: bool = False
    """Whether these runs were noisier than the usual floor. They can then show a difference, but
    not that there is none."""


@dataclass(frozen=True)
class Verdict:
    """What can be said of one cell on two sides."""

    word: str
    """faster, slower, same, undecided or worse pictures: the second side, against the first."""
    code: str
    """Why, as a word for machines."""
    why: str
    """Why, for people."""
    remedy: str = ""
    """What would decide it; empty where it is decided."""
    ratio: Ratio | None = None
    """The ratio that it rests on."""
    floor: Floor | None = None
    """The noise floor that the ratio was held against."""
    pictures: str = ""
    """Why the pictures are worse, or whose were not judged; empty where neither is so."""

    @property
    def smallest(self) -> float | None:
        """Return the smallest slowdown that such samples would have shown; 0.1 is 10 %.

        None where there is no interval, or no floor.
        """
        if self.ratio is None or self.ratio.low is None or self.floor is None:
            return None
        return (1 + self.floor.value) * self.ratio.value / self.ratio.low - 1


def decide(base: Runs, new: Runs, raised: Sequence[Floor] = (), noise: float = 0.0) -> Verdict:
    """Say whether `new` is faster or slower than `base`, the same, or neither can be said.

    It starts as undecided and moves only on evidence: slower or faster where the whole interval of
    the ratio lies beyond the noise floor, same where it lies within a floor that nothing raised, or
    where the samples are the same ones. `raised` and `noise` are those of `floor`.
    """
    ratio = ratio_of(base, new)
    if sorted(map(tuple, base)) == sorted(map(tuple, new)):
        why = "the samples of both sides are the same ones"
        return Verdict(SAME, "identical", why, "", ratio)
    if ratio is None:
        return Verdict(UNDECIDED, "no time", "a median is not above 0", "group more calls a round")
    if ratio.low is None or ratio.high is None:
        if ratio.count < stats.MIN_ROUNDS:
            why = f"{counted(ratio.count, 'round')}, and an interval needs {stats.MIN_ROUNDS}"
            remedy = "more rounds (a longer --benchmark-max-time) or several runs of each side"
            return Verdict(UNDECIDED, "too few rounds", why, remedy, ratio)
        whys = filter(None, (stats.why_no_interval(side[0]) for side in (base, new)))
        if not (why := next(whys, "")):
            why = "all rounds of a side took the same time: its clock is too coarse"
            return Verdict(UNDECIDED, "equal rounds", why, "group more calls a round", ratio)
        return Verdict(UNDECIDED, "autocorrelated", why, _quieter(ratio), ratio)
    return hold(ratio, floor(base, new, raised, noise))


def decide_pairs(ratios: Sequence[float], limit: Floor, final: bool = False) -> Verdict:
    """Say whether B is faster or slower than A by the pairs' log-ratios, in the order of measuring.

    The first look that decides is the last. With `final` the pairs since the last look get one of
    their own.
    """
    verdict = Verdict(
        UNDECIDED,
        "too few pairs",
        f"{counted(len(ratios), 'pair')}, and the first look is at {sequential.FIRST_LOOK}",
        "a longer --budget, or fewer cells (-k)",
    )
    for look in sequential.intervals(ratios, final):
        if look.low > look.high:
            why = f"{look.count} pairs exclude what the pairs before them say: the machine changed"
            return Verdict(UNDECIDED, "looks disagree", why, "run it again")
        logs = (min(max(look.mean, look.low), look.high), look.low, look.high)
        value, low, high = map(math.exp, logs)
        verdict = hold(Ratio(value, low, high, PAIRS, look.count), limit)
        if verdict.word in DECIDED:
            break
    return verdict


def hold(ratio: Ratio, limit: Floor) -> Verdict:
    """Hold a ratio that has an interval against the noise floor."""
    assert ratio.low is not None
    assert ratio.high is not None
    above, below = 1 + limit.value, 1 / (1 + limit.value)
    ends = f"{ratio.low:.3f}–{ratio.high:.3f}"
    noise = f"the noise floor of {percent(limit.value)} ({limit.why})"
    word, code, remedy = UNDECIDED, "across the floor", ""
    if ratio.low > above or ratio.high < below:
        word, code = SLOWER if ratio.low > above else FASTER, "beyond the floor"
        why = f"the whole interval {ends} lies beyond {noise}"
    elif not (below <= ratio.low and ratio.high <= above):
        why = f"the interval {ends} reaches across the edge of {noise}"
        remedy = _more(ratio, limit)
    elif limit.raised:
        code, remedy = "noisy", _quieter(ratio, limit)
        why = f"the interval {ends} lies within {noise}, which is too wide to call them the same"
    else:
        word, code = SAME, "within the floor"
        why = f"the whole interval {ends} lies within {noise}"
    verdict = Verdict(word, code, why, remedy, ratio, limit)
    if word in (FASTER, SLOWER) or verdict.smallest is None:
        return verdict
    return replace(verdict, why=f"{why}; {slower(verdict.smallest)} would have shown")


def slower(share: float) -> str:
    """Return `12 % slower`, or `3.5 times as slow` where it takes twice as long or longer."""
    if share < 1:
        return f"{percent(share)} slower"
    times = 1 + share
    return f"{times:.2g} times as slow" if times < 100 else "100 times as slow or more"


def floor(base: Runs, new: Runs, raised: Sequence[Floor] = (), noise: float = 0.0) -> Floor:
    """Return the noise floor of two sides.

    One run a side: the default. It is raised to how far the halves of a run lie apart and to
    `noise`, how far two runs on such a machine lie apart, on record. A lower record does not lower
    it: that was measured within minutes, and files are taken further apart. Several runs have a
    lower floor, for their interval holds the spread between them. `raised` are the floors of the
    machines (busy, unwatched, changed), which hold for several runs too: all of a side's runs may
    have met the same other work.
    """
    limits = list(raised)
    several = len(base) + len(new) > 2
    if not several:
        drift = max(_drift(base[0]), _drift(new[0]))
        limits.append(Floor(drift, "a run drifted that far between its halves", raised=True))
        limits.append(Floor(noise, "the noise of this machine on record", raised=True))
    lower = f"; the noise of this machine on record is {percent(noise)}" if noise else ""
    usual = (
        Floor(SEVERAL_RUNS, "runs are the unit")
        if several
        else Floor(ONE_RUN, f"a side is one run{lower}")
    )
    limits = [limit for limit in limits if limit.value > usual.value]
    return max(limits, key=lambda limit: limit.value, default=usual)


def in_turns(recorded: float | None = None) -> Floor:
    """Return the noise floor of sides that were measured in turns: on record, or the default."""
    if recorded is None:
        return Floor(IN_TURNS, "measured in turns")
    return Floor(recorded, "in turns, this machine's on record")


def _drift(samples: Sequence[float]) -> float:
    half = len(samples) // 2
    first, second = median(samples[:half]), median(samples[-half:])
    return max(first, second) / min(first, second) - 1 if min(first, second) > 0 else math.inf


def _more(ratio: Ratio, limit: Floor) -> str:
    """Say how many more rounds, runs or pairs may bring the interval to one side of the edge."""
    if ratio.unit == ROUNDS and ratio.count < stats.SEEN and not limit.raised:
        return f"at least {stats.SEEN} rounds on each side (a longer --benchmark-max-time)"
    times = _times(ratio, limit)
    if times > MOST_TIMES or (limit.raised and ratio.unit == ROUNDS):
        return _quieter(ratio, limit)
    more = max(1, math.ceil(ratio.count * (times - 1)))
    if ratio.unit == PAIRS:
        more = sequential.needed(ratio.count, times) - ratio.count
        return f"about {counted(more, 'more pair')} (a longer --budget)"
    if ratio.unit == RUNS:
        return f"about {counted(more, 'more run')} of each side"
    more = _rounded(ratio.count * (times - 1))
    return f"about {more} more rounds on each side (a longer --benchmark-max-time)"


def _times(ratio: Ratio, limit: Floor) -> float:
    """Return how many times as many samples would do: an interval shrinks as their square root."""
    assert ratio.low is not None
    assert ratio.high is not None
    value, low, high = (math.log(end) for end in (ratio.value, ratio.low, ratio.high))
    edge = math.log1p(limit.value)
    if abs(value) > edge:
        reach, room = (value - low, value - edge) if value > 0 else (high - value, -edge - value)
    else:
        pairs = ((high - value, edge - value), (value - low, value + edge))
        reach, room = max(pairs, key=lambda pair: pair[0] / max(pair[1], 1e-12))
    return (reach / max(room, 1e-12)) ** 2


def _quieter(ratio: Ratio, limit: Floor | None = None) -> str:
    """Say what decides where more of the same does not."""
    if limit is not None and limit.value == UNWATCHED:
        return "measure both with pytest bench/, which watches the load"
    if ratio.unit == PAIRS:
        return "a difference further from the noise floor, or a quieter machine"
    runs = "several runs" if ratio.unit == ROUNDS else "more runs"
    return f"{runs} of each side, taken in turn on a quiet machine (python -m bench ab does)"


def _rounded(number: float) -> int:
    """Round up to one digit: an estimate."""
    digit = int(10 ** math.floor(math.log10(max(1.0, number))))
    return math.ceil(max(1.0, number) / digit) * digit
