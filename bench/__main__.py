"""python -m bench: show, compare, ab, noise, fleet, report, history."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

from bench.comparing import ab as interleaved
from bench.comparing import across, gate, sides
from bench.comparing import noise as noise_records
from bench.comparing.comparison import Comparison
from bench.comparing.comparison import compare as compare_sides
from bench.comparing.pair import Half
from bench.comparing.verdict import in_turns
from bench.fleet import command as fleets
from bench.history import command as history
from bench.machine import records as machine
from bench.reporting import compare_markdown, compare_tables, report, tables
from bench.reporting.texts import wrapped
from bench.results import record
from pipeline.arguments import Parser, parse_list
from pipeline.errors import PipelineError, plain
from pipeline.exits import DOES_NOT_HOLD, HOLDS, INTERRUPTED, exit_code

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code, as `exit_code` says."""

    def command() -> int:
        options = _options(arguments)
        return int(options.command(options))

    return exit_code(command)


def show(options: argparse.Namespace) -> int:
    """Print the tables of a result file, or of the last run's journal."""
    run = record.load(options.file or record.nearest_journal())
    if options.json:
        from bench.measuring import saving  # imports pytest, which no other command needs

        print(json.dumps(saving.document(run), indent=4, allow_nan=False))
        return HOLDS
    print(f"run of {run.begun[:16].replace('T', ' ')} UTC\n" if run.begun else "")
    print(tables.render(run.rows, run.machine, get_terminal_size().columns, _on_terminal()))
    if not run.complete:
        print(f"\nthe run was cut short; cells that had ended: {len(run.rows)}")
    if run.skipped:
        print(f"\nlines of the journal that are damaged and left out: {run.skipped}")
    return HOLDS


def compare(options: argparse.Namespace) -> int:
    """Print how later result files differ from the first, and whether a row fails."""
    gates = _gates(options)
    gathered = sides.gather(options.files, least=1 if options.across else 2)
    if len(gathered) == 1:
        gathered = across.of_one_file(gathered[0], options.across)
    else:
        gathered = across.rematched(gathered, options.across)
    noise = [_runs_apart(side.machine) for side in gathered]
    return _print(options, compare_sides(gathered, noise=noise), gates)


def ab(options: argparse.Namespace) -> int:
    """Compare two trees, or two configurations of one, in pairs of fresh processes."""
    gates = _gates(options)
    if not options.base and options.head:
        raise PipelineError(f"--head {options.head}", "--base too", "add --base REF")
    if not (options.base or any(options.a) or any(options.b)):
        raise PipelineError("ab", "--base REF, or --a and --b", "add --base main")
    known = noise_records.known(machine.hardware(), Path.cwd())
    limit = in_turns(known.in_turns if known else None)
    with interleaved.scratch() as root:
        halves = interleaved.halves(root, options.base, options.head, options.a, options.b)

        def compared(series: interleaved.Series, final: bool = False) -> Comparison:
            return interleaved.compared(halves, series.pairs, limit, final)

        series = _measured(options, halves, root, compared)
    if not series.pairs:
        print("interrupted before the first pair had ended", file=sys.stderr)
        return INTERRUPTED
    print(f"{series}\n")
    code = _print(options, compared(series, final=True), gates)
    return INTERRUPTED if series.interrupted else code


def noise(options: argparse.Namespace) -> int:
    """Measure the working tree against itself, and keep what that says of this machine."""
    nothing = interleaved.options("")
    with interleaved.scratch() as root:
        halves = interleaved.halves(root, None, None, nothing, nothing)
        series = _measured(options, halves, root)
    if len(series.pairs) < interleaved.BLOCK:
        print("interrupted before the first block had ended", file=sys.stderr)
        return INTERRUPTED
    cells = noise_records.by_cell(series.pairs)
    if not cells:
        raise PipelineError("noise", "a cell that was measured", "python -m bench show")
    overall = noise_records.overall(cells, series.pairs)
    print(f"{series}\n")
    of_runs = noise_records.wrong_of_runs(series.pairs)
    of_pairs = noise_records.wrong_of_pairs(series.pairs, in_turns())
    width = get_terminal_size().columns
    print(compare_tables.render_noise(cells, overall, of_runs, of_pairs, width, _on_terminal()))
    if overall.pairs >= noise_records.FEWEST:
        path = noise_records.keep(overall, Path.cwd())
        print(f"kept for compare and ab: {path.relative_to(Path.cwd())}")
    return INTERRUPTED if series.interrupted else HOLDS


def fleet(options: argparse.Namespace) -> int:
    """Measure the same cells on every node of a cluster, and compare the machines."""
    gates = _gates(options)
    measured = fleets.run(options)
    code = measured.code
    runs = {str(file): record.load(file) for file in measured.files}
    files = [file for file, run in runs.items() if any(row.samples for row in run.rows)]
    if len(files) > 1:
        gathered = sides.gather(files, apart=True)
        noise = [_runs_apart(side.machine) for side in gathered]
        code = max(code, _print(options, compare_sides(gathered, noise=noise), gates))
    else:
        for file, run in runs.items():
            width = get_terminal_size().columns
            table = tables.render(run.rows, run.machine, width, _on_terminal())
            print(_named(Path(file).stem, table, options.markdown))
    print("\n".join(f"results: {file} ({node})" for file, node in measured.files.items()))
    if len(files) < 2 and (gates or options.explain):
        given = "fail-on" if gates else "--explain"
        expected = f"two machines that have measured, and there are {len(files)}"
        print(PipelineError(given, expected, "nothing was compared"), file=sys.stderr)
        code = max(code, DOES_NOT_HOLD if options.fail_on is not None else HOLDS)
    return code


def _named(name: str, table: str, markdown: bool) -> str:
    """Return a machine's table under its name; in Markdown as it stands."""
    return f"### {name}\n\n```\n{table}\n```\n" if markdown else f"{name}\n\n{table}\n"


def write_report(options: argparse.Namespace) -> int:
    """Write the report of result files, or of the last run's journal."""
    report.write(options.files, options.out)
    print(f"report: {plain(str(options.out))}")
    return HOLDS


def _measured(
    options: argparse.Namespace,
    halves: tuple[Half, Half],
    root: Path,
    compared: Callable[[interleaved.Series], Comparison] | None = None,
) -> interleaved.Series:
    """Measure until every row of `compared` is decided; without it, until the budget is spent."""
    progress = interleaved.Progress(options.budget, sys.stderr)
    for half in halves if compared else halves[:1]:
        print(f"{half.label}: {half.what}", file=sys.stderr)
    selected = interleaved.selection(options.rest)
    limit = f"at most {options.budget:g} s"
    print(f"pytest {' '.join(selected)}; {limit}", file=sys.stderr, flush=True)

    def enough(series: interleaved.Series) -> bool:
        if compared is None:
            progress.show(series, None)
            return False
        comparison = compared(series)
        undecided, rows = interleaved.undecided(comparison), len(comparison.lines)
        progress.show(series, (rows - undecided, rows))
        return not undecided

    try:
        return interleaved.run(halves, selected, options.budget, root, enough)
    finally:
        progress.clear()


def _runs_apart(records: Mapping[str, Any]) -> float:
    """Return how far two runs on a machine lie apart; 0 where that is not on record."""
    known = noise_records.known(records.get("hardware") or {}, Path.cwd())
    return known.runs_apart if known else 0.0


def _gates(options: argparse.Namespace) -> dict[str, gate.Gate]:
    """Return the gates: that of `--fail-on`, else those of the project."""
    if options.fail_on is not None:
        return {gate.DEFAULT: options.fail_on}
    return gate.from_project(Path.cwd())


def _print(options: argparse.Namespace, comparison: Comparison, gates: dict[str, gate.Gate]) -> int:
    """Print a comparison, and hold it against the gates."""
    outcome = gate.judge(comparison, gates, tables.LAYOUTS) if gates else None
    if options.markdown:
        print(compare_markdown.render(comparison, outcome, options.explain))
    else:
        width = get_terminal_size().columns
        print(compare_tables.render(comparison, width, _on_terminal(), options.explain))
        for line in compare_tables.gate_lines(outcome) if outcome else ():
            print(wrapped(line, width, 4))
    if outcome is not None and not outcome.judged:
        raise PipelineError("fail-on", "a row that can be compared", "the table says what differs")
    return DOES_NOT_HOLD if outcome and outcome.failures else HOLDS


DESCRIPTION = "measure two trees, this machine's noise or a cluster; show what was measured"
EPILOG = "For the first run on a new GPU: python -m bench.first_contact"


def _on_terminal() -> bool:
    return sys.stdout.isatty()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; what `ab` and `noise` do not know is left for pytest, in `rest`."""
    parser = Parser(prog="python -m bench", description=DESCRIPTION, epilog=EPILOG)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = _add(commands, "show", "print the tables of a run")
    command.add_argument(
        "file", nargs="?", type=Path, help="a result file (default: the last run's journal)"
    )
    command.add_argument(
        "--json", action="store_true", help="print it as pytest-benchmark's JSON instead"
    )
    command.set_defaults(command=show)
    command = _add(commands, "compare", "compare machines or commits with the first")
    command.add_argument(
        "files", nargs="+", metavar="FILE", help="result files; a.json,b.json are runs of one side"
    )
    command.add_argument(
        "--across",
        type=parse_list,
        metavar="AXES",
        help="match cells that differ in these axes alone (device,dtype,engine,mode,…); of one "
        "file, its settings of them (default: the fewest axes, where two files share no id)",
    )
    _add_printing(command)
    command.set_defaults(command=compare)
    command = _add(
        commands,
        "ab",
        "compare two trees on this machine, interleaved; it takes --base, or --a or --b",
        epilog="All other options go to pytest on both sides: -k, files, --sd-model, …",
        allow_abbrev=False,
    )
    command.add_argument(
        "--base", metavar="REF", help="the commit of side A (default: the working tree as it is)"
    )
    command.add_argument(
        "--head", metavar="REF", help="the commit of side B (default: the working tree as it is)"
    )
    for name in ("a", "b"):
        command.add_argument(
            f"--{name}",
            type=interleaved.options,
            default="",
            metavar="OPTIONS",
            help=f"pytest's options on side {name.upper()} alone, after variables such as X=1",
        )
    _add_budget(command)
    _add_printing(command)
    command.set_defaults(command=ab)
    command = _add(
        commands,
        "noise",
        "measure the working tree against itself: the noise floor of this machine",
        epilog="All other options go to pytest: -k, files, --sd-model, …",
        allow_abbrev=False,
    )
    _add_budget(command)
    command.set_defaults(command=noise)
    command = _add(
        commands,
        "fleet",
        "measure the same cells on every node of a Ray cluster, and compare",
        epilog="Everything after -- goes to pytest on every node: files, -k, --sd-model, …",
        allow_abbrev=False,
    )
    fleets.add_to(command)
    _add_printing(command)
    command.set_defaults(command=fleet)
    command = _add(commands, "report", "write one page of HTML")
    command.add_argument(
        "files", nargs="*", metavar="FILE", help="result files (default: the last run's journal)"
    )
    command.add_argument(
        *("-o", "--out"),
        type=Path,
        default="report.html",
        metavar="PAGE",
        help="default: report.html",
    )
    command.set_defaults(command=write_report)
    history.add_to(_add(commands, "history", "say which commit made a machine's results slower"))
    words = list(sys.argv[1:] if arguments is None else arguments)
    pytests: list[str] = []
    if words[:1] == ["fleet"] and "--" in words:
        words, pytests = words[: words.index("--")], words[words.index("--") + 1 :]
    options, options_rest = parser.parse_known_args(words)
    if options_rest and options.command not in (ab, noise):
        parser.error(f"unrecognized arguments: {' '.join(options_rest)}")
    options.rest = pytests or options_rest
    return options


def _add(commands: Any, name: str, purpose: str, **more: Any) -> Parser:
    """Add a command; its purpose stands in the list of commands and in its own help."""
    command: Parser = commands.add_parser(name, help=purpose, description=purpose, **more)
    return command


def _add_budget(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--budget",
        type=interleaved.budget,
        default=f"{interleaved.BUDGET_S:g}",
        metavar="SECONDS",
        help="how long it may take (default: %(default)s)",
    )


def _add_printing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fail-on",
        type=gate.parse,
        metavar="WHAT",
        help="slower:10%%, missing, undecided, or several: exit code 1 where a row is that",
    )
    parser.add_argument("--explain", action="store_true", help="give every verdict's reason")
    parser.add_argument("--markdown", action="store_true", help="print GitHub's Markdown")


if __name__ == "__main__":
    sys.exit(main())
