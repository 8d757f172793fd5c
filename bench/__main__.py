"""python -m bench: show, compare, report."""

import argparse
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from shutil import get_terminal_size

from bench.harness import compare_markdown, compare_tables, gate, record, report, sides, tables
from bench.harness.comparison import compare as compare_sides
from bench.harness.texts import wrapped
from pipeline.arguments import Parser
from pipeline.errors import PipelineError, UnavailableError

__all__ = ["main"]

HOLDS, DOES_NOT_HOLD, WRONG_QUESTION = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code.

    0 done; 1 `--fail-on` found a row, or something is not installed; 2 a wrong question, answered
    with one line.
    """
    given = _parser().parse_args(arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a table has signs that not every terminal knows
    try:
        code = int(given.command(given))
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except PipelineError as error:
        print(error, file=sys.stderr)
        return DOES_NOT_HOLD if isinstance(error, UnavailableError) else WRONG_QUESTION
    except BrokenPipeError:  # such as `| head`; what is left has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return HOLDS


def show(given: argparse.Namespace) -> int:
    """Print the tables of a result file, or of the last run's journal."""
    run = record.load(Path(given.file) if given.file else record.nearest_journal())
    print(tables.render(run.rows, run.machine, get_terminal_size().columns, _on_terminal()))
    if not run.complete:
        print(f"\nthe run was cut short; cells that had ended: {len(run.rows)}")
    return HOLDS


def compare(given: argparse.Namespace) -> int:
    """Print how later result files differ from the first, and whether a row fails."""
    gates = {gate.DEFAULT: gate.parse(given.fail_on)} if given.fail_on is not None else None
    comparison = compare_sides(sides.gather(given.files))
    if gates is None:
        gates = gate.from_project(Path.cwd())
    outcome = gate.judge(comparison, gates) if gates else None
    if given.markdown:
        print(compare_markdown.render(comparison, outcome, given.explain))
    else:
        width, color = get_terminal_size().columns, _on_terminal()
        print(compare_tables.render(comparison, width, color, given.explain))
        for line in compare_tables.gate_lines(outcome) if outcome else ():
            print(wrapped(line, width, 4))
    if outcome is not None and not outcome.judged:
        raise PipelineError("fail-on", "a row that can be compared", "the table says what differs")
    return DOES_NOT_HOLD if outcome and outcome.failures else HOLDS


def write_report(given: argparse.Namespace) -> int:
    """Write the report of result files, or of the last run's journal."""
    report.write(given.files, Path(given.out))
    print(f"report: {given.out}")
    return HOLDS


def _on_terminal() -> bool:
    """Say whether output goes to a terminal; after `>&-` there is none, and nothing is printed."""
    return sys.stdout is not None and sys.stdout.isatty()


def _parser() -> Parser:
    parser = Parser(prog="python -m bench", description="read what pytest bench/ has measured")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    each = commands.add_parser("show", help="print the tables of a run")
    each.add_argument("file", nargs="?", help="a result file (default: the last run's journal)")
    each.set_defaults(command=show)
    each = commands.add_parser("compare", help="compare machines or commits with the first")
    each.add_argument(
        "files", nargs="+", metavar="FILE", help="result files; a.json,b.json are runs of one side"
    )
    each.add_argument(
        "--fail-on",
        metavar="WHAT",
        help="slower:10%%, missing, or both with a comma: exit code 1 where a row is that",
    )
    each.add_argument("--explain", action="store_true", help="give every verdict's reason")
    each.add_argument("--markdown", action="store_true", help="print GitHub's Markdown")
    each.set_defaults(command=compare)
    each = commands.add_parser("report", help="write one page of HTML")
    each.add_argument(
        "files", nargs="*", metavar="FILE", help="result files (default: the last run's journal)"
    )
    each.add_argument(
        "-o", "--out", default="report.html", metavar="PAGE", help="default: report.html"
    )
    each.set_defaults(command=write_report)
    return parser


if __name__ == "__main__":
    sys.exit(main())
