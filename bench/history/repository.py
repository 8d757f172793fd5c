"""What git knows: the order of commits and their subjects, and result files on a branch."""

import os
import subprocess
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path, PurePosixPath

from pipeline.errors import PipelineError

__all__ = ["BATCH", "Commits", "between", "commits", "files_of_branch", "reachable"]

SUFFIXES = (".json", ".jsonl")
"""Of result files and journals."""

BATCH = 128
"""Files of a branch that are on disk at the same time, at least."""


@dataclass(frozen=True)
class Commits:
    """Those of the asked commits that git knows."""

    rank: dict[str, int] = field(default_factory=dict)
    """Their place in the history, parents before children."""
    subject: dict[str, str] = field(default_factory=dict)


def commits(names: Iterable[str]) -> Commits:
    """Return the order and the subjects of these commits; of those that git does not know, nothing.

    Outside a repository, or without git, nothing is known of any.
    """
    asked = "".join(f"{name}\n" for name in names)
    known = [
        line.split()[0]
        for line in _git("cat-file", "--batch-check", text=asked).splitlines()
        if line.split()[1:2] == ["commit"]
    ]
    if not known:
        return Commits()
    listed = "".join(f"{name}\n" for name in known)
    order = _git("rev-list", "--topo-order", "--reverse", "--stdin", text=listed).split()
    wanted = set(known)
    subjects = _git("log", "--no-walk=unsorted", "--format=%H %s", "--stdin", text=listed)
    return Commits(
        {name: number for number, name in enumerate(order) if name in wanted},
        dict(line.partition(" ")[::2] for line in subjects.splitlines()),
    )


def between(good: str, bad: str) -> int:
    """Count the commits that are in `bad`'s history and not in `good`'s, without `bad` itself.

    0 where git does not know both.
    """
    if not good or not bad:
        return 0
    count = _git("rev-list", "--count", "--end-of-options", f"{good}..{bad}", "--").strip()
    return max(0, int(count or 0) - 1)


def reachable(reference: str) -> set[str]:
    """Return the names of a commit and of all its ancestors.

    Raises `PipelineError` for what names no commit.
    """
    names = _git("rev-list", "--end-of-options", f"{reference}^{{commit}}", "--").split()
    if not names:
        raise PipelineError(
            f"--since {reference}", "a commit of this repository", "git log names them"
        )
    return set(names)


def files_of_branch(branch: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the result files on a branch, each under its name there, as a file in `folder`.

    A file is there until `BATCH` more have been yielded. Raises `PipelineError` for a branch that
    does not exist, and for one without such a file.
    """
    tree = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{branch}^{{tree}}")
    if not tree.strip():
        raise PipelineError(
            f"--branch {branch}", "a branch of this repository", "git branch -a names them"
        )
    listed = _git("ls-tree", "-r", "-z", tree.strip())
    entries = [entry.partition("\t") for entry in listed.split("\0") if entry]
    blobs = [
        (what.split()[2], name)
        for what, _, name in entries
        if what.split()[1] == "blob" and PurePosixPath(name).suffix in SUFFIXES
    ]
    if not blobs:
        raise PipelineError(
            f"--branch {branch}", "a result file on it (.json or .jsonl)", "commit one there"
        )
    ordered = sorted(blobs, key=lambda entry: entry[1])
    contents = _contents([blob for blob, _ in ordered])
    written: deque[Path] = deque()
    for number, ((_, name), content) in enumerate(zip(ordered, contents, strict=True)):
        if len(written) == 2 * BATCH:
            written.popleft().unlink()
        path = folder / f"{number}{PurePosixPath(name).suffix}"
        path.write_bytes(content)
        written.append(path)
        yield f"{branch}:{name}", path


def _contents(blobs: Sequence[str]) -> Iterator[bytes]:
    """Yield the contents of blobs, by one process of git for a batch of them."""
    for start in range(0, len(blobs), BATCH):
        batch = blobs[start : start + BATCH]
        answer = BytesIO(_output("cat-file", "--batch", given="\n".join(batch).encode()))
        for _ in batch:
            size = int(answer.readline().split()[2])
            yield answer.read(size)
            answer.read(1)  # the end of a line


def _git(*arguments: str, text: str = "") -> str:
    return _output(*arguments, given=text.encode()).decode(errors="replace")


def _output(*arguments: str, given: bytes = b"") -> bytes:
    """Return what git prints; nothing where it fails or is not there."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        return subprocess.run(
            ["git", *arguments],
            input=given,
            env=environment | {"GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            check=False,
        ).stdout
    except FileNotFoundError:
        return b""
