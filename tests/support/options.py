"""The options of the axes and of every command, as Markdown tables: from where each is declared."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from unittest.mock import patch

from bench import __main__ as bench
from bench import first_contact, grid
from pipeline import __main__ as pipeline
from pipeline.arguments import Parser

__all__ = ["axes", "tables"]

PROGRAMS: tuple[tuple[Callable[[Sequence[str]], int], str, tuple[str, ...]], ...] = (
    (bench.main, "bench", ("show", "compare", "ab", "noise", "fleet", "report", "history")),
    (first_contact.main, "bench.first_contact", ("",)),
    (pipeline.main, "pipeline", ("generate", "preprocess", "forward", "run", "validate")),
)
"""Each program, its module, and its commands that take options."""

PARTS = ("generate", "preprocess", "forward")
"""Commands whose options `run` takes too; its own table leaves them out."""


def axes() -> str:
    """The options of the grids."""
    lines = ["| Option | Values | Default |", "|--|--|--|"]
    for subject in grid.SUBJECTS.values():
        for axis in subject:
            default = axis.help.removeprefix(f"{axis.about} (default: ").removesuffix(")")
            default = "none" if axis.help == axis.about else default
            lines.append(f"| `{axis.option}` | {axis.about} | {default} |")
    return "\n".join(lines)


def tables() -> str:
    """The options of all commands, each below its heading, as Markdown."""
    texts, known = [], set[str]()
    for main, module, commands in PROGRAMS:
        for command in commands:
            parser = _parser(main, command)
            rows = dict(_rows(parser))
            shown = {
                name: row for name, row in rows.items() if command != "run" or row not in known
            }
            if command in PARTS:
                known |= set(rows.values())
            lines = [f"## python -m {module} {command}".rstrip(), ""]
            if shown != rows:
                lines += [f"Those that {_joined(PARTS)} share with it are left out here.", ""]
            lines += ["| Option | What it does |", "|--|--|", *shown.values()]
            lines += ["", parser.epilog] if parser.epilog else []
            texts.append("\n".join(lines))
    return "\n\n".join(texts)


def _joined(names: Sequence[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def _parser(main: Callable[[Sequence[str]], int], command: str) -> argparse.ArgumentParser:
    """The parser that answers the `--help` of a command."""
    parsers: list[argparse.ArgumentParser] = []
    with (
        patch.object(Parser, "print_help", lambda self, file=None: parsers.append(self)),
        suppress(SystemExit),
    ):
        main([*filter(None, [command]), "--help"])
    (parser,) = parsers
    return parser


def _rows(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """The first name of each argument but `--help`, and its row."""
    formatter = parser._get_formatter()
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        default = (action.metavar or action.dest.upper()) if action.option_strings else action.dest
        values = formatter._format_args(action, default)
        names = [*action.option_strings] or [values]
        if action.option_strings and values:
            names[-1] += f" {values}"
        about = formatter._expand_help(action) if action.help else "–"
        cells = (", ".join(f"`{name}`" for name in names), about)
        row = " | ".join(cell.replace("|", "\\|") for cell in cells)
        yield names[0], f"| {row} |"
