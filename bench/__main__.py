"""python -m bench: show."""

import argparse
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from shutil import get_terminal_size

from bench.harness import record, tables
from pipeline.arguments import Parser
from pipeline.errors import PipelineError

__all__ = ["main"]

HOLDS, WRONG_QUESTION = 0, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 2 a wrong question, answered with one line."""
    given = _parser().parse_args(arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a table has signs that not every terminal knows
    try:
        return int(given.command(given))
    except PipelineError as error:
        print(error, file=sys.stderr)
        return WRONG_QUESTION


def show(given: argparse.Namespace) -> int:
    """Print the tables of a result file, or of the last run's journal."""
    run = record.load(Path(given.file) if given.file else record.nearest_journal())
    print(tables.render(run.rows, run.machine, get_terminal_size().columns, sys.stdout.isatty()))
    if not run.complete:
        print(f"\nthe run was cut short; cells that had ended: {len(run.rows)}")
    return HOLDS


def _parser() -> Parser:
    parser = Parser(prog="python -m bench", description="read what pytest bench/ has measured")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    each = commands.add_parser("show", help="print the tables of a run")
    each.add_argument("file", nargs="?", help="a result file (default: the last run's journal)")
    each.set_defaults(command=show)
    return parser


if __name__ == "__main__":
    sys.exit(main())
