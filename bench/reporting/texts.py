"""Texts of numbers and lines: digits cut to the noise, units, nothing that moves a cursor."""

from collections.abc import Iterable
from math import floor, log10
from textwrap import fill

__all__ = [
    "NOTHING",
    "aligned",
    "counted",
    "duration",
    "or_nothing",
    "percent",
    "plain",
    "plus_minus",
    "spaced",
    "superscript",
    "unit_of",
    "with_margin",
    "wrapped",
]

NOTHING = "–"

TINY = 1e-9
"""Below this a number reads 0: no time is a millionth of a nanosecond."""


def with_margin(value: float, margin: float | None) -> str:
    """Return `value` with the digits that its relative margin leaves: one beyond the first unsure.

    At most four significant digits; three without a margin. Thousands are set apart by a space.
    """
    if abs(value) < TINY:
        return "0"
    magnitude = floor(log10(abs(value)))
    last = magnitude - 2
    if margin is not None:
        last = floor(log10(abs(value)) + log10(max(margin, TINY))) - 1
    last = min(max(last, magnitude - 3), magnitude)
    return spaced(round(value, -last), max(0, -last))


def aligned(texts: Iterable[str]) -> list[str]:
    """Fill up with spaces so that the decimal points stand under each other."""
    parts = [text.partition(".") for text in texts]
    longest = max(len(point + decimals) for _, point, decimals in parts)
    return [
        whole if whole == NOTHING else whole + (point + decimals).ljust(longest)
        for whole, point, decimals in parts
    ]


def plain(text: str) -> str:
    """Return `text` without what could move the cursor or cannot be encoded."""
    line = " ".join(text.split())
    return "".join(each if each.isprintable() else "�" for each in line)


def wrapped(line: str, width: int, indent: int = 0) -> str:
    """Break a line between words, those after the first indented."""
    return fill(line, width, subsequent_indent=" " * indent, break_on_hyphens=False)


def unit_of(seconds: float) -> tuple[str, float]:
    """Return the unit that `seconds` reads well in, and how many of it a second has."""
    if seconds >= 1:
        return "s", 1.0
    return ("ms", 1e3) if seconds >= 1e-3 else ("µs", 1e6)


def duration(seconds: float | None, margin: float | None = None) -> str:
    """Return seconds in the unit that suits them, as `with_margin` cuts them; – for None."""
    if seconds is None:
        return NOTHING
    unit, scale = unit_of(seconds)
    return f"{with_margin(seconds * scale, margin)} {unit}"


def percent(margin: float | None) -> str:
    """Return two digits, no finer than a hundredth."""
    if margin is None:
        return NOTHING
    percent = margin * 100
    if percent < 0.01:
        return "<0.01 %"
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"


def plus_minus(seconds: float, half: float) -> str:
    """Return a time and half its interval, with the digits that the interval leaves."""
    unit, scale = unit_of(max(abs(seconds), 1e-6))
    margin = half / abs(seconds) if seconds else None
    return f"{with_margin(seconds * scale, margin)} ± {with_margin(half * scale, 1.0)} {unit}"


def spaced(value: float, decimals: int) -> str:
    """Return `value` with so many decimals, thousands set apart by a space."""
    return f"{value:,.{decimals}f}".replace(",", " ")


def or_nothing(value: float | None, form: str) -> str:
    """Return `value` in a form such as `{:.0%}`; a dash for None."""
    return NOTHING if value is None else form.format(value).replace("%", " %")


def superscript(number: int) -> str:
    """Return `12` as `¹²`."""
    return str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def counted(number: int) -> str:
    """Return `1 cell`, `2 cells`."""
    return f"{number} cell{'' if number == 1 else 's'}"
