"""The rule behind the sides and the batches that a target takes, found by asking it."""

from collections.abc import Callable
from dataclasses import dataclass
from math import gcd

__all__ = ["FURTHEST_BATCH", "FURTHEST_SIDE", "Batches", "Sides", "batches", "sides"]

FURTHEST_SIDE, FURTHEST_BATCH = 4096, 1024
"""Larger ones are not looked at."""


@dataclass(frozen=True)
class Sides:
    """Pixels of one side of an image."""

    multiple: int
    smallest: int
    largest: int | None
    """None where every multiple up to `FURTHEST_SIDE` is taken."""
    gaps: tuple[int, ...] = ()
    """Multiples in between that are not taken all the same."""

    def __str__(self) -> str:
        """Return `multiples of 8`, or `multiples of 64 from 128 to 2048, not 1024`."""
        if self.smallest == self.largest:
            return f"{self.smallest} alone"
        smallest = f" from {self.smallest}" if self.smallest > self.multiple else ""
        largest = f" to {self.largest}" if self.largest is not None else ""
        shown = ", ".join(map(str, self.gaps[:3])) + (" …" if len(self.gaps) > 3 else "")
        return f"multiples of {self.multiple}{smallest}{largest}{', not ' * bool(shown)}{shown}"

    def near(self, side: int) -> list[int]:
        """Return the nearest side that is taken at or below `side`, and at or above it."""
        end = (self.largest or FURTHEST_SIDE) + 1
        taken = sorted(set(range(self.smallest, end, self.multiple)) - set(self.gaps))
        below = [one for one in taken if one <= side]
        above = [one for one in taken if one >= side]
        return [(below or above)[-1 if below else 0], (above or below)[0 if above else -1]]


@dataclass(frozen=True)
class Batches:
    """Images of one call."""

    smallest: int
    largest: int | None
    """None where every batch up to `FURTHEST_BATCH` is taken."""

    def __str__(self) -> str:
        """Return `any`, `1–31`, `from 2` or `4 alone`."""
        if self.largest is None:
            return "any" if self.smallest == 1 else f"from {self.smallest}"
        if self.largest == self.smallest:
            return f"{self.smallest} alone"
        return f"{self.smallest}–{self.largest}"


def sides(takes: Callable[[int], bool], step: int) -> Sides | None:
    """Return the rule of the sides that are taken, among multiples of `step`; None for none."""
    asked = range(step, FURTHEST_SIDE + 1, step)
    taken = [side for side in asked if takes(side)]
    if not taken:
        return None
    multiple = gcd(*taken)
    between = range(taken[0], taken[-1] + 1, multiple)
    gaps = tuple(sorted(set(between) - set(taken)))
    beyond = taken[-1] + multiple > asked[-1]
    return Sides(multiple, taken[0], None if beyond else taken[-1], gaps)


def batches(takes: Callable[[int], bool]) -> Batches | None:
    """Return the batches that are taken, from the first to the first that is not; None for none."""
    smallest = next((batch for batch in range(1, FURTHEST_BATCH + 1) if takes(batch)), None)
    if smallest is None:
        return None
    refused = (batch for batch in range(smallest + 1, FURTHEST_BATCH + 1) if not takes(batch))
    first = next(refused, None)
    return Batches(smallest, None if first is None else first - 1)
