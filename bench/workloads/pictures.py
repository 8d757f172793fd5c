"""Which pictures preprocessing is measured on: those of `fixtures/`, or a folder of the user's."""

import hashlib
import os
from pathlib import Path

from pipeline.arguments import Size
from pipeline.errors import PipelineError
from pipeline.files import FIXTURES

__all__ = ["FILES", "fingerprint", "folder"]

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


def folder(name: str) -> list[Path]:
    """Return the first 32 files of a folder, by name, without hidden ones.

    Raises `PipelineError` if there are none.
    """
    given, remedy = f"--preprocess-images {name}", "change --preprocess-images"
    try:
        entries = [entry for entry in os.scandir(name) if entry.is_file()]
    except OSError as error:
        raise PipelineError(given, f"a folder of images ({error.strerror})", remedy) from error
    paths = sorted(Path(entry.path) for entry in entries if not entry.name.startswith("."))
    if not paths:
        raise PipelineError(given, "a folder with an image", remedy)
    return paths[:MOST]


def fingerprint(paths: list[Path]) -> str:
    """Return a digest of the contents of files, in order."""
    digest = hashlib.blake2b(digest_size=6)
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{len(content)} ".encode())
        digest.update(content)
    return f"{len(paths)} images {digest.hexdigest()}"
