"""Errors for the person who reads them: one line with what was given, expected, and what to do."""

import re
from dataclasses import dataclass
from typing import Any

__all__ = [
    "ContractError",
    "Missing",
    "PipelineError",
    "UnavailableError",
    "counted",
    "one_line",
    "plain",
    "with_article",
]

LONGEST = 400
"""How much an error says of what was given, in characters."""


@dataclass(frozen=True)
class Missing:
    """Why something cannot be used here, and what changes that."""

    need: str
    """What `--require` calls it: cuda, compiler, julia, peers, weights or network."""
    what: str
    """What was expected, such as "a CUDA device"."""
    reason: str
    remedy: str

    def __str__(self) -> str:
        """Return the one line that a row, a skip and an error print."""
        return f"{self.reason}; {self.remedy}"


COLORS = re.compile(r"\x1b\[[0-9;]*m")
"""What turns a terminal's colours on and off, as in Ray's errors."""


def plain(text: str) -> str:
    """Return text from outside, such as a name or a key of a file, as one line that is only text.

    Line breaks become spaces; what could move a terminal's cursor, reverse the line or cannot be
    encoded becomes �. Everything that is printed and was not written here goes through this.
    """
    line = " ".join(text.split())
    return "".join(character if character.isprintable() else "�" for character in line)


class PipelineError(Exception):
    """A question that cannot be answered as it was put; `str()` is one line."""

    def __init__(self, given: str, expected: str, remedy: str) -> None:
        """Join the three parts; line breaks inside them become spaces, and `given` is cut."""
        shown = given if len(given) <= LONGEST else f"{given[: LONGEST - 1]}…"
        line = f"{shown}: expected {expected}; {remedy}"
        super().__init__(plain(line))
        self.given, self.expected, self.remedy = given, expected, remedy

    def __reduce__(self) -> tuple[Any, ...]:
        """Let another process raise it again."""
        return type(self), (self.given, self.expected, self.remedy)


class UnavailableError(PipelineError):
    """What was asked for needs something that this machine does not have; `missing` says what."""

    def __init__(self, given: str, missing: Missing) -> None:
        """Say `given`, then why it cannot be and what changes that."""
        super().__init__(given, missing.what, str(missing))
        self.missing = missing

    def __reduce__(self) -> tuple[Any, ...]:
        """Let another process raise it again."""
        return type(self), (self.given, self.missing)


class ContractError(PipelineError):
    """A tensor or an image broke the contract of the boundary that it was to cross."""


def counted(number: int, noun: str) -> str:
    """Return `1 image`, `2 images`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def with_article(noun: str) -> str:
    """Return `an AutoencoderKL`, `a UNet2DConditionModel`, `an ndarray`."""
    return f"{'an' if noun.startswith((*'AEIOaeio', 'nd')) else 'a'} {noun}"


def one_line(error: BaseException | None, length: int = 200) -> str:
    """Return one line of what a library raised, shortened, or the name of its class."""
    text = plain(COLORS.sub("", str(error)))
    if len(text) > length:
        text = text[: length - 1].rstrip() + "…"
    return text or type(error).__name__
