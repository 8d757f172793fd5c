"""The pages for people: their blocks, and whether what they show is what one gets.

A `console` block holds commands behind `$` and what they print. `…` alone on a line stands for any
lines, within a line for any words. Numbers and the marks of footnotes differ from run to run, so
they match any others. A block below `<!-- not run: why -->` is not run; its options must be known.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.helpers import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]

ANY = "…"

FENCE = re.compile(
    r"(?:<!-- (?P<why>not run: [^>]+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
NUMBER = re.compile(r"[±×+-]?\d[\d.,–x]*%?|–")
UNITS = frozenset({"%", "ns", "µs", "ms", "s", "KiB", "MiB", "GiB", "±", "×"})
PROGRESS = re.compile(r"\w+: # of # \w+, .*")
MARKS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]+(?:,[⁰¹²³⁴⁵⁶⁷⁸⁹]+)*")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    language: str
    text: str
    why_not: str = ""
    """Why it is not run here; empty where it is."""


@dataclass
class Command:
    """A command of a console block, and the lines that it prints."""

    text: str
    output: list[str] = field(default_factory=list)


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, from top to bottom."""
    for match in FENCE.finditer(page.read_text(encoding="utf-8")):
        yield Block(match["language"], match["text"], match["why"] or "")


def commands(block: Block) -> list[Command]:
    """The commands of a console block."""
    result: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            result.append(Command(line[2:]))
        elif result:
            result[-1].output.append(line)
    return result


def plain(line: str) -> str:
    """A line without what differs from run to run.

    Marks of footnotes and rules of tables go; numbers in a row, with their units, become one `#`,
    so that a column more or less of them makes no difference; so does the unit of a heading.
    """
    words: list[str] = []
    line = re.sub(r"\b(?:ns|µs|ms|s)(?=/(?:image|call))", "ms", MARKS.sub("", line))
    for word in re.sub(r"[─━]+", " ", line).split():
        number = NUMBER.fullmatch(word.rstrip(",;:")) is not None
        if number or (word in UNITS and words and words[-1] == "#"):
            if words[-1:] != ["#"]:
                words.append("#")
        else:
            words.append(word)
    return " ".join(words)


def matches(shown: Sequence[str], printed: Sequence[str]) -> bool:
    """Whether the lines of a page stand for the printed ones, in order.

    Lines of progress, which slow machines print, are left out.
    """
    pattern = ""
    for line in map(plain, shown):
        if line == ANY:
            pattern += r"(?:.*\n)*?"
        elif line:
            escaped = re.escape(line).replace(rf"\ {ANY}", f" {ANY}").replace(f" {ANY}", "(?: .*)?")
            pattern += escaped.replace(ANY, ".*") + r"\n"
    lines = (line for line in map(plain, printed) if line and not PROGRESS.fullmatch(line))
    text = "".join(f"{line}\n" for line in lines)
    return re.fullmatch(pattern, text) is not None
