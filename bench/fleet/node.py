"""What Ray's worker runs on a node: a look at the node, and one pytest in a process of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import Any

from bench.fleet import packing

__all__ = ["BEGUN", "ENDED", "LINES", "Event", "look", "measured"]

BEGUN, LINES, ENDED = "begun", "lines", "ended"
"""Kinds of events: the node is taken; whole lines of the journal; pytest has ended."""

Event = tuple[str, Any]

PERIOD_S = 0.2
"""Between looks at the journal; each takes a CPU a tenth of a millisecond."""

CHILD = Path(__file__).with_name("child.py")


def look(digest: str, below: str) -> dict[str, Any]:
    """Return what `preflight` says of this node; under `unfit` why it cannot measure."""
    _hear_cancelling()
    tree = Path.cwd()
    if packing.digest(tree) != digest:
        return _unfit("another version of the tree than was sent", "start Ray there again")
    done = subprocess.run(
        [*_plain(), sys.executable, "-m", "bench.fleet.preflight"],
        cwd=tree / below,
        env=_environment(tree) | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = next(reversed(done.stderr.splitlines()), "Python cannot be started")
        return _unfit(said)
    answer: dict[str, Any] = json.loads(done.stdout)
    if answer["foreign"]:
        of = f"{' and '.join(answer['foreign'])} of another tree than was sent"
        return _unfit(of, "take that out of PYTHONPATH there")
    return answer


def measured(arguments: Sequence[str], below: str) -> Iterator[Event]:
    """Run pytest with `arguments` in a copy of the tree, and yield what happens as it happens.

    The last event, `ENDED`, has pytest's exit code, its JSON (None where it wrote none), and the
    first line of its output that names an error. Whoever stops this ends pytest and its children.
    """
    from bench.comparing.ab import scratch
    from bench.comparing.pair import error_line

    _hear_cancelling()
    with scratch() as root:
        tree, result, output = root / "tree", root / "out.json", root / "output.txt"
        shutil.copytree(
            Path.cwd(), tree, symlinks=True, ignore=shutil.ignore_patterns(packing.CACHE)
        )
        yield BEGUN, None
        with output.open("wb") as file:
            process = subprocess.Popen(
                [
                    *_plain(),
                    sys.executable,
                    "-m",
                    "pytest",
                    *arguments,
                    f"--benchmark-json={result}",
                ],
                cwd=tree / below,
                env=_environment(Path.cwd()),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            code = None
            position = 0
            while code is None:
                sleep(PERIOD_S)
                code = process.poll()  # before the journal is read: what it wrote last is there
                lines = _lines(tree / below, position)
                if lines:
                    position += len(lines)
                    yield LINES, lines.decode()
        finally:
            _end(process)
        error = error_line(output.read_text("utf-8", errors="replace"))
        yield ENDED, (code, result.read_text("utf-8") if result.is_file() else None, error)


def _unfit(cause: str, remedy: str = "") -> dict[str, Any]:
    """Say why a node cannot measure the tree; the remedy is empty where it is to install."""
    return {"unfit": cause, "remedy": remedy}


def _hear_cancelling() -> None:
    """Let `ray.cancel` end this task: its SIGINT is ignored where Ray was started so, by nohup."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _plain() -> list[str]:
    """Return the words before a command that make its process a plain one."""
    return [sys.executable, "-I", "-S", str(CHILD), str(os.getpid())]


def _environment(tree: Path) -> dict[str, str]:
    """Return the variables that the node's Ray was started with.

    Ray's worker changes its own while it runs (`OMP_NUM_THREADS`, `CUDA_VISIBLE_DEVICES`): what it
    was started with has only Ray's names, and the tree, which pytest must find by itself.
    """
    import psutil

    started_with = psutil.Process().environ()
    kept = {
        name: value
        for name, value in started_with.items()
        if not name.startswith("RAY_") and name not in ("SPT_NOENV", "PYTHONPATH")
    }
    paths = started_with.get("PYTHONPATH", "").split(os.pathsep)
    own = [path for path in paths if path and not Path(path).is_relative_to(tree)]
    return kept | ({"PYTHONPATH": os.pathsep.join(own)} if own else {})


def _lines(folder: Path, position: int) -> bytes:
    """Return the whole lines of the journal from `position` on."""
    from bench.results.journal import JOURNALS

    for top in (folder, *folder.parents):
        for journal in (top / JOURNALS).glob("*.jsonl"):
            with journal.open("rb") as file:
                file.seek(position)
                lines, end, _ = file.read().rpartition(b"\n")
            return lines + end
        if top.name == "tree":
            break
    return b""


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End pytest and what it started, also in sessions of their own; nothing where it has ended."""
    import psutil

    if process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            for child in [*parent.children(recursive=True), parent]:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        process.wait()
