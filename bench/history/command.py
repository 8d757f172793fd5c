"""`python -m bench history`: its arguments, and what it prints and writes."""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from shutil import get_terminal_size
from tempfile import TemporaryDirectory

from bench.history import page, printing, repository
from bench.history.changes import check_installed
from bench.history.printing import Finding
from bench.history.series import gather
from pipeline.errors import PipelineError

__all__ = ["add_to", "history"]

NEWEST = 5
"""Commits whose changes `--fail-on` looks at; two runs make a change, so that none is missed."""


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "places", nargs="*", metavar="PLACE", help="result files, or folders with result files"
    )
    parser.add_argument("--branch", help="read the result files on this git branch")
    parser.add_argument("-o", "--out", metavar="PAGE", help="also write one page of HTML")
    parser.add_argument(
        "--since",
        metavar="COMMIT",
        help="only changes after this commit, or from this day on (2026-11-01)",
    )
    parser.add_argument(
        "--fail-on",
        metavar="WHAT",
        help=f"change:5%%: exit code 1 where one of the last {NEWEST} commits (or those since "
        "--since) made a cell that much slower",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print GitHub's Markdown")
    form.add_argument("--json", action="store_true", help="print JSON for other tools")
    parser.set_defaults(command=history)


def history(arguments: argparse.Namespace) -> int:
    """Print the history of these results, and hold its newest changes against `--fail-on`.

    Returns 1 where a change fails or a file could not be read.
    """
    share = None if arguments.fail_on is None else _share(arguments.fail_on)
    if bool(arguments.places) == bool(arguments.branch):
        raise PipelineError(
            "history", "a folder, result files, or --branch", "name one: bench history results/"
        )
    check_installed()
    with TemporaryDirectory(prefix="sd-flux-bench-") as folder:
        results = gather(
            repository.files_of_branch(arguments.branch, Path(folder))
            if arguments.branch
            else _files(arguments.places)
        )
    findings = printing.changes_of(results)
    if arguments.since:
        findings = _since(findings, arguments.since)
    if arguments.out:
        page.write(results, findings, Path(arguments.out))
    if arguments.json:
        print(printing.as_json(results, findings))
    elif arguments.markdown:
        print(printing.markdown(results, findings))
    else:
        color = sys.stdout.isatty()
        print(printing.render(results, findings, get_terminal_size().columns, color))
    for line in results.unread:
        print(f"left out: {line}", file=sys.stderr)
    failing = [] if share is None else list(_failing(findings, share, bool(arguments.since)))
    if share is not None:
        words = "fails" if len(failing) == 1 else "fail"
        print(f"fail-on: {len(failing)} {words}", file=sys.stderr)
        for line in failing:
            print(f"  {line}", file=sys.stderr)
    return 1 if failing or results.unread else 0


def _files(places: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Yield the result files among these places; every .json and .jsonl in a folder."""
    for place in places:
        path = Path(place)
        if not path.is_dir():
            yield place, path
            continue
        files = [file for suffix in repository.SUFFIXES for file in path.rglob(f"*{suffix}")]
        if not files:
            raise PipelineError(
                place, "a folder with result files (.json or .jsonl)", "check the path"
            )
        yield from ((str(file), file) for file in sorted(files))


def _share(text: str) -> float:
    match = re.fullmatch(r"change:(\d+(?:\.\d+)?)\s*%", text.strip())
    if match is None:
        raise PipelineError(
            f"--fail-on {text.strip() or repr(text)}",
            "change:5% (any percentage)",
            "change --fail-on",
        )
    return float(match[1]) / 100


def _since(findings: Sequence[Finding], since: str) -> list[Finding]:
    """Leave out the changes that began before a day, or at an ancestor of a commit."""
    try:
        day = date.fromisoformat(since).isoformat()
    except ValueError:
        old = repository.reachable(since)
        return [one for one in findings if one[2].first_bad.commit not in old]
    return [one for one in findings if one[2].first_bad.begun >= day]


def _failing(findings: Sequence[Finding], share: float, everything: bool) -> Iterator[str]:
    """Yield a line for each change to slower that still holds, of the newest commits."""
    newest: dict[int, set[str]] = {}
    for machine, series, change in findings:
        names = newest.setdefault(id(machine), machine.newest(NEWEST))
        moment = change.first_bad
        recent = everything or (moment.commit or moment.file) in names
        low = change.ratio.low
        slower = low is not None and low > 1 and change.ratio.value > 1 + share
        if recent and slower and series.changes[-1] is change:
            yield printing.says(series, change)
