"""Damaging a result file or a journal: it loads, or it is refused with one line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.reporting import tables
from bench.results import record
from pipeline.errors import PipelineError

OTHERS: list[Any] = [None, True, 7, -1, 1e300, "text", [], [None], {"text": None}]


def refused(path: Path) -> str:
    """The line with which a file is refused, after its path."""
    with pytest.raises(PipelineError) as error:
        record.load(path)
    given, _, expected = str(error.value).partition(": expected ")
    assert given == str(path)
    return expected


def loads_or_is_refused(path: Path) -> bool:
    """Whether a file loads, and then shows; any other error than a line of ours is a failure."""
    try:
        run = record.load(path)
    except PipelineError as error:
        line = str(error)
    else:
        tables.render(run.rows, run.machine, 80)
        return True
    assert "\n" not in line
    assert line.startswith(f"{path}: expected ")
    return False


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key and index of a document, as a path from its top."""
    pairs = (
        value.items() if isinstance(value, dict) else enumerate(value)
        if isinstance(value, list) else ()
    )  # fmt: skip
    for key, inner in pairs:
        yield (*above, key)
        yield from places(inner, (*above, key))


def changed(content: Any, place: tuple[Any, ...], *replacement: Any) -> Any:
    *above, last = place
    inner = content
    try:
        for key in above:
            inner = inner[key]
        if replacement:
            inner[last] = replacement[0]
        else:
            del inner[last]
    except (LookupError, TypeError):
        pass  # an earlier change has removed this place
    return content
