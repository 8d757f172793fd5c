"""Change points: where a series of times takes a step, found by ruptures; nothing is typed for it.

tests/history_simulation.py says how often it is wrong, and what apache-otava does instead.
"""

import itertools
import math
from collections.abc import Sequence
from importlib.util import find_spec
from statistics import median
from typing import Any

from pipeline.errors import Missing, UnavailableError

__all__ = ["FEWEST", "change_points", "check_installed"]

FEWEST = 6
"""Runs below which no step is looked for."""

SHORTEST = 2
"""Runs of a segment: one run that lies apart is an outlier, two that agree may be a step."""

PENALTY, SMALL = 4.5, 6.0
"""What a step must explain: PENALTY · log(n) · (1 + SMALL / n) variances. With them 60 quiet runs
show a step in less than 1 % of the series, 6 runs in 1 %, and 3 outliers among 60 in 3 %."""

BETTER_THAN_A_LINE = 0.5
"""Share of that penalty which a step must explain beyond what a straight line does: a slow drift
has no commit to blame."""

OUTLIER = 3.0
"""Standard deviations from the median of five neighbours at which a run is cut."""

RESOLUTION = 1e-3
"""The least noise that is assumed, relative: equal numbers in a row are a coarse clock."""


def check_installed() -> None:
    """Raise `UnavailableError` where ruptures is not installed."""
    if find_spec("ruptures") is None:
        reason, remedy = "no ruptures here", 'pip install -e ".[report]"'
        raise UnavailableError("history", Missing("history", "ruptures", reason, remedy))


def change_points(seconds: Sequence[float]) -> list[int]:
    """Return the indices at which a new level begins, in order; times are above 0.

    The noise is read from the differences between neighbours, which a step hardly touches; lone
    outliers are cut; ruptures' optimal segmentation (squared error, exact) does the rest.
    """
    if len(seconds) < FEWEST:
        return []
    import numpy as np
    import ruptures

    logs = np.log(np.asarray(seconds, dtype=float))
    noise = max(_noise(logs), RESOLUTION)
    values = _without_outliers(logs, noise)
    count = len(values)
    penalty = PENALTY * math.log(count) * noise**2 * (1 + SMALL / count)
    search = ruptures.KernelCPD(kernel="linear", min_size=SHORTEST).fit(values.reshape(-1, 1))
    *points, _ = search.predict(pen=penalty)
    return _steps(values, points, BETTER_THAN_A_LINE * penalty, noise)


def _noise(values: Any) -> float:
    """Return the standard deviation of a run, from the differences between neighbours."""
    differences = [abs(after - before) for before, after in itertools.pairwise(values)]
    return float(median(differences)) / 0.6745 / math.sqrt(2)  # of a normal distribution


def _without_outliers(values: Any, noise: float) -> Any:
    import numpy as np

    middles = np.array(
        [np.median(values[max(0, index - 2) : index + 3]) for index in range(len(values))]
    )
    return middles + np.clip(values - middles, -OUTLIER * noise, OUTLIER * noise)


def _steps(values: Any, points: list[int], least: float, noise: float) -> list[int]:
    """Leave out the points that a line through both segments explains about as well.

    So are those that the noise of both segments explains, where it is above that of the whole
    series: the machine may have become busier.
    """
    while points:
        ends = [0, *points, len(values)]
        gains = {}
        for start, middle, end in zip(ends, ends[1:], ends[2:], strict=False):
            both = values[start:end]
            apart = _about_mean(values[start:middle]) + _about_mean(values[middle:end])
            louder = max(1.0, apart / (len(both) - 2) / noise**2)
            beyond_noise = (_about_mean(both) - apart) / louder * BETTER_THAN_A_LINE
            gains[middle] = min(_about_line(both) - apart, beyond_noise)
        weakest = min(gains, key=lambda point: gains[point])
        if gains[weakest] > least:
            return points
        points = [point for point in points if point != weakest]
    return points


def _about_mean(values: Any) -> float:
    return float(((values - values.mean()) ** 2).sum())


def _about_line(values: Any) -> float:
    import numpy as np

    places = np.arange(len(values))
    return float(((values - np.polyval(np.polyfit(places, values, 1), places)) ** 2).sum())
