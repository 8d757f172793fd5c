"""Decoder processes: PNG files are decoded beside this process, one process a thread of `stream`.

kornia-rs holds Python's lock while it decodes, so that threads would wait for each other. A process
is started once its thread has decoded a few files itself, is used as soon as it is ready, and is
kept for the next stream. Not on Windows, where descriptors cannot be handed on.
"""

import atexit
import mmap
import os
import select
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.preprocessing.decoder_main import DONE, READY, REQUEST

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Team", "current"]

FILES_BEFORE = 8
"""Files that a thread decodes itself before it starts a process: 0.2 s of work of another core."""

ROOT = Path(__file__).parents[2]

_idle: list["Decoder"] = []
_thread = threading.local()


class Decoder:
    """One process, and the memory that this process shares with it."""

    def __init__(self) -> None:
        """Start the process; `is_ready` says when it can be used."""
        self._descriptor = _memory_file()
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.preprocessing.decoder_main", str(self._descriptor)],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[self._descriptor],
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self._memory: mmap.mmap | None = None
        self._is_ready = False

    def is_ready(self) -> bool:
        """Whether the process has imported what it needs."""
        if not self._is_ready and select.select([self._answers], [], [], 0)[0]:
            self._is_ready = self._answers.read(1) == READY
        return self._is_ready

    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def decode(self, data: bytes, height: int, width: int, mode: str) -> "np.ndarray":
        """Return levels `(height, width, C)` in shared memory, valid until the next call.

        Raises `ValueError` where the process refuses the file, or ends over it.
        """
        import numpy as np

        channels = {"mono": 1, "rgb": 3, "rgba": 4}[mode]
        end = len(data) + height * width * channels
        if self._memory is None or len(self._memory) < end:
            os.ftruncate(self._descriptor, end)
            self._memory = mmap.mmap(self._descriptor, end)
        self._memory[: len(data)] = data
        name = mode.ljust(4).encode()
        with suppress(OSError):  # it has ended: so there is no answer either
            self._requests.write(REQUEST.pack(len(data), height, width, channels, name))
        if (answer := self._answers.read(1)) != DONE:
            if not answer:
                self._process.wait()  # it has ended
            raise ValueError("the decoder process does not read this file")
        levels = np.frombuffer(self._memory, np.uint8, end - len(data), len(data))
        return levels.reshape(height, width, channels)

    def close(self) -> None:
        """End the process."""
        self._requests.close()
        self._process.wait()
        self._answers.close()
        os.close(self._descriptor)


class Team:
    """The decoders of the threads of one stream."""

    def __init__(self, workers: int) -> None:
        """Take how many threads will `join`; one alone needs no process."""
        self._is_needed = workers > 1 and os.name != "nt"
        self._members: list[_Member] = []

    def join(self) -> None:
        """Let this thread have a decoder when it needs one."""
        if self._is_needed:
            _thread.member = _Member()
            self._members.append(_thread.member)

    def disband(self) -> None:
        """Keep the processes for the next stream; the threads have ended."""
        decoders = [member.decoder for member in self._members if member.decoder is not None]
        _idle.extend(decoder for decoder in decoders if decoder.is_alive())


class _Member:
    def __init__(self) -> None:
        self.files = 0
        self.decoder: Decoder | None = None


def current() -> Decoder | None:
    """Return the decoder of this thread; None where the thread decodes itself."""
    member: _Member | None = getattr(_thread, "member", None)
    if member is None:
        return None
    member.files += 1
    if member.decoder is None:
        with suppress(IndexError):
            member.decoder = _idle.pop()
    if member.decoder is None and member.files > FILES_BEFORE:
        member.decoder = Decoder()
    decoder = member.decoder
    return decoder if decoder is not None and decoder.is_alive() and decoder.is_ready() else None


def _memory_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("decoder")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


@atexit.register
def _close_idle() -> None:
    while _idle:
        _idle.pop().close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # a process answers to one other alone
