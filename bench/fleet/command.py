"""`python -m bench fleet`: its options, and the run from the tree to a file a machine."""

import argparse
import json
import os
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.comparing.ab import scratch, selection
from bench.fleet import cluster, packing, watching
from bench.fleet.places import Place, claimed
from bench.fleet.progress import Progress
from bench.machine.records import hardware_key
from pipeline.arguments import parse_folder, parse_number
from pipeline.errors import PipelineError, counted

__all__ = ["Measured", "add_to", "run"]

EACH = ("node", "hardware")

INSTALL = 'install it there (pip install -e ".[cluster]"), or add --install'


@dataclass(frozen=True)
class Measured:
    """What a fleet has left behind."""

    files: tuple[Path, ...]
    """A result file a machine."""
    whole: bool
    """Whether every node that was chosen measured every cell."""


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
    _check_out(options.out)
    from bench.measuring import internals  # imports pytest

    commit = internals.commit_info()
    with scratch() as root:
        package = packing.packed(root, options.out)
        packages = _dependencies() if options.install else []
        with cluster.connected(options.address, package, packages):
            chosen = cluster.selected(cluster.nodes(), options.select)
            _say(f"{package.what}, {package.size / 1e6:.1f} MB; pytest {' '.join(arguments)}")
            places, unfit = _places(chosen, package, options)
            with Progress() as progress:
                interrupted = watching.follow(
                    places, arguments, package.below, options.wait, options.timeout, progress
                )
            files = [place.close(commit) for place in places]
    faults = [*unfit, *(f"{place.name}: {place.fault}" for place in places if place.fault)]
    for place in places:
        if not place.fault:
            _say(f"{place.name}: {counted(place.done, 'cell')} in {place.seconds:.0f} s")
    if not any(files) and not interrupted:
        raise PipelineError("fleet", f"a node that measures ({'; '.join(faults)})", _remedy(places))
    for fault in faults:
        _say(fault)
    whole = not faults and all(place.code == 0 for place in places)
    return Measured(tuple(filter(None, files)), whole)


def _places(
    nodes: Sequence[cluster.Node], package: packing.Package, options: argparse.Namespace
) -> tuple[list[Place], list[str]]:
    """Look at every node; return the places that measure, and a line for each node that cannot."""
    answers = watching.looks(nodes, package.digest, package.below, options.install)
    places, unfit, known = [], [], set[str]()
    for node, answer in zip(nodes, answers, strict=True):
        short = f"node {node.id[:8]}"
        if answer["unfit"]:
            remedy = "read it, and install there by hand" if options.install else INSTALL
            unfit.append(f"{short}: {answer['unfit']}; {remedy}")
            continue
        record = json.dumps(answer["hardware"], sort_keys=True)
        if options.each == "hardware" and record in known:
            _say(f"{short}: left out, {hardware_key(answer['hardware'])} again")
            continue
        known.add(record)
        place = claimed(node, answer["hardware"], options.out)
        places.append(place)
        _say(f"{place.name}: {short}")
        if answer["niceness"] > 0:
            _say(
                f"{place.name}: pytest runs at niceness {answer['niceness']}, as Ray's workers do; "
                "start Ray there with RAY_worker_niceness=0"
            )
    return places, unfit


def _arguments(rest: Sequence[str]) -> list[str]:
    """Return pytest's arguments; raises `PipelineError` for a file that `fleet` itself writes."""
    for word in rest:
        if word.partition("=")[0] == "--benchmark-json":
            raise PipelineError(word, "no file of pytest: every node has its own", "use --out")
    off = ("--benchmark-disable", "--benchmark-skip", "--benchmark-only")
    only = [] if any(word in off for word in rest) else ["--benchmark-only"]
    return [*only, *selection(rest)]


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


def _remedy(places: Sequence[Place]) -> str:
    return "wait until one is free, or mend what is named" if places else "mend what is named"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
