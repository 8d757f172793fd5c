"""The trees of an A/B: plain folders that hold a commit, or the working tree as it stands.

Nothing is written into the repository: no registered work tree, no object, no index.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError, counted

__all__ = ["Tree", "commit", "working"]

CHANGED = ("status", "--porcelain", "--untracked-files=all")


@dataclass(frozen=True)
class Tree:
    """One tree, and what it holds."""

    folder: Path
    """Where pytest starts: at the same place in the tree as in the repository."""
    what: str
    """For the table: `main (1a2b3c4)`."""


def commit(reference: str, root: Path) -> Tree:
    """Write the files of a commit into `root`, an empty folder.

    Raises `PipelineError` outside a git work tree, and where `reference` names no commit.
    """
    top, below = _repository()
    try:
        name = _git(top, "rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}").strip()
    except PipelineError:
        raise PipelineError(
            f"commit {reference}", "a commit of this repository", "git log names them"
        ) from None
    environment = {"GIT_INDEX_FILE": str(root / "index")}
    _git(top, "read-tree", name, **environment)
    _git(top, "checkout-index", "--all", "--force", f"--prefix={root / 'tree'}/", **environment)
    return Tree(_below(root, below, reference), _named(reference, name))


def working(root: Path) -> Tree:
    """Copy the working tree into `root` as it stands: what git tracks, and what it would add.

    Raises `PipelineError` outside a git work tree.
    """
    top, below = _repository()
    listed = _git(top, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        source, target = top / name, root / "tree" / name
        if source.is_symlink() or source.is_file():  # not deleted, no submodule
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    return Tree(_below(root, below, "the working tree"), f"working tree ({_state(top)})")


def _state(top: Path) -> str:
    """Return the commit of the working tree, and how many files differ from it."""
    head = _git(top, "rev-parse", "--short=7", "HEAD").strip()
    changed = len([entry for entry in _git(top, *CHANGED).splitlines() if entry])
    return f"{head} with {counted(changed, 'uncommitted file')}" if changed else head


def _repository() -> tuple[Path, Path]:
    """Return the top of the work tree, and the current folder below it."""
    top = Path(_git(Path.cwd(), "rev-parse", "--show-toplevel").rstrip("\n"))
    return top, Path.cwd().resolve().relative_to(top.resolve())


def _below(root: Path, below: Path, what: str) -> Path:
    folder = root / "tree" / below
    if not folder.is_dir():
        raise PipelineError(what, f"a folder {below.as_posix()} in it", "start where both have one")
    return folder


def _named(reference: str, name: str) -> str:
    return name[:7] if name.startswith(reference) else f"{reference} ({name[:7]})"


def _git(folder: Path, *arguments: str, **environment: str) -> str:
    """Return what git prints.

    Raises `PipelineError` with its first line where it fails.
    """
    kept = {key: value for key, value in os.environ.items() if key not in _REDIRECTING}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=kept | {"GIT_OPTIONAL_LOCKS": "0"} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
    except FileNotFoundError:
        raise PipelineError("ab", "git on PATH", "install git") from None
    if done.returncode:
        error = next(iter(done.stderr.splitlines()), f"git {arguments[0]} failed")
        if "dubious ownership" in error:
            trust = f"git config --global --add safe.directory {folder}"
            raise PipelineError("ab", f"a repository of this user ({error})", trust)
        raise PipelineError("ab", f"a git work tree with a commit ({error})", "start in a clone")
    return done.stdout


_REDIRECTING = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
"""Set inside git's hooks, where they point git away from the current folder."""
