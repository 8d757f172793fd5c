"""What users type: sizes, counts and lists, read once and refused with one line."""

import argparse
import re
from collections.abc import Collection
from math import inf, nan
from pathlib import Path
from typing import Any, NoReturn

from pipeline.errors import PipelineError

__all__ = [
    "Parser",
    "Size",
    "nearest_sizes",
    "parse_choices",
    "parse_count",
    "parse_file",
    "parse_folder",
    "parse_list",
    "parse_number",
    "parse_size",
    "size_label",
]

Size = tuple[int, int]
"""Width and height in pixels."""


class Parser(argparse.ArgumentParser):
    """Answer a wrong question with one line and exit code 2."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take what begins as a negative number, such as -3GB, for a value (as Python 3.14)."""
        super().__init__(*arguments, **options)
        self._negative_number_matcher = re.compile(r"-\.?\d")

    def error(self, message: str) -> NoReturn:
        """Print the message and how to get help."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")

    def print_help(self, file: Any = None) -> None:
        """Print the help; a full disk is an error, which argparse would hide."""
        print(self.format_help(), end="", file=file)


def parse_list(text: str) -> list[str]:
    """Split `text` at commas; a value that is repeated counts once.

    Raises `PipelineError` for an empty value.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise PipelineError(f"list {text!r}", "values separated by commas", "remove the empty one")
    return list(dict.fromkeys(parts))


def parse_choices(text: str, name: str, known: Collection[str]) -> list[str]:
    """Read a list of known values; an empty text is an empty list.

    `name` is the option that the text belongs to, here and below. Raises `PipelineError` for
    another value.
    """
    values = parse_list(text) if text else []
    for value in values:
        if value not in known:
            raise PipelineError(f"{name} {value}", " or ".join(known), f"change {name}")
    return values


def parse_count(text: str, name: str) -> int:
    """Read a whole number of at least 1; raises `PipelineError` for anything else."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise PipelineError(f"{name} {text}", "a whole number of at least 1", f"change {name}")
    return value


def parse_number(text: str, name: str) -> float:
    """Read a finite number of at least 0; raises `PipelineError` for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = nan
    if not 0 <= value < inf:
        raise PipelineError(f"{name} {text}", "a number from 0", f"change {name}")
    return value


def parse_size(text: str, name: str = "--size", multiple: int = 8) -> Size:
    """Read `512` or `768x512` (width × height, pixels), both divisible by `multiple`.

    Raises `PipelineError`, with the nearest sizes that work, for anything else.
    """
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise PipelineError(f"{name} {text}", "512 or 768x512 (width × height)", f"change {name}")
    width, height = int(parts[0]), int(parts[-1])
    if min(width, height) < 1:
        raise PipelineError(f"{name} {text}", "at least 1 pixel a side", f"change {name}")
    if width % multiple or height % multiple:
        near = nearest_sizes((width, height), multiple)
        raise PipelineError(f"{name} {text}", f"sides divisible by {multiple}", near)
    return width, height


def nearest_sizes(size: Size, multiple: int) -> str:
    """Return `try 512x512 or 520x520` for 513: the nearest sizes that `multiple` divides."""

    def rounded(up: int) -> str:
        width, height = (max(multiple, (side + up) // multiple * multiple) for side in size)
        return size_label((width, height))

    below, above = rounded(0), rounded(multiple - 1)
    return f"try {below} or {above}" if below != above else f"try {above}"


def size_label(size: Size) -> str:
    """Return `768x512` for `(768, 512)`: how a size reads in an id, a table and a file."""
    return f"{size[0]}x{size[1]}"


def parse_file(text: str, name: str) -> Path:
    """Return `text` as a path; raises `PipelineError` for an empty one."""
    if not text:
        raise PipelineError(f"{name} ''", "the name of a file", f"change {name}")
    return Path(text)


def parse_folder(text: str, name: str) -> Path:
    """Return `text` as a folder that exists or can be made.

    Raises `PipelineError` where it, or a folder above it, is a file, for a null byte, and for an
    empty text.
    """
    if not text:
        raise PipelineError(f"{name} ''", "the name of a folder", f"change {name}")
    if "\0" in text:
        raise PipelineError(f"{name} {text}", "a name without a null byte", f"change {name}")
    folder = Path(text)
    for path in (folder, *folder.parents):
        try:
            exists = path.exists()
        except OSError as error:  # such as a name that is too long
            expected = f"a folder ({error.strerror})"
            raise PipelineError(f"{name} {text}", expected, f"change {name}") from error
        if exists and not path.is_dir():
            expected = f"a folder, but {path} is a file"
            raise PipelineError(f"{name} {text}", expected, f"change {name}")
        if exists:
            break
    return folder
