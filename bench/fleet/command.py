"""`python -m bench fleet`: its options, and the run from the tree to a file a machine."""

import argparse
import json
import os
import shlex
import tempfile
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.comparing.ab import scratch, selection
from bench.fleet import cluster, packing, watching
from bench.fleet.places import Place, claimed
from bench.fleet.progress import Progress
from bench.fleet.watching import say
from bench.machine.records import hardware_key
from pipeline.arguments import parse_folder, parse_number
from pipeline.errors import PipelineError, counted
from pipeline.exits import DOES_NOT_HOLD, HOLDS

__all__ = ["Measured", "add_to", "run"]

EACH = ("node", "hardware")

INSTALL = 'install it there (pip install -e ".[cluster]"), or add --install'

BY_HAND = "read it, and install there by hand"


@dataclass(frozen=True)
class Measured:
    """What a fleet has left behind."""

    files: dict[Path, str]
    """A result file a machine, and the node that it is of."""
    code: int
    """0 where every node that was chosen measured every cell; else 1, or 128 + n after signal n."""


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--address",
        default=os.environ.get("RAY_ADDRESS", ""),
        help="the cluster: auto or HOST:PORT (default: $RAY_ADDRESS, else a Ray of its own here)",
    )
    parser.add_argument(
        "--each",
        choices=EACH,
        default=EACH[0],
        help="measure on every node, or on one for each hardware record (default: %(default)s)",
    )
    parser.add_argument(
        "--select",
        action="append",
        default=[],
        type=cluster.parse_selector,
        metavar="KEY=VALUE",
        help="only nodes with this label or resource; may be repeated",
    )
    parser.add_argument(
        "--out",
        type=lambda text: parse_folder(text, "--out"),
        default=".benchmarks/fleet",
        metavar="FOLDER",
        help="where a result file a machine is written (default: %(default)s)",
    )
    parser.add_argument(
        "--wait",
        type=lambda text: parse_number(text, "--wait"),
        default="60",
        metavar="SECONDS",
        help="how long a node that is busy is waited for (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        type=lambda text: parse_number(text, "--timeout"),
        default="3600",
        metavar="SECONDS",
        help="how long a node may measure (default: %(default)s)",
    )
    parser.add_argument(
        "--install",
        action="store_true",
        help="install what pyproject.toml asks for on every node first, by Ray's pip environment",
    )


def run(options: argparse.Namespace) -> Measured:
    """Measure on the nodes that the options choose.

    Raises `PipelineError` where no node can measure anything.
    """
    arguments = _arguments(options.rest)
    is_new = not options.out.exists()
    _check_out(options.out)
    try:
        return _measured(arguments, options)
    finally:
        if is_new:  # it stays only with a file in it
            with suppress(OSError):
                options.out.rmdir()


def _measured(arguments: Sequence[str], options: argparse.Namespace) -> Measured:
    from bench.measuring import internals  # imports pytest

    commit = internals.commit_info()
    with scratch() as root:
        package = packing.packed(root, options.out)
        packages = _dependencies() if options.install else []
        with cluster.connected(options.address, package, packages) as heard:
            chosen = cluster.selected(cluster.nodes(), options.select)
            say(f"{package.what}, {package.size / 1e6:.1f} MB; pytest {shlex.join(arguments)}")
            places, unfit = _places(chosen, package, options)
            with Progress() as progress:
                interrupted = watching.follow(
                    places, arguments, package.below, options.wait, options.timeout, progress
                )
            closed = {place.close(commit): _short(place.node) for place in places}
    faults = unfit + [(f"{at.name}: {at.fault}", at.remedy) for at in places if at.fault]
    for place in places:
        if not place.fault:
            say(f"{place.name}: {counted(place.done, 'cell')} in {place.seconds:.0f} s")
    files = {file: node for file, node in closed.items() if file is not None}
    if not files and not interrupted:
        raise _nothing(faults)
    for fault, remedy in faults:
        say(f"{fault}; {remedy}")
    code = DOES_NOT_HOLD if faults or any(place.code for place in places) else HOLDS
    if interrupted and heard:
        code = 128 + heard[0]
    return Measured(files, code)


def _nothing(faults: Sequence[tuple[str, str]]) -> PipelineError:
    """Return the error where no node has measured anything; a remedy of all nodes is said once."""
    remedies = {remedy for _, remedy in faults}
    if len(remedies) == 1:
        causes = "; ".join(fault for fault, _ in faults)
        return PipelineError("fleet", f"a node that measures ({causes})", remedies.pop())
    causes = "; ".join(f"{fault}: {remedy}" for fault, remedy in faults)
    return PipelineError("fleet", f"a node that measures ({causes})", "mend one of these")


def _places(
    nodes: Sequence[cluster.Node], package: packing.Package, options: argparse.Namespace
) -> tuple[list[Place], list[tuple[str, str]]]:
    """Look at every node; return the places that measure, and why each other node cannot."""
    answers = watching.looks(nodes, package.digest, package.below, options.wait, options.install)
    places, unfit, known = [], [], set[str]()
    for node, answer in zip(nodes, answers, strict=True):
        short = _short(node)
        if answer["unfit"]:
            remedy = answer.get("remedy") or (BY_HAND if options.install else INSTALL)
            unfit.append((f"{short}: {answer['unfit']}", remedy))
            continue
        record = json.dumps(answer["hardware"], sort_keys=True)
        if options.each == "hardware" and record in known:
            say(f"{short}: left out, {hardware_key(answer['hardware'])} again")
            continue
        known.add(record)
        place = claimed(node, answer["hardware"], options.out)
        places.append(place)
        say(f"{place.name}: {short}")
        if answer["niceness"] > 0:
            say(
                f"{place.name}: pytest runs at niceness {answer['niceness']}, as Ray's workers do; "
                "start Ray there with RAY_worker_niceness=0"
            )
    return places, unfit


def _arguments(rest: Sequence[str]) -> list[str]:
    """Return pytest's arguments; raises `PipelineError` for a file that `fleet` itself writes."""
    for word in rest:
        if word.partition("=")[0] == "--benchmark-json":
            raise PipelineError(word, "no file of pytest: every node has its own", "use --out")
    _check_paths(rest)
    off = ("--benchmark-disable", "--benchmark-skip", "--benchmark-only")
    only = [] if any(word in off for word in rest) else ["--benchmark-only"]
    return [*only, *selection(rest)]


def _check_paths(rest: Sequence[str]) -> None:
    """Raise `PipelineError` for a file or folder that is not there.

    What follows an option may be its value, and is left to pytest.
    """
    for before, word in zip(["", *rest], rest, strict=False):
        path = word.partition("::")[0]
        is_path = not word.startswith("-") and ("/" in path or path.endswith(".py"))
        if is_path and not before.startswith("-") and not Path(path).exists():
            raise PipelineError(word, "a file or folder that is there", "change what follows --")


def _check_out(out: Path) -> None:
    """Raise `PipelineError` where no file can be written in `out`, which is made."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        expected = f"a folder that can be written ({error.strerror})"
        raise PipelineError(f"--out {out}", expected, "choose another folder") from error


def _dependencies() -> list[str]:
    project: dict[str, Any] = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    return [str(line) for line in project["dependencies"]]


def _short(node: cluster.Node) -> str:
    return f"node {node.id[:8]}"
