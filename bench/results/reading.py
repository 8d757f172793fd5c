"""JSON values into dataclasses, by msgspec; a value that does not fit is named with its place."""

import re
from copy import deepcopy
from typing import Annotated, Any

import msgspec

__all__ = ["LIMIT", "Number", "Whole", "read"]

LIMIT = 1e30
"""Nothing that a run records is negative, infinite, NaN or this large.

The operations of one call at 100000x100000 are 1e19."""

Number = Annotated[float, msgspec.Meta(ge=0, lt=LIMIT)]
Whole = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]

_WORDS = {
    "object": "an object",
    "array": "a list",
    "str": "text",
    "bool": "true or false",
    "float": "a number from 0",
    "int": "a whole number from 0",
    "null": "null",
}
_SHOWN = {dict: "an object", list: "a list", tuple: "a list", type(None): "null"}
"""Containers by their kind, since they can be long."""


def read(kind: Any, value: Any, place: str) -> Any:
    """Return `value` as `kind`: a dataclass, or any other type that msgspec knows.

    Keys that a dataclass does not have are left out. Raises ValueError, such as "a list at
    row.samples, not null", for the first value that does not fit; `place` is what it calls `value`.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(_misfit(kind, value, place, error)) from error
    except UnicodeEncodeError as error:  # a lone surrogate, which JSON can hold
        raise ValueError(f"text in UTF-8 at {place}, not {error.object!r:.40}") from error


def _misfit(kind: Any, value: Any, place: str, error: msgspec.ValidationError) -> str:
    fault, path = _split(error)
    steps, wrong = _walk(kind, value, path)
    quoted = re.findall(r"`([^`]+)`", fault)
    if fault.startswith("Object missing"):
        return f"{quoted[0]!r} at {place}{steps}"
    names = quoted[0].split(" | ") if quoted else ["int" if "Integer" in fault else "float"]
    expected = " or ".join(words for name, words in _WORDS.items() if name in names)
    shown = _SHOWN.get(type(wrong)) or repr(wrong)[:40]
    return f"{expected} at {place}{steps}, not {shown}"


def _split(error: msgspec.ValidationError) -> tuple[str, str]:
    """Split "Expected `int`, got `str` - at `$.axes[...]`" into what is wrong and where."""
    fault, _, path = str(error).partition(" - at `$")
    return fault, path.removesuffix("`")


def _walk(kind: Any, value: Any, path: str) -> tuple[str, Any]:
    """Return the place that a path of msgspec's leads to, with the keys that it leaves out."""
    value = inner = deepcopy(value)
    steps = ""
    for step in re.findall(r"\.\w+|\[[^]]+\]", path):
        key = step.strip(".[]")
        if step == "[...]":
            key = _leave_the_first_misfit(kind, value, path, inner)
            step = f".{key}"
        inner = inner[int(key)] if step.startswith("[") else inner[key]
        steps += step
    return steps, inner


def _leave_the_first_misfit(kind: Any, value: Any, path: str, mapping: dict[str, Any]) -> str:
    """Leave of a mapping inside `value` the one key that msgspec means, and return it."""
    items = list(mapping.items())
    for key, item in items[:-1]:
        mapping.clear()
        mapping[key] = item
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            if _split(error)[1] == path:
                return key
    mapping.clear()
    mapping.update(items[-1:])
    return items[-1][0]
