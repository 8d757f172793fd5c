"""What the intervals and verdicts of `bench` do on series whose truth is known.

`python tests/coverage_simulation.py [TABLE …] [--trials N]` prints the tables median, verdict, plan
and steps; exit code 1 where a row misses what it claims. The docs show these tables.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist, median

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.comparing.verdict import FASTER, SLOWER, decide
from bench.statistics.fit import fit_line
from bench.statistics.stats import _lower_rank, margin, median_interval, rounds_needed

TRIALS = 4_000
PILOT = 6
LEAST = 0.93
"""What an interval covers at least, those that give none included."""
HIDDEN = 0.9
"""As `LEAST`, where many of the runs hardly show what correlates."""
MOST_FALSE = 0.02
UNSEEN, MOST_FALSE_UNSEEN = 0.6, 0.15
"""As `LEAST` and `MOST_FALSE`, where most short runs show one of two speeds alone."""
SHOWN = 100
"""Rounds from which on they show both."""


@dataclass(frozen=True)
class Series:
    """Samples around a known median, in the order of measuring."""

    name: str
    median: float
    draw: Callable[[np.random.Generator, int], np.ndarray]
    least: float = LEAST
    """What its interval covers at least."""


def autoregressive(rho: float, spread: float = 0.05) -> Series:
    """Give log-normal samples of which each correlates with the one before by `rho`."""

    def draw(rng: np.random.Generator, size: int) -> np.ndarray:
        values = rng.standard_normal(size)
        for number in range(1, size):
            values[number] = rho * values[number - 1] + math.sqrt(1 - rho**2) * values[number]
        return np.exp(spread * values)

    return Series(f"AR(1) {rho:g}" if rho else "independent", 1.0, draw)


def lognormal(sigma: float) -> Series:
    """Give independent samples whose logarithm is normal: skewed as latencies are."""
    return Series(f"log-normal {sigma:g}", 1.0, lambda rng, size: rng.lognormal(0.0, sigma, size))


def spiky() -> Series:
    """Give 90 % narrow samples and 10 % spikes, 1.5 times as slow and more."""

    def draw(rng: np.random.Generator, size: int) -> np.ndarray:
        slower = np.where(rng.random(size) < 0.1, 1.5 + rng.exponential(1.0, size), 1.0)
        return rng.lognormal(0.0, 0.02, size) * slower

    # Every spike lies above the median, which is then the 0.5 / 0.9 quantile of the narrow part.
    return Series("10 % spikes", math.exp(0.02 * NormalDist().inv_cdf(0.5 / 0.9)), draw)


def regimes(
    switches: float, slower: float = 0.3, times: float = 1.2, sigma: float = 0.01
) -> Series:
    """Give samples that switch between two levels, so often in a run.

    A share of them is `slower`, by the factor `times`; around each level they spread by `sigma`.
    """

    def draw(rng: np.random.Generator, size: int) -> np.ndarray:
        leave = switches / size / 2
        while True:
            upper, levels = rng.random() < slower, []
            for chance in rng.random(size):
                upper = chance >= leave / slower if upper else chance < leave / (1 - slower)
                levels.append(upper)
            if len(set(levels)) == 2:  # A run that never switches shows nothing of the other level.
                return np.where(levels, times, 1.0) * rng.lognormal(0.0, sigma, size)

    normal = NormalDist(0, sigma)
    low, high = -5 * sigma, math.log(times) + 5 * sigma
    for _ in range(60):
        middle = (low + high) / 2
        below = (1 - slower) * normal.cdf(middle) + slower * normal.cdf(middle - math.log(times))
        low, high = (middle, high) if below < 0.5 else (low, middle)
    return Series(f"{switches:g} switches", math.exp(low), draw)


def rare(stay: float = 20, slower: float = 0.3, times: float = 1.2) -> Series:
    """Give samples that stay at the slower of two levels for so many rounds in the mean.

    A share of them is `slower`; a short run often shows one level alone.
    """
    leave, sigma = 1 / stay, 0.02

    def draw(rng: np.random.Generator, size: int) -> np.ndarray:
        upper, levels = rng.random() < slower, []
        for chance in rng.random(size):
            levels.append(upper)
            upper = chance >= leave if upper else chance < leave * slower / (1 - slower)
        return np.where(levels, times, 1.0) * rng.lognormal(0.0, sigma, size)

    middle = regimes(6, slower, times, sigma).median
    return Series(f"stays of {stay:g}", middle, draw, least=UNSEEN)


def drift(times: float) -> Series:
    """Give samples that slow down steadily, by `times` their spread from the first to the last."""

    def draw(rng: np.random.Generator, size: int) -> np.ndarray:
        return np.exp(0.02 * (rng.standard_normal(size) + times * np.linspace(-0.5, 0.5, size)))

    return Series(f"drift of {times:g} spreads", 1.0, draw)


@dataclass(frozen=True)
class Coverage:
    """What the interval of one series did over its trials."""

    covered: float
    """Share of the trials whose interval holds the true median, or that give none."""
    none: float
    """Share of the trials that give none."""
    width: float
    """Mean width of the intervals, relative to those of as many independent samples."""


def coverage(series: Series, count: int, trials: int, rng: np.random.Generator) -> Coverage:
    """Simulate runs of `count` samples."""
    covered, widths, plain = 0, [], []
    rank = _lower_rank(count)
    for _ in range(trials):
        samples = np.sort(drawn := series.draw(rng, count))
        plain.append(samples[-rank] - samples[rank - 1])
        interval = median_interval(drawn.tolist())
        covered += interval is None or interval[0] <= series.median <= interval[1]
        widths += [] if interval is None else [interval[1] - interval[0]]
    width = float(np.mean(widths) / np.mean(plain)) if widths else math.nan
    return Coverage(covered / trials, 1 - len(widths) / trials, width)


def false_verdicts(
    series: Series, count: int, trials: int, rng: np.random.Generator, times: float = 1.0
) -> float:
    """Return the share of pairs of runs that are called what they are not.

    That is faster where the second side takes 1 time or more, slower where it takes 1 time.
    """
    wrong = (FASTER, SLOWER) if times == 1 else (FASTER,)
    return (
        sum(
            decide(
                [series.draw(rng, count).tolist()], [(times * series.draw(rng, count)).tolist()]
            ).word
            in wrong
            for _ in range(trials)
        )
        / trials
    )


@dataclass(frozen=True)
class Plan:
    """What planned runs did."""

    covered: float
    precise: float
    """Share of the trials whose margin is at most the precision."""
    rounds: float
    """Median number of rounds, the pilot not counted."""


def planned(
    series: Series, most: int, precision: float, trials: int, rng: np.random.Generator
) -> Plan:
    """Simulate runs of at most `most` rounds, each planned from a pilot of its own."""
    covered, precise, rounds = 0, 0, []
    for _ in range(trials):
        count = rounds_needed(series.draw(rng, PILOT).tolist(), precision, maximum=most)
        samples = series.draw(rng, count).tolist()
        interval, reached = median_interval(samples), margin(samples)
        covered += interval is None or interval[0] <= series.median <= interval[1]
        precise += reached is not None and reached <= precision
        rounds.append(count)
    return Plan(covered / trials, precise / trials, median(rounds))


COUNTS = (6, 10, 15, 19, 30, 50, 100, 200, 1_000)

SERIES = (
    autoregressive(0),
    spiky(),
    autoregressive(0.5),
    autoregressive(0.9),
    autoregressive(0.99),
    drift(3),
    regimes(6),
    regimes(20),
    replace(regimes(6, slower=0.5), name="6 switches, half"),
    replace(regimes(6, times=1.05, sigma=0.02), name="6 near switches", least=HIDDEN),
    rare(),
)

Line = tuple[str, bool]
"""A line of a table, and whether what it claims holds."""


def median_table(trials: int) -> Iterator[Line]:
    """Cover the true median by its interval."""
    rng = np.random.default_rng(1)
    yield f"{'median':<20}{'rounds':>8}{'covered or none':>17}{'none':>8}{'width':>8}", True
    for series in SERIES:
        for count in COUNTS:
            result = coverage(series, count, trials, rng)
            text = f"{series.name:<20}{count:>8}{result.covered:>17.1%}{result.none:>8.1%}"
            yield f"{text}{result.width:>8.2f}", result.covered >= series.least


def verdict_table(trials: int) -> Iterator[Line]:
    """Call pairs of runs of the same code faster or slower."""
    rng = np.random.default_rng(2)
    yield f"{'false verdicts':<20}{'spread':>8}{'rounds':>8}{'equal':>8}{'5 % slower':>12}", True
    for rho in (0, 0.5, 0.9, 0.99):
        for spread in (0.01, 0.05, 0.15):
            series = autoregressive(rho, spread)
            for count in (6, 10, 15, 19, 30, 100, 1_000):
                equal, slower = (
                    false_verdicts(series, count, trials // 4, rng, times) for times in (1, 1.05)
                )
                text = f"{series.name:<20}{spread:>8.0%}{count:>8}{equal:>8.1%}{slower:>12.1%}"
                yield text, max(equal, slower) <= MOST_FALSE
    for series, most in ((drift(3), MOST_FALSE), (rare(), MOST_FALSE_UNSEEN)):
        for count in (6, 10, 15, 19, 30, 100, 1_000):
            equal, slower = (
                false_verdicts(series, count, trials // 4, rng, times) for times in (1, 1.05)
            )
            text = f"{series.name:<20}{0.02:>8.0%}{count:>8}{equal:>8.1%}{slower:>12.1%}"
            yield text, max(equal, slower) <= (most if count < SHOWN else MOST_FALSE)


def plan_table(trials: int) -> Iterator[Line]:
    """Plan rounds from a pilot of six."""
    rng = np.random.default_rng(3)
    heading = f"{'plan':<20}{'at most':>8}{'median':>8}{'precision':>11}"
    yield f"{heading}{'reached':>9}{'covered':>9}", True
    for series, most, precision in (
        (lognormal(0.02), 300, 0.01),
        (lognormal(0.05), 300, 0.01),
        (lognormal(0.05), 3_000, 0.01),
        (lognormal(0.3), 300, 0.05),
        (spiky(), 300, 0.01),
        (spiky(), 300, 0.005),
    ):
        plan = planned(series, most, precision, trials, rng)
        text = f"{series.name:<20}{most:>8}{plan.rounds:>8.0f}{precision:>11.1%}"
        yield f"{text}{plan.precise:>9.1%}{plan.covered:>9.1%}", plan.covered >= LEAST


@dataclass(frozen=True)
class Fits:
    """What the intervals of a line did over their trials."""

    fixed: float
    """Share of the trials whose interval holds the true fixed part."""
    per_step: float
    width: float
    """Mean half width of the interval of the fixed part, in seconds."""
    misfit: float
    """Share of the trials that are said not to fit."""


def fits(
    steps: Sequence[int],
    rounds: int,
    between: float,
    assumed: float,
    trials: int,
    rng: np.random.Generator,
) -> Fits:
    """Fit 8 ms + 12 ms a step; rounds spread by 5 %, cells by `between`, as is `assumed` or not."""
    truths, held, widths, misfits = (0.008, 0.012), [0, 0], [], 0
    for _ in range(trials):
        cells = [
            (truths[0] + truths[1] * count) * math.exp(rng.normal(0, between)) for count in steps
        ]
        samples = [(cell * rng.lognormal(0, 0.05, rounds)).tolist() for cell in cells]
        fit = fit_line(steps, samples, assumed)
        for number, (low, high) in enumerate((fit.fixed_interval, fit.per_step_interval)):
            held[number] += low <= truths[number] <= high
        widths.append((fit.fixed_interval[1] - fit.fixed_interval[0]) / 2)
        misfits += fit.misfit
    return Fits(held[0] / trials, held[1] / trials, float(np.mean(widths)), misfits / trials)


def steps_table(trials: int) -> Iterator[Line]:
    """Hold the true line, whose spread between cells is on record or taken to be 1 %."""
    rng = np.random.default_rng(4)
    heading = f"{'steps':<16}{'rounds':>8}{'between':>9}{'assumed':>9}"
    yield f"{heading}{'fixed':>8}{'a step':>8}{'± ms':>7}{'misfit':>8}", True
    for steps in ((2, 4, 8), (2, 4, 8, 16), (10, 20, 30, 50)):
        for rounds in (6, 40):
            for between, assumed in ((0, 0), (0.01, 0.01), (0.03, 0.03), (0, 0.01), (0.03, 0.01)):
                result = fits(steps, rounds, between, assumed, trials // 2, rng)
                text = f"{','.join(map(str, steps)):<16}{rounds:>8}{between:>9.0%}{assumed:>9.0%}"
                text += f"{result.fixed:>8.1%}{result.per_step:>8.1%}{result.width * 1e3:>7.2f}"
                holds = between > assumed or min(result.fixed, result.per_step) >= LEAST
                yield f"{text}{result.misfit:>8.1%}", holds


TABLES = {
    "median": median_table,
    "verdict": verdict_table,
    "plan": plan_table,
    "steps": steps_table,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; give 1 where a row misses what it claims."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=", ".join(TABLES))
    parser.add_argument("--trials", type=int, default=TRIALS)
    options = parser.parse_args(arguments)
    if unknown := set(options.tables) - set(TABLES):
        parser.error(f"{', '.join(sorted(unknown))}: expected {', '.join(TABLES)}")
    misses = 0
    for name in options.tables or TABLES:
        for text, holds in TABLES[name](options.trials):
            print(text if holds else f"{text}  missed", flush=True)
            misses += not holds
        print()
    print(f"{options.trials} trials a row; {misses} rows miss what they claim")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
