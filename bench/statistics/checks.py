"""Checks of what a statistic is given."""

import math
from collections.abc import Sequence

__all__ = ["checked"]


def checked(samples: Sequence[float], name: str = "samples") -> Sequence[float]:
    """Return `samples`; raise ValueError where there are none, or one is not finite."""
    if len(samples) == 0:
        raise ValueError(f"{name} is empty: expected at least one number")
    for position, value in enumerate(samples):
        if not math.isfinite(value):
            raise ValueError(f"{name}[{position}] is {value}: expected a finite number")
    return samples
