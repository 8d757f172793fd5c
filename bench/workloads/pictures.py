"""Which pictures preprocessing is measured on: those of `fixtures/`, or a folder of the user's."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from pipeline.arguments import Size
from pipeline.errors import PipelineError
from pipeline.files import FIXTURES
from pipeline.preprocessing.decoding import decode

__all__ = ["FILES", "fingerprint", "folder", "left_out"]

FILES: dict[tuple[str, Size], Path] = {
    ("png", (512, 512)): FIXTURES / "images" / "generated_image_1.png",
    ("jpeg", (512, 512)): FIXTURES / "images" / "512x512.jpg",
    ("png", (1024, 1024)): FIXTURES / "images" / "1024x1024.png",
    ("jpeg", (1024, 1024)): FIXTURES / "images" / "1024x1024.jpg",
    ("jpeg", (4000, 3000)): FIXTURES / "images" / "4000x3000.jpg",
}
"""By format and size; fixed files, because decoding time depends on their bytes."""

MOST = 32
"""Pictures of a folder that one call takes."""

MOST_LINES = 3


def folder(name: str) -> list[Path]:
    """Return the first 32 pictures of a folder, by name, without hidden files.

    Raises `PipelineError` if there are none.
    """
    paths, errors = _read(name)
    if not paths:
        why = f"; of {len(errors)} files none is one: {errors[0]}" if errors else ""
        expected = f"a folder with a picture{why}"
        raise PipelineError(f"--preprocess-images {name}", expected, "change --preprocess-images")
    return list(paths)


def left_out(name: str) -> list[str]:
    """Return a line for each file of a folder that is left out because it cannot be read.

    After three of them a line has the number of the others.
    """
    _, errors = _read(name)
    lines = [f"left out {error}" for error in errors[:MOST_LINES]]
    more = len(errors) - len(lines)
    return [*lines, f"left out {more} more of {name}"] if more else lines


@lru_cache(maxsize=8)
def _read(name: str) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Return the pictures of a folder, each decoded once, and why others are none."""
    try:
        entries = [entry for entry in os.scandir(name) if entry.is_file()]
    except OSError as error:
        expected = f"a folder of images ({error.strerror})"
        raise PipelineError(
            f"--preprocess-images {name}", expected, "change --preprocess-images"
        ) from error
    paths: list[Path] = []
    errors: list[str] = []
    for path in sorted(Path(entry.path) for entry in entries if not entry.name.startswith(".")):
        if len(paths) == MOST:
            break
        try:
            decode(path)
            paths.append(path)
        except PipelineError as error:
            errors.append(str(error))
    return tuple(paths), tuple(errors)


def fingerprint(paths: list[Path]) -> str:
    """Return a digest of the contents of files, in order."""
    digest = hashlib.blake2b(digest_size=6)
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{len(content)} ".encode())
        digest.update(content)
    return f"{len(paths)} images {digest.hexdigest()}"
