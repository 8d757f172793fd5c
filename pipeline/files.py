"""Files that are whole or absent: written under a temporary name, then renamed.

Nothing here waits for ever: a pipe has ten seconds to find its other end.
"""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO, FileIO, RawIOBase
from pathlib import Path
from time import monotonic, sleep
from typing import IO

from pipeline.errors import PipelineError

__all__ = ["FIXTURES", "NAMED", "read_bytes", "writing"]

READER_S = 10.0
"""How long a pipe waits for somebody to read it, or to write into it."""

NAMED = 50
"""Characters of a file's name in that of its temporary file, which must not become too long."""

PACKAGE = Path(__file__).resolve().parent

FIXTURES = next(
    (folder for folder in [PACKAGE / "fixtures"] if folder.is_dir()), PACKAGE.parent / "fixtures"
)
"""The folder of pre-generated images, the tiny pipeline and the network's weights.

It is a checkout's; a wheel has it inside this package."""


@contextmanager
def writing(path: Path, follow: bool = True) -> Iterator[IO[bytes]]:
    """Open a file that takes the name `path` when the block ends, and vanishes when it fails.

    Missing folders above `path` are made. A symbolic link stays: the file that it names is
    written. A pipe or a device stays too, and gets everything when the block ends. Without
    `follow`, for a name that the user has not typed, the file takes the place of each of them.
    Raises `PipelineError` where `path` cannot be written (a parent that is a file, a full disk, no
    permission).
    """
    place = path.resolve if follow else path.absolute
    try:
        with _through(path) if follow and _is_special(path) else _replacing(place()) as file:
            yield file
    except OSError as error:
        expected = f"a place that can be written ({error.strerror})"
        raise PipelineError(f"output {path}", expected, "choose another folder") from error


def read_bytes(path: Path, most: int) -> bytes | None:
    """Return what a file or a pipe holds, or None where that is more than `most` bytes.

    Raises OSError for a device, which may have no end, and for a pipe that nobody writes into.
    """
    with BufferedReader(FileIO(path, opener=_at_once)) as file:
        status = os.fstat(file.fileno())
        kind = stat.S_IFMT(status.st_mode)
        begun = b""
        if status.st_size > most:  # it would take as much memory
            return None
        if kind == stat.S_IFIFO:
            begun = _first_byte(file.raw)
            os.set_blocking(file.fileno(), True)
        elif kind != stat.S_IFREG:
            raise OSError(errno.EINVAL, "it is no file but a device")
        content = begun + file.read(most + 1 - len(begun))
    return content if len(content) <= most else None


def _at_once(path: str, flags: int) -> int:
    """Open without waiting for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _first_byte(pipe: RawIOBase) -> bytes:
    """Return a pipe's first byte, or nothing where somebody has yet to write it."""
    end = monotonic() + READER_S
    while (byte := pipe.read(1)) == b"":  # None where a writer is there
        if monotonic() >= end:
            raise OSError(errno.ENXIO, "nobody writes into this pipe")
        sleep(0.02)
    return byte or b""


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name[:NAMED]}."
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(scratch, 0o666 & ~_umask())
        os.replace(scratch, path)
    finally:
        Path(scratch).unlink(missing_ok=True)


@contextmanager
def _through(path: Path) -> Iterator[IO[bytes]]:
    content = BytesIO()
    yield content
    with os.fdopen(_opened(path), "wb") as file:
        file.write(content.getbuffer())


def _opened(path: Path) -> int:
    """Open a device, or a pipe that somebody reads; raises OSError."""
    end = monotonic() + READER_S
    while True:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if monotonic() >= end:
                raise OSError(errno.ENXIO, "nobody reads this pipe") from error
            sleep(0.02)
        else:
            os.set_blocking(handle, True)
            return handle


def _is_special(path: Path) -> bool:
    """Say whether `path`, or what it links to, is a pipe, a device or the like."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
