"""One table of units: what a recorded number is shown in, by the ending of its name."""

from collections.abc import Mapping

__all__ = ["GIB", "MIB", "UNITS", "memory", "name", "percent", "scaled", "text"]

MIB, GIB = 2.0**20, 2.0**30


def _with_prefixes(unit: str) -> Mapping[str, float]:
    return {f"T{unit}": 1e12, f"G{unit}": 1e9, f"M{unit}": 1e6, unit.strip(): 1.0}


UNITS: Mapping[str, Mapping[str, float]] = {
    "_flop_per_s": _with_prefixes("FLOP/s"),
    "_bytes_per_s": _with_prefixes("B/s"),
    "_steps_per_s": _with_prefixes(" steps/s"),
    "_bytes": {"GiB": GIB, "MiB": MIB},
    "_gib": {"GiB": 1.0},
    "_mhz": {"MHz": 1.0},
    "_percent": {"%": 1.0},
    "_w": {"W": 1.0},
    "_c": {"°C": 1.0},
}
"""By the ending of a name: its units, the largest first, and how much of the number is one of it.

Memory is in binary units and a rate in decimal ones, as both are usually sold.
"""


def name(key: str) -> str:
    """Return `free_memory` for `free_memory_bytes`: the key without its unit."""
    return key.removesuffix(_ending(key))


def scaled(key: str, value: float) -> tuple[float, str]:
    """Return a number in the largest unit that it has one of, and that unit; "" where none is."""
    units = UNITS.get(_ending(key), {"": 1.0})
    fitting = (unit for unit, scale in units.items() if abs(value) >= scale)
    unit = next(fitting, list(units)[-1])
    return value / units[unit], unit


def text(key: str, value: float) -> str:
    """Return `79.65 GiB` for the bytes of a GPU's `memory_bytes`: four digits and the unit.

    A whole number without a unit is returned whole: it may be a version.
    """
    number, unit = scaled(key, value)
    if not unit and isinstance(value, int):
        return str(value)
    return f"{number:.4g} {unit}".rstrip()


def memory(count: float) -> str:
    """Return bytes as text with three digits, such as `7.58 GiB`."""
    number, unit = scaled("_bytes", count)
    return f"{number:.3g} {unit}"


def percent(share: float) -> str:
    """Return `0.1` as `10 %`: two digits, all of those before the point, no finer than 0.01 %."""
    if share < 1e-4:
        return "<0.01 %"
    return f"{share:.0%}".replace("%", " %") if share >= 0.1 else f"{share * 100:.2g} %"


def _ending(key: str) -> str:
    return next((ending for ending in UNITS if key.endswith(ending)), "")
