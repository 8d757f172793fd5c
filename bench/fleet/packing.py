"""The tree that is measured: packed as it stands, without what git ignores, and named by a hash."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError

__all__ = ["MOST_BYTES", "Package", "digest", "packed"]

MOST_BYTES = 250_000_000
"""Of all files together. Ray refuses a package of more than 512 MiB, and each node gets one."""

CACHE = "__pycache__"
"""Written by whoever imports the tree."""


@dataclass(frozen=True)
class Package:
    """What is sent to every node."""

    folder: Path
    """The top of the tree."""
    below: str
    """The folder in it where pytest starts."""
    what: str
    """For people: `working tree (1a2b3c4)`."""
    size: int
    """Bytes."""
    digest: str


def packed(root: Path, out: Path) -> Package:
    """Copy the working tree into `root` as `ab` does, without the results in `out`.

    Raises `PipelineError` outside a git work tree, and for a tree that is too large to send.
    """
    from bench.comparing import trees

    try:
        tree = trees.working(root)
    except PipelineError as error:
        raise PipelineError("fleet", error.expected, error.remedy) from error
    top = root / "tree"
    if out.resolve().is_relative_to(Path.cwd().resolve()):
        below = out.resolve().relative_to(Path.cwd().resolve())
        if below.parts:
            shutil.rmtree(tree.folder / below, ignore_errors=True)
    sizes = {file: file.lstat().st_size for file in _files(top)}
    size = sum(sizes.values())
    if size > MOST_BYTES:
        largest = max(sizes, key=lambda file: sizes[file])
        raise PipelineError(
            f"{tree.what} of {size / 1e6:.0f} MB",
            f"at most {MOST_BYTES / 1e6:.0f} MB to send to every node",
            f"let git ignore what is not measured; the largest file is {largest.relative_to(top)} "
            f"({sizes[largest] / 1e6:.0f} MB)",
        )
    return Package(top, tree.folder.relative_to(top).as_posix(), tree.what, size, digest(top))


def digest(folder: Path) -> str:
    """Return a hash of the names and contents of all files below `folder`."""
    total = hashlib.sha256()
    for file in _files(folder):
        total.update(f"{file.relative_to(folder).as_posix()}\0".encode())
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _files(folder: Path) -> list[Path]:
    found = (file for file in folder.rglob("*") if CACHE not in file.relative_to(folder).parts)
    return sorted(file for file in found if file.is_file())
