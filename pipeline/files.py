"""Files that are whole or absent: written under a temporary name, then renamed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipeline.errors import PipelineError

__all__ = ["FIXTURES", "writing"]

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
"""The checkout's folder of pre-generated images, the tiny pipeline and the network's weights."""


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the name `path` when the block ends, and vanishes when it fails.

    Missing folders above `path` are made. Raises `PipelineError` where that, or writing, cannot be
    done (a parent that is a file, a full disk, no permission).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _refused(path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(scratch, 0o666 & ~_umask())
        os.replace(scratch, path)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        Path(scratch).unlink(missing_ok=True)


def _refused(path: Path, error: OSError) -> PipelineError:
    return PipelineError(
        f"output {path}", f"a place that can be written ({error.strerror})", "choose another folder"
    )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
