"""JSON values into dataclasses, each checked against its annotation."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

__all__ = ["read"]

LIMIT = 1e30
"""Numbers lie from 0 to below this: nothing that a run records is negative, infinite or NaN.

The operations of one call at 100000x100000 are 1e19."""


def read(kind: Any, value: Any, place: str) -> Any:
    """Return `value` as `kind`: a dataclass, `tuple[X, ...]`, `Mapping[str, X]`, str, int, float.

    Scalars may be joined, as `float | None`; `Any` takes everything. Keys that a dataclass does not
    have are left out. Raises ValueError, with the place, for the first value that does not fit.
    """
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _dataclass(kind, _checked(dict, value, place), place)
    inner = get_args(kind)
    if get_origin(kind) is tuple:
        return _tuple(inner[0], _checked(list, value, place), place)
    if get_origin(kind) is Mapping:
        pairs = _checked(dict, value, place).items()
        return {key: read(inner[1], each, f"{place}.{key}") for key, each in pairs}
    kinds = inner or (kind,)
    if not _fits(value, kinds):
        raise _misfit(kinds, value, place)
    return float(value) if kind is float else value


def _dataclass(kind: Any, data: dict[str, Any], place: str) -> Any:
    hints = get_type_hints(kind)
    values = {}
    for each in fields(kind):
        if each.name in data:
            values[each.name] = read(hints[each.name], data[each.name], f"{place}.{each.name}")
        elif _is_required(each):
            raise ValueError(f"{each.name!r} at {place}")
    return kind(**values)


def _tuple(kind: Any, values: list[Any], place: str) -> tuple[Any, ...]:
    """Read millions of samples: the place is written out only where one does not fit."""
    for number, value in enumerate(values):
        if not _fits(value, (kind,)):
            raise _misfit((kind,), value, f"{place}[{number}]")
    return tuple(map(kind, values))


def _checked(kind: Any, value: Any, place: str) -> Any:
    if isinstance(value, tuple):  # a row that comes from memory, not from a file
        value = list(value)
    if not isinstance(value, kind):
        raise _misfit((kind,), value, place)
    return value


def _fits(value: Any, kinds: tuple[Any, ...]) -> bool:
    if type(value) is float:
        return float in kinds and 0 <= value < LIMIT
    if type(value) is int:
        return (int in kinds or float in kinds) and 0 <= value < LIMIT
    return type(value) in kinds


def _is_required(each: "Field[Any]") -> bool:
    return each.default is MISSING and each.default_factory is MISSING


_WORDS = {
    dict: "an object",
    float: "a number from 0",
    int: "a whole number from 0",
    list: "a list",
    NoneType: "null",
    str: "text",
}


def _misfit(kinds: tuple[Any, ...], value: Any, place: str) -> ValueError:
    """Name containers by their kind, since they can be long; show anything else, cut."""
    expected = " or ".join(_WORDS[kind] for kind in kinds)
    kind = type(value)
    found = repr(value)[:40] if kind in (str, int, float, bool) else _WORDS[kind]
    return ValueError(f"{expected} at {place}, not {found}")
