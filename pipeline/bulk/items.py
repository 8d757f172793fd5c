"""Items: prompts of a file, or images, as a table with an id and a seed a row.

Both come from the row itself, never from when it is drawn: a run that is repeated, resumed or
spread over machines gives every item the same id and the same seed.
"""

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import islice
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.arguments import parse_count, parse_number, parse_size, size_label
from pipeline.errors import PipelineError
from pipeline.preprocessing import conversion

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["COLUMNS", "LONGEST_ID", "LONGEST_PROMPT", "MOST_SEED", "of_images", "of_prompts"]

COLUMNS = ("prompt", "id", "seed", "negative_prompt", "steps", "guidance", "size")
"""What a row of a prompt file may have; only the first is needed."""

LONGEST_PROMPT = 5000
"""Characters. Text encoders read 77 to 512 tokens, fewer characters than this."""

LONGEST_ID = 60
"""Characters. A PNG is named after its id; a character takes up to 12 bytes in a name of 255, and
only of ids in such an alphabet not all 60 fit."""

LONGEST_NAME = 200
"""Bytes of an id as a file name."""

MOST_SEED = 2**63 - 1
"""Parquet's largest whole number; torch takes it too."""

MOST_STEPS = 2**31 - 1
"""What the dataset's column holds; a model refuses far fewer."""

SLICE = 10_000
"""Rows that are held as Python objects at a time."""

Rows = Iterator[tuple[str, Mapping[str, Any]]]
"""Where a row stands, such as `prompts.csv line 3`, and what it holds."""


def of_prompts(path: Path, seed: int = 0) -> "pa.Table":
    """Read the prompts of a file: text (one a line), JSON Lines, CSV or Parquet, by its suffix.

    A row without an id gets one from its content, with a number behind it where rows are equal; a
    row without a seed gets one from its content too, plus `seed`. Raises `PipelineError` for the
    first row that is wrong, a missing column, an id that comes twice, and a file without a prompt.
    """
    name = f"--prompts {path}"
    if path.suffix.lower() not in READERS:
        known = ", ".join(suffix for suffix in READERS if suffix)
        raise PipelineError(name, f"one of {known}", "convert it")
    if not path.is_file():
        raise PipelineError(name, "a file that exists", "check the path")
    rows = READERS[path.suffix.lower()](path)
    try:
        table = _table(_prompts(rows, seed))
    except UnicodeDecodeError as error:
        raise PipelineError(name, f"UTF-8 ({error.reason})", "encode it as UTF-8") from error
    except OSError as error:
        expected = f"a file that can be read ({error.strerror or error})"
        raise PipelineError(name, expected, "check it") from error
    if not len(table):
        raise PipelineError(name, "at least one prompt, but it has none", "add a prompt")
    return table


def of_images(paths: Sequence[str], out: Path) -> "tuple[pa.Table, str]":
    """Find images as `conversion.find` does; return them with the notice about what is left out.

    An image's id is its file name with a digest of its absolute path, size and date: one that has
    changed is another item.
    """
    found = conversion.find(paths, out)
    sources = [Path(os.path.abspath(source)) for source in found.missing]
    for path in sources:
        _require_utf8(str(path), f"image {path}")
    ids = [f"{conversion.shortened(path.stem, LONGEST_ID - 17)}-{_state(path)}" for path in sources]
    rows = ({"id": id_, "source": str(path)} for id_, path in zip(ids, sources, strict=True))
    return _table(rows), found.notice()


def _state(path: Path) -> str:
    """Return a digest of where an image is, and of its size and date where there is a file."""
    try:
        status = os.stat(path)
        state = f"{status.st_size} {status.st_mtime_ns}"
    except OSError:
        state = "missing"
    return _digest([os.fsdecode(path), state])


def _table(rows: Iterable[Mapping[str, Any]]) -> "pa.Table":
    import pyarrow as pa

    schema = pa.schema(
        {
            "id": pa.string(),
            "prompt": pa.string(),
            "source": pa.string(),
            "seed": pa.int64(),
            "negative_prompt": pa.string(),
            "steps": pa.int32(),
            "guidance": pa.float64(),
            "size": pa.string(),
        }
    )
    rows = iter(rows)
    parts = [schema.empty_table()]
    while slice_ := list(islice(rows, SLICE)):
        parts.append(pa.Table.from_pylist(slice_, schema))
    return pa.concat_tables(parts).combine_chunks()


# Prompts: the readers by suffix, then what a row becomes.


def _text(path: Path) -> Rows:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield f"{path.name} line {number}", {"prompt": line.strip()}


def _json_lines(path: Path) -> Rows:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path.name} line {number}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise PipelineError(where, f"JSON ({error})", "correct the line") from error
            if not isinstance(row, dict):
                raise PipelineError(where, 'an object, such as {"prompt": "…"}', "correct the line")
            yield where, row


def _csv(path: Path) -> Rows:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, strict=True)
        try:
            _require_prompt(path, rows.fieldnames or ())
            for row in rows:
                where = f"{path.name} line {rows.line_num}"
                if None in row:
                    expected = f"{len(rows.fieldnames or ())} columns, but it has more"
                    raise PipelineError(where, expected, "put quotes around commas in a prompt")
                yield where, row
        except csv.Error as error:
            where = f"{path.name} line {rows.line_num}"
            raise PipelineError(where, f"CSV ({error})", "correct the line") from error


def _parquet(path: Path) -> Rows:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _require_prompt(path, names)
            number = 0
            for batch in file.iter_batches(columns=[name for name in COLUMNS if name in names]):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path.name} row {number}", row
    except pa.ArrowException as error:
        given, expected = f"--prompts {path}", f"a Parquet file ({error})"
        raise PipelineError(given, expected, "write it again") from error


READERS: dict[str, Callable[[Path], Rows]] = {
    ".txt": _text,
    "": _text,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".csv": _csv,
    ".parquet": _parquet,
}


def _require_prompt(path: Path, names: Sequence[str]) -> None:
    if "prompt" not in names:
        given = f"--prompts {path} with {'columns ' + ', '.join(names) if names else 'no columns'}"
        raise PipelineError(given, "a column prompt", "rename the one that holds the prompts")
    twice = [name for name in COLUMNS if list(names).count(name) > 1]
    if twice:
        given = f"--prompts {path} with {list(names).count(twice[0])} columns {twice[0]}"
        raise PipelineError(given, "one", "rename the others")


def _prompts(rows: Rows, base: int) -> Iterator[Mapping[str, Any]]:
    copies = Counter[str]()
    owners: dict[str, str] = {}
    for where, raw in rows:
        row = {name: _value(raw.get(name)) for name in COLUMNS}
        item = {
            "prompt": _prompt(where, row["prompt"]),
            "negative_prompt": _optional(where, row, "negative_prompt", _plain_text),
            "steps": _optional(where, row, "steps", _steps),
            "guidance": _optional(where, row, "guidance", parse_number),
            "size": _optional(where, row, "size", _size),
            "id": _optional(where, row, "id", _id),
            "seed": _optional(where, row, "seed", _seed),
        }
        content = _digest([item[name] for name in sorted(item)])
        if item["id"] is None:
            copies[content] += 1
            item["id"] = content if copies[content] == 1 else f"{content}-{copies[content]}"
        if (other := owners.setdefault(item["id"], where)) != where:
            remedy = "give each row an id of its own"
            expected = f"an id that comes once, but {other} has it too"
            raise PipelineError(f"{where}: id {item['id']}", expected, remedy)
        if item["seed"] is None:
            digest = _digest([content, item["id"]])
            item["seed"] = (int(digest[:8], 16) + base) % 2**32
        yield item


def _value(value: Any) -> Any:
    """Return None for what files have instead of a value."""
    missing = value is None or value == "" or (isinstance(value, float) and isnan(value))
    return None if missing else value


def _optional(
    where: str, row: Mapping[str, Any], name: str, parse: Callable[[str, str], Any]
) -> Any:
    """Read a value that may be absent; a whole float, as pandas writes it, is a whole number."""
    value = row[name]
    if value is None:
        return None
    if isinstance(value, bool | list | dict):
        expected = "one value" if isinstance(value, list | dict) else "a text or a number"
        raise PipelineError(f"{where}: {name} {value!r}", expected, f"change {name}")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return parse(str(value), f"{where}: {name}")


def _prompt(where: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        given = "no prompt" if value is None else f"prompt {value!r}"
        raise PipelineError(f"{where}: {given}", "a text", "write one, or remove the row")
    return _plain_text(value, f"{where}: prompt")


def _plain_text(text: str, name: str) -> str:
    if len(text) > LONGEST_PROMPT:
        expected = f"at most {LONGEST_PROMPT}: models read 77 to 512 tokens"
        raise PipelineError(f"{name} of {len(text)} characters", expected, "shorten it")
    return _require_utf8(text, name)


def _require_utf8(text: str, name: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        given = f"{name} with {text[error.start : error.end]!r}"
        raise PipelineError(given, "a text that UTF-8 can hold", "change it") from error
    return text


def _id(text: str, name: str) -> str:
    from urllib.parse import quote

    if len(text) > LONGEST_ID or len(quote(_require_utf8(text, name), safe=" ")) > LONGEST_NAME:
        expected = f"at most {LONGEST_ID} characters that fit into a file name"
        raise PipelineError(f"{name} of {len(text)} characters", expected, "shorten it")
    if not text.isprintable() or text != text.strip():
        raise PipelineError(f"{name} {text!r}", "a printable text", "change it")
    return text


def _steps(text: str, name: str) -> int:
    steps = parse_count(text, name)
    if steps > MOST_STEPS:
        raise PipelineError(f"{name} {steps}", f"at most {MOST_STEPS}", "change it")
    return steps


def _seed(text: str, name: str) -> int:
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if not 0 <= seed <= MOST_SEED:
        raise PipelineError(f"{name} {text}", "a whole number from 0 to 2**63 - 1", "change it")
    return seed


def _size(text: str, name: str) -> str:
    return size_label(parse_size(text, name))


def _digest(values: Sequence[Any]) -> str:
    text = json.dumps(values, ensure_ascii=True)
    return blake2b(text.encode(), digest_size=8).hexdigest()
