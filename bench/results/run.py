"""One run as it was recorded, and what reading any record of it shares."""

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bench.machine.records import summary
from bench.results.cell import Row
from bench.results.rates import start_and_end
from bench.results.reading import read
from pipeline.errors import PipelineError
from pipeline.files import read_bytes

__all__ = [
    "AGAIN",
    "ENDED",
    "SCHEMA",
    "Run",
    "bytes_of",
    "check_schema",
    "first_wrong",
    "machine_of",
    "parsed",
    "text_of",
    "wrong",
]

SCHEMA = 1
"""Version of everything that is written here; a file of a newer one is refused."""

ENDED = (0, 1)
"""pytest's exit codes of a run that came to its end: all held, or a test failed."""

AGAIN = "measure again"
MAXIMUM_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Run:
    """One run as it was recorded."""

    machine: Mapping[str, Any]
    """The records `hardware`, `software` and `state`; `guards`: for every sensor, why it cannot be
    read; `workload`: rates at the run's start and end."""
    rows: tuple[Row, ...]
    """Every cell's row, in the order in which they ended; from a file, measured ones first."""
    begun: str = ""
    """Its date and time, as ISO 8601."""
    commit: Mapping[str, Any] = field(default_factory=dict)
    """pytest-benchmark's `commit_info`."""
    complete: bool = True
    """False where the run was cut short."""
    skipped: int = 0
    """Lines of a journal that could not be read."""


def bytes_of(path: Path) -> bytes:
    """Read a file without a byte order mark, which some shells write.

    Raises `PipelineError` for one that cannot be read, or is too large.
    """
    try:
        content = read_bytes(path, MAXIMUM_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        cause = getattr(error, "strerror", None) or str(error)
        raise wrong(path, f"a file that can be read ({cause})", "check the path") from error
    if content is None:
        raise wrong(path, "at most 1 GB", "measure fewer cells into one file")
    return content.removeprefix(codecs.BOM_UTF8)


def text_of(path: Path) -> str:
    """Read a text file; raises `PipelineError` as `bytes_of`, and for what is not text."""
    try:
        return bytes_of(path).decode()
    except UnicodeDecodeError as error:
        raise wrong(path, "a text file", "pass what --benchmark-json wrote") from error


def parsed(path: Path, text: str) -> Any:
    """Return the JSON of `text`; raises `PipelineError` that names the line of a fault."""

    def refuse(constant: str) -> None:
        where = f"line {1 + _line_of_constant(text)}"
        raise wrong(path, f"finite numbers, not {constant} ({where})", AGAIN)

    with suppress(ValueError, RecursionError):
        return msgspec.json.decode(text)  # a third of the time; what it refuses, json names
    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise wrong(
            path, f"whole JSON ({error.msg} at {where})", "it may be cut off: measure again"
        ) from error
    except RecursionError as error:
        raise wrong(path, "JSON that is not nested this deep", AGAIN) from error
    except ValueError as error:  # sys.get_int_max_str_digits
        raise wrong(path, "numbers of fewer than 4300 digits", AGAIN) from error


def machine_of(data: Any, place: str) -> Mapping[str, Any]:
    """Return the machine's records; raises ValueError for anything else."""
    records: Mapping[str, Any] = read(Mapping[str, Mapping[str, Any]], data, place)
    try:
        summary(records)
        start_and_end(records)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"records of a machine at {place}") from error
    return records


def check_schema(path: Path, schema: Any) -> None:
    """Raise `PipelineError` for what a newer version has written."""
    if type(schema) is not int or schema < 1:
        raise wrong(path, f"a schema version, not {schema!r:.40}", AGAIN)
    if schema > SCHEMA:
        raise wrong(path, f"schema {SCHEMA} or older, not {schema!s:.20}", "update sd-flux-bench")


@contextmanager
def first_wrong(path: Path) -> Iterator[None]:
    """Turn the first ValueError, which says what was expected and where, into one line."""
    try:
        yield
    except ValueError as error:
        raise wrong(path, str(error), AGAIN) from error


def wrong(path: Path, expected: str, remedy: str) -> PipelineError:
    """Return the error for a file that is not as expected."""
    return PipelineError(str(path), expected, remedy)


def _line_of_constant(text: str) -> int:
    """Count the lines before the first NaN or infinity that is not inside a string."""
    tokens = re.finditer(r'"(?:[^"\\]|\\.)*"|NaN|Infinity', text)
    first = next(token.start() for token in tokens if token[0][0] != '"')
    return text.count("\n", 0, first)
