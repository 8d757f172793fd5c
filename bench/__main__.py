"""python -m bench: show, compare, ab, noise, report, history."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

from bench.comparing import ab as interleaved
from bench.comparing import ab_command, gate, sides, trees
from bench.comparing import noise as records_of_noise
from bench.comparing.ab_command import Told
from bench.comparing.comparison import Comparison
from bench.comparing.comparison import compare as compare_sides
from bench.comparing.pair import Half
from bench.comparing.verdict import in_turns
from bench.history import command as history
from bench.machine import records as machine
from bench.reporting import compare_markdown, compare_tables, report, tables
from bench.reporting.texts import wrapped
from bench.results import record
from pipeline.arguments import Parser
from pipeline.errors import PipelineError, UnavailableError

__all__ = ["main"]

HOLDS, DOES_NOT_HOLD, WRONG_QUESTION, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code.

    0 done; 1 `--fail-on` found a row, or something is not installed; 2 a wrong question, answered
    with one line; 130 Ctrl-C.
    """
    parser = _parser()
    given, rest = parser.parse_known_args(arguments)
    if rest and given.command not in (ab, noise):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    given.rest = rest
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
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
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
    gates = _gates(given)
    gathered = sides.gather(given.files)
    comparison = compare_sides(gathered, noise=[_recorded(side.machine) for side in gathered])
    return _print(given, comparison, gates)


def ab(given: argparse.Namespace) -> int:
    """Compare two trees, or two configurations of one, in pairs of fresh processes."""
    gates = _gates(given)
    ab_command.seconds(given.budget)
    if not given.base and given.head:
        raise PipelineError(f"--head {given.head}", "--base too", "add --base REF")
    if not (given.base or given.a or given.b):
        raise PipelineError("ab", "--base REF, or --a and --b", "add --base main")
    recorded = records_of_noise.known(machine.hardware(), Path.cwd())
    limit = in_turns(recorded.in_turns if recorded else None)
    with ab_command.scratch() as root:
        halves = _halves(given, root)

        def compared(outcome: interleaved.Outcome, final: bool = False) -> Comparison:
            return interleaved.compared(halves, outcome.pairs, limit, final)

        outcome = _measured(given, halves, root, compared)
    if not outcome.pairs:
        print("interrupted before the first pair had ended", file=sys.stderr)
        return INTERRUPTED
    print(f"{ab_command.headline(outcome)}\n")
    code = _print(given, compared(outcome, final=True), gates)
    return INTERRUPTED if outcome.interrupted else code


def noise(given: argparse.Namespace) -> int:
    """Measure the working tree against itself, and keep what that says of this machine."""
    with ab_command.scratch() as root:
        halves = _halves(given, root)
        outcome = _measured(given, halves, root)
    if len(outcome.pairs) < interleaved.BLOCK:
        print("interrupted before the first block had ended", file=sys.stderr)
        return INTERRUPTED
    cells = records_of_noise.by_cell(outcome.pairs)
    if not cells:
        raise PipelineError("noise", "a cell that was measured", "python -m bench show")
    found = records_of_noise.overall(cells, outcome.pairs)
    print(f"{ab_command.headline(outcome)}\n")
    rates = (
        records_of_noise.wrong_of_runs(outcome.pairs),
        records_of_noise.wrong_of_pairs(outcome.pairs, in_turns()),
    )
    width, color = get_terminal_size().columns, sys.stdout.isatty()
    print(compare_tables.render_noise(cells, found, *rates, width, color))
    if found.pairs >= records_of_noise.FEWEST:
        path = records_of_noise.keep(found, Path.cwd())
        print(f"kept for compare and ab: {path.relative_to(Path.cwd())}")
    return INTERRUPTED if outcome.interrupted else HOLDS


def _measured(
    given: argparse.Namespace,
    halves: tuple[Half, Half],
    root: Path,
    compared: Callable[[interleaved.Outcome], Comparison] | None = None,
) -> interleaved.Outcome:
    """Measure until every row of `compared` is decided; without it, as long as the budget lasts."""
    budget = ab_command.seconds(given.budget)
    told = Told(budget, sys.stderr)
    for half in halves if compared else halves[:1]:
        print(f"{half.label}: {half.what}", file=sys.stderr)
    selected = ab_command.selection(given.rest)
    print(f"pytest {' '.join(selected)}; at most {budget:g} s", file=sys.stderr, flush=True)

    def tell(outcome: interleaved.Outcome) -> bool:
        rows = left = None
        if compared:
            comparison = compared(outcome)
            left = interleaved.undecided(comparison)
            rows = (len(comparison.lines) - left, len(comparison.lines))
        told.say(outcome, rows)
        return left == 0

    try:
        return interleaved.run(halves, selected, budget, root, tell)
    finally:
        told.clear()


def _recorded(records: Mapping[str, Any]) -> float:
    """Return how far apart two runs on a machine lie; 0 where that is not on record."""
    found = records_of_noise.known(records.get("hardware") or {}, Path.cwd())
    return found.runs_apart if found else 0.0


def _halves(given: argparse.Namespace, root: Path) -> tuple[Half, Half]:
    """Make the trees: A is `--base`, B `--head`; the working tree where they are not given."""
    trees_ = []
    for label, reference in (("A", given.base), ("B", given.head)):
        folder = root / f"tree-{label}"
        folder.mkdir()
        trees_.append(trees.commit(reference, folder) if reference else trees.working(folder))
    told = [interleaved.options_of(text or "") for text in (given.a, given.b)]
    return Half("A", trees_[0], *told[0]), Half("B", trees_[1], *told[1])


def _gates(given: argparse.Namespace) -> dict[str, gate.Gate]:
    """Return the gates: those of `--fail-on`, else those of the project."""
    if given.fail_on is not None:
        return {gate.DEFAULT: gate.parse(given.fail_on)}
    return gate.from_project(Path.cwd())


def _print(given: argparse.Namespace, comparison: Comparison, gates: dict[str, gate.Gate]) -> int:
    """Print a comparison, and hold it against the gates."""
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
    _add_printing(each)
    each.set_defaults(command=compare)
    each = commands.add_parser(
        "ab",
        help="compare two trees on this machine, interleaved",
        epilog="Everything else goes to pytest on both sides: -k, files, --sd-model, …",
        allow_abbrev=False,
    )
    each.add_argument("--base", metavar="REF", help="the commit of side A")
    each.add_argument(
        "--head", metavar="REF", help="the commit of side B (default: the working tree as it is)"
    )
    for name in ("a", "b"):
        each.add_argument(
            f"--{name}", metavar="OPTIONS", help=f"what pytest is told on side {name.upper()} alone"
        )
    _add_budget(each)
    _add_printing(each)
    each.set_defaults(command=ab)
    each = commands.add_parser(
        "noise",
        help="measure the working tree against itself: the noise floor of this machine",
        epilog="Everything else goes to pytest: -k, files, --sd-model, …",
        allow_abbrev=False,
    )
    _add_budget(each)
    each.set_defaults(command=noise, base=None, head=None, a=None, b=None)
    each = commands.add_parser("report", help="write one page of HTML")
    each.add_argument(
        "files", nargs="*", metavar="FILE", help="result files (default: the last run's journal)"
    )
    each.add_argument(
        "-o", "--out", default="report.html", metavar="PAGE", help="default: report.html"
    )
    each.set_defaults(command=write_report)
    each = commands.add_parser("history", help="say which commit made a machine's results slower")
    history.add_to(each)
    return parser


def _add_budget(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--budget",
        default=f"{ab_command.DEFAULT_BUDGET:g}",
        metavar="SECONDS",
        help="how long it may take (default: %(default)s)",
    )


def _add_printing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fail-on",
        metavar="WHAT",
        help="slower:10%%, missing, or both with a comma: exit code 1 where a row is that",
    )
    parser.add_argument("--explain", action="store_true", help="give every verdict's reason")
    parser.add_argument("--markdown", action="store_true", help="print GitHub's Markdown")


if __name__ == "__main__":
    sys.exit(main())
