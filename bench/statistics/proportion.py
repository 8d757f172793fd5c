"""Shares of a few pictures: an exact interval, and whether one lies below another beyond chance."""

from collections.abc import Callable
from math import comb

__all__ = ["drop_by_chance", "interval"]


def interval(right: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a share, `right` of `count` (Clopper and Pearson 1934).

    It holds the true share at least that often, however few pictures there are.
    """
    tail = (1 - confidence) / 2
    low = 0.0 if right == 0 else _where(lambda share: _at_least(right, count, share), tail)
    high = 1.0
    if right < count:
        high = 1 - _where(lambda share: _at_least(count - right, count, share), tail)
    return low, high


def drop_by_chance(base: tuple[int, int], new: tuple[int, int]) -> float:
    """Return how likely chance alone makes `new` as low as it is, or lower (Fisher's exact test).

    Both are right pictures and all pictures; the test is one-sided.
    """
    (first, count), (second, number) = base, new
    right = first + second
    ways = (
        comb(number, less) * comb(count, right - less)
        for less in range(max(0, right - count), second + 1)
    )
    return sum(ways) / comb(count + number, right)


def _at_least(right: int, count: int, share: float) -> float:
    """Return the chance of `right` or more of `count`, where each is right with chance `share`."""
    return sum(
        comb(count, number) * share**number * (1 - share) ** (count - number)
        for number in range(right, count + 1)
    )


def _where(rising: Callable[[float], float], value: float) -> float:
    """Return where a function that rises from 0 to 1 has a value."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < value else (low, middle)
    return low
