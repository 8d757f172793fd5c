"""How often the interval of the median covers the true median, the pilot and its plan included.

Run `python tests/coverage_simulation.py`: one table, exit code 1 where a row covers too little.
Samples are independent here; what a correlation does is in `bench.statistics.stats.autocorrelated`.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist, median

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.statistics.stats import CONFIDENCE, margin, median_interval, rounds_needed

PILOT = 6
TRIALS = 4_000
FLOOR = 0.94
"""95 % less three standard errors of a share of 4 000 trials (0.34 % each)."""


@dataclass(frozen=True)
class Distribution:
    """Independent samples whose median is known."""

    name: str
    median: float
    draw: Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class Coverage:
    """What one simulated procedure did over its trials."""

    covered: float
    """Share of the trials whose interval holds the true median."""
    precise: float | None
    """Share of the trials whose margin is at most the precision; None without one."""
    rounds: float
    """Median number of rounds, the pilot not counted."""


def lognormal(sigma: float) -> Distribution:
    """Give samples whose logarithm is normal: skewed as latencies are."""
    return Distribution(
        name=f"log-normal, sigma {sigma}",
        median=1.0,
        draw=lambda rng, size: rng.lognormal(0.0, sigma, size),
    )


def spiky() -> Distribution:
    """Give 90 % narrow samples and 10 % spikes, 1.5 times as slow and more."""

    def draw(rng: np.random.Generator, size: int) -> np.ndarray:
        narrow = rng.lognormal(0.0, 0.02, size)
        slower = np.where(rng.random(size) < 0.1, 1.5 + rng.exponential(1.0, size), 1.0)
        return narrow * slower

    # every spike lies above the median, which is then the 0.5 / 0.9 quantile of the narrow part
    middle = float(np.exp(0.02 * NormalDist().inv_cdf(0.5 / 0.9)))
    return Distribution(name="spiky, 10 % slow", median=middle, draw=draw)


def coverage(
    distribution: Distribution,
    n: int,
    trials: int,
    rng: np.random.Generator,
    precision: float | None = None,
) -> Coverage:
    """Simulate `trials` cells, each of `n` rounds, or of as many as a pilot of six plans.

    With a `precision`, every trial draws its own pilot, plans at most `n` rounds from it with
    `rounds_needed`, and then draws that many fresh samples.
    """
    covered, precise, rounds = 0, 0, []
    for _ in range(trials):
        count = n
        if precision is not None:
            count = rounds_needed(distribution.draw(rng, PILOT).tolist(), precision, maximum=n)
        samples = distribution.draw(rng, count).tolist()
        interval = median_interval(samples)
        if interval is None:
            raise ValueError(f"n is {n}: expected enough rounds for an interval")
        covered += interval[0] <= distribution.median <= interval[1]
        if precision is not None:
            reached = margin(samples)
            precise += reached is not None and reached <= precision
        rounds.append(count)
    return Coverage(
        covered=covered / trials,
        precise=None if precision is None else precise / trials,
        rounds=median(rounds),
    )


def main() -> int:
    """Print one row for every procedure; give 1 where one covers less than the floor."""
    rng = np.random.default_rng(20_260_101)
    rows: list[tuple[Distribution, int, float | None]] = [
        (distribution, n, None)
        for distribution in (lognormal(0.3), spiky())
        for n in (6, 7, 8, 10, 15, 20, 30, 50, 100, 300)
    ]
    rows += [
        (lognormal(0.02), 300, 0.01),
        (lognormal(0.05), 300, 0.01),
        (lognormal(0.05), 3_000, 0.01),
        (lognormal(0.3), 300, 0.05),
        (spiky(), 300, 0.01),
        (spiky(), 300, 0.005),
    ]
    print(f"{TRIALS} trials a row, intervals at {CONFIDENCE:.0%}, pilots of {PILOT}")
    print(
        f"{'samples':<22}{'rounds':>18}{'median':>8}{'precision':>11}{'reached':>9}{'covered':>9}"
    )
    low = 0
    for distribution, n, precision in rows:
        result = coverage(distribution, n, TRIALS, rng, precision)
        low += result.covered < FLOOR
        planned = f"{n} fixed" if precision is None else f"planned, <= {n}"
        wanted = "-" if precision is None else f"{precision:.1%}"
        reached = "-" if result.precise is None else f"{result.precise:.1%}"
        print(
            f"{distribution.name:<22}{planned:>18}{result.rounds:>8.0f}{wanted:>11}"
            f"{reached:>9}{result.covered:>9.1%}"
        )
    print(f"{low} of {len(rows)} rows cover less than {FLOOR:.0%}")
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
