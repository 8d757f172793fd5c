"""Checks of what a statistic is given."""

import math
from collections.abc import Sequence

__all__ = ["checked"]


def checked(samples: Sequence[float], name: str = "samples") -> Sequence[float]:
    """Return `samples`; raise ValueError where there are none, or one is not finite."""
    if len(samples) == 0:
        raise ValueError(f"{name} is empty: expected at least one number")
    if not all(map(math.isfinite, samples)):
        position = next(n for n, value in enumerate(samples) if not math.isfinite(value))
        raise ValueError(f"{name}[{position}] is {samples[position]}: expected a finite number")
    return samples
