"""Which pictures preprocessing is measured on: those of `fixtures/`, or a folder of one's own."""

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
"""By format and size; how long a file takes to decode depends on its bytes, so they are here."""

MOST = 32
"""Pictures of a folder that one call takes."""


def folder(text: str) -> list[Path]:
    """Return the first 32 files of a folder, by name, hidden ones left out.

    Raises `PipelineError` where there are none.
    """
    try:
        found = sorted(
            Path(entry.path)
            for entry in os.scandir(text)
            if entry.is_file() and not entry.name.startswith(".")
        )
    except OSError as error:
        raise PipelineError(
            f"--preprocess-images {text}",
            f"a folder of images ({error.strerror})",
            "change --preprocess-images",
        ) from error
    if not found:
        raise PipelineError(
            f"--preprocess-images {text}", "a folder with an image", "change --preprocess-images"
        )
    return found[:MOST]


def fingerprint(paths: list[Path]) -> str:
    """Return what tells these files from others: a digest of their contents, in order."""
    digest = hashlib.blake2b(digest_size=6)
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{len(content)} ".encode())
        digest.update(content)
    return f"{len(paths)} images {digest.hexdigest()}"
