"""Texts of numbers and lines: digits cut to the noise, units, nothing that moves a cursor."""

from collections.abc import Iterable, Sequence
from math import floor, inf, isfinite, log10
from textwrap import fill

from bench.results.units import percent
from pipeline.errors import plain

__all__ = [
    "NOTHING",
    "about",
    "aligned",
    "cut",
    "duration",
    "or_nothing",
    "plain",
    "plus_minus",
    "relative",
    "share",
    "spaced",
    "superscript",
    "unit_of",
    "with_margin",
    "wrapped",
]

NOTHING = "–"

TINY = 1e-9
"""A number below this reads 0: no time is a billionth of a microsecond."""

UNSURE = 0.1
"""Half an interval, relative, above which a text gives it."""


def with_margin(value: float, margin: float | None) -> str:
    """Return `value` with the digits that its relative margin leaves: one beyond the first unsure.

    At most four significant digits; three without a margin. Thousands are set apart by a space.
    – for what is not finite, such as a rate over the shortest time that a file can hold.
    """
    if not isfinite(value):
        return NOTHING
    if abs(value) < TINY:
        return "0"
    magnitude = floor(log10(abs(value)))
    last = magnitude - 2
    if margin is not None:
        last = floor(log10(abs(value)) + log10(max(margin, TINY))) - 1
    last = min(max(last, magnitude - 3), magnitude)
    return spaced(round(value, -last), max(0, -last))


def aligned(texts: Iterable[str]) -> list[str]:
    """Pad numbers with spaces on the right, so that their decimal points line up in a column."""
    parts = [text.partition(".") for text in texts]
    longest = max(len(point + decimals) for _, point, decimals in parts)
    return [
        whole if whole == NOTHING else whole + (point + decimals).ljust(longest)
        for whole, point, decimals in parts
    ]


def cut(text: str, length: int) -> str:
    """Return `text` as one plain line of at most so many characters, … standing for the rest."""
    line = plain(text)
    return line if len(line) <= length else f"{line[: length - 1]}…"


def wrapped(line: str, width: int, indent: int = 0) -> str:
    """Break a line between words; lines after the first are indented."""
    return fill(line, width, subsequent_indent=" " * indent, break_on_hyphens=False)


def unit_of(seconds: float) -> tuple[str, float]:
    """Return the unit that `seconds` reads well in, and how many of it make a second."""
    if abs(seconds) >= 1:
        return "s", 1.0
    return ("ms", 1e3) if abs(seconds) >= 1e-3 else ("µs", 1e6)


def duration(seconds: float | None, margin: float | None = None) -> str:
    """Return seconds in the unit that suits them, as `with_margin` cuts them; – for None."""
    if seconds is None:
        return NOTHING
    unit, scale = unit_of(seconds)
    return f"{with_margin(seconds * scale, margin)} {unit}"


def share(value: float | None) -> str:
    """Return a share of 1 as a percentage; – for None."""
    return NOTHING if value is None else percent(value)


def plus_minus(seconds: float, interval: Sequence[float]) -> str:
    """Return a time and half of its interval, with the digits that the interval leaves."""
    half = (interval[1] - interval[0]) / 2
    unit, scale = unit_of(max(abs(seconds), 1e-6))
    margin = half / abs(seconds) if seconds else None
    return f"{with_margin(seconds * scale, margin)} ± {with_margin(half * scale, 1.0)} {unit}"


def about(seconds: float, interval: tuple[float, float]) -> str:
    """Return a time in three digits, and how unsure it is where that is more than a tenth."""
    margin = relative(seconds, interval)
    if margin <= UNSURE:
        return duration(seconds)
    return f"{duration(seconds, margin)} ± {margin * 100:.0f} %"


def relative(value: float, interval: tuple[float, float]) -> float:
    """Return half of an interval over its value."""
    return (interval[1] - interval[0]) / 2 / abs(value) if value else inf


def spaced(value: float, decimals: int = 0) -> str:
    """Return `value` with so many decimals, thousands set apart by a space."""
    return f"{value:,.{decimals}f}".replace(",", " ")


def or_nothing(value: float | None, margin: float | None = None) -> str:
    """Return `value` as `with_margin` cuts it; – for None."""
    return NOTHING if value is None else with_margin(value, margin)


def superscript(number: int) -> str:
    """Return `12` as `¹²`."""
    return str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
