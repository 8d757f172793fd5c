"""How often the change points of `python -m bench history` are wrong, and how many they find.

`python tests/history_simulation.py [repetitions]` simulates series of 60 runs and prints a table in
Markdown, with apache-otava's E-divisive beside ours where that is installed (0.8.0 wants numpy 2.2,
so in an environment of its own). Nothing here is collected by pytest.
"""

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.history.changes import change_points

RUNS = 60
NEAR = 2
"""Runs between a step and where it is found, at most."""

Search = Callable[[Sequence[float]], Sequence[int]]


def simulated(
    random: Random, noise: float, kind: str, steps: dict[int, float], runs: int = RUNS
) -> list[float]:
    """Return medians of runs: log-normal noise, and steps by the index at which they begin."""
    logs = [random.gauss(0, noise) for _ in range(runs)]
    if kind == "outliers":
        for index in random.sample(range(runs), 3):
            logs[index] += random.uniform(5, 15) * noise * random.choice((-1, 1))
    for index in range(runs):
        if kind == "drift":
            logs[index] += 2 * noise * index / runs
        logs[index] += sum(math.log1p(step) for at, step in steps.items() if at <= index)
    return [0.01 * math.exp(value) for value in logs]


def false_share(
    search: Search, noise: float, kind: str, repetitions: int, runs: int = RUNS
) -> float:
    """Return the share of series without a step in which one is found."""
    random = Random(f"{noise} {kind} {runs}")
    series = (simulated(random, noise, kind, {}, runs) for _ in range(repetitions))
    return sum(bool(search(one)) for one in series) / repetitions


def hit_share(
    search: Search, noise: float, kind: str, sizes: Sequence[float], repetitions: int
) -> tuple[float, float]:
    """Return the share of steps that are found within two runs, and of series with another one."""
    random = Random(f"{noise} {kind} {sizes}")
    hits = others = 0
    for _ in range(repetitions):
        places = [random.randrange(5, RUNS - 5)]
        if len(sizes) == 2:
            places = [random.randrange(8, 26), random.randrange(34, 52)]
        points = search(simulated(random, noise, kind, dict(zip(places, sizes, strict=True))))
        found = [any(abs(point - at) <= NEAR for point in points) for at in places]
        hits += sum(found)
        others += len(points) > sum(found)
    return hits / repetitions / len(sizes), others / repetitions


def _otava() -> Search | None:
    try:
        from otava.analysis import compute_change_points
    except ImportError:
        return None
    return lambda series: [
        point.index for point in compute_change_points(list(series), max_pvalue=0.001)[0]
    ]


def main(repetitions: int) -> None:
    """Print the table."""
    searches = {"ruptures, as history uses it": change_points, "apache-otava": _otava()}
    shown = {name: search for name, search in searches.items() if search}
    print(f"| {RUNS} runs, {repetitions} repetitions | {' | '.join(shown)} |")
    print(f"| :-- |{' --: |' * len(shown)}")
    for runs in (RUNS, 20, 6):
        for noise in (0.01, 0.03, 0.1):
            for kind in ("quiet", "outliers", "drift") if runs == RUNS else ("quiet",):
                shares = [
                    false_share(one, noise, kind, repetitions, runs) for one in shown.values()
                ]
                cells = " | ".join(f"{share:.1%}" for share in shares)
                print(f"| false: {kind}, {noise:.0%} noise, {runs} runs | {cells} |", flush=True)
    for noise, sizes in (
        (0.01, (0.05,)),
        (0.01, (-0.05,)),
        (0.03, (0.15,)),
        (0.1, (0.3,)),
        (0.1, (0.5,)),
        (0.01, (0.05, 0.05)),
        (0.03, (0.15, -0.13)),
    ):
        for kind in ("quiet", "outliers", "drift"):
            pairs = [hit_share(one, noise, kind, sizes, repetitions) for one in shown.values()]
            cells = " | ".join(f"{hits:.1%}, {others:.1%} with another" for hits, others in pairs)
            steps = " and ".join(f"{size:+.0%}" for size in sizes)
            print(f"| found: {steps} at {noise:.0%} noise, {kind} | {cells} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
