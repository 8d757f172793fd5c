"""Flux in a process of its own, which never imports torch: how it runs on CUDA.

CUDA.jl and torch bring a cuDNN each, and two of them in one process fail: undefined symbols, or
CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH. Batches and scores cross in memory that both processes
see, the rest as lines of JSON.
"""

import atexit
import json
import mmap
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from pipeline import availability, contracts
from pipeline.contracts import SIZE
from pipeline.errors import ContractError, Missing, PipelineError, UnavailableError
from pipeline.flux import child, julia
from pipeline.flux import model as models

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["Apart", "end", "load", "main", "reclaim"]

ANSWER_TIMEOUT_S = 1800.0
"""CUDA.jl compiles for minutes at its first call."""

ENDING_S = 2.0
"""How long it may take to end by itself."""

FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Apart:
    """A Flux model in the other process, which takes batches as `model.Model` does.

    A batch is copied once, into the memory that both processes see.
    """

    channels: int
    classes: int
    device: str
    model: str
    weights: str

    def __call__(self, batch: "torch.Tensor | np.ndarray") -> "np.ndarray":
        """Return the scores (N, classes), float32; raises as `model.Model` does."""
        scores, _ = self._scores("__call__", batch)
        return scores

    def timed(self, batch: "torch.Tensor | np.ndarray") -> "tuple[np.ndarray, float]":
        """Return the scores, and the seconds of the model alone by Julia's own clock."""
        scores, seconds = self._scores("timed", batch)
        return scores, float(seconds)

    def bridge(self, batch: "torch.Tensor | np.ndarray") -> "np.ndarray":
        """Take the batch into Julia and zeros (N, classes) back, without a model."""
        scores, _ = self._scores("bridge", batch)
        return scores

    def allocated(self, batch: "torch.Tensor | np.ndarray") -> int:
        """Return the bytes that Julia allocates for one forward."""
        return int(self._ask("allocated", batch))

    def _scores(self, do: str, batch: "torch.Tensor | np.ndarray") -> "tuple[np.ndarray, Any]":
        answer = self._ask(do, batch)
        shape = (len(batch), self.classes)
        scores = _array(_process().memory(0), shape, prod(batch.shape) * FLOAT32_BYTES)
        return scores.copy(), answer

    def _ask(self, do: str, batch: "torch.Tensor | np.ndarray") -> Any:
        shape = ("N", self.channels, SIZE, SIZE)
        contracts.require(contracts.check_input(batch, shape, "float32"))
        array = models.in_memory(batch)
        process = _process()
        size = array.nbytes + len(array) * self.classes * FLOAT32_BYTES
        _array(process.memory(size), array.shape)[...] = array
        load = (self.channels, self.device, self.model, self.weights)
        return process.ask(do=do, load=load, shape=array.shape, size=size)


def load(channels: int, device: str, model: str = "", weights: str = "") -> Apart:
    """Load a model in the other process, which is started if it does not run.

    Raises as `forward.load`.
    """
    julia.start()
    absent = availability.cuda() if device == "cuda" else None
    if os.name == "nt":
        absent = Missing("cuda", "CUDA.jl", "no CUDA.jl: its process needs Linux", "run it there")
    if absent is not None:
        raise UnavailableError(f"--device {device}", absent)
    classes = _process().ask(do="load", load=(channels, device, model, weights))
    return Apart(channels, classes, device, model, weights)


def reclaim(device: str) -> None:
    """Return the memory that nothing in the other process refers to, to `device`."""
    for process in _RUNNING:
        process.ask(do="reclaim", device=device)


@atexit.register
def end() -> None:
    """End the other process, if it runs."""
    while _RUNNING:
        _RUNNING.pop().end()


def _process() -> "_Process":
    if not _RUNNING:
        _RUNNING.append(_Process())
    return _RUNNING[0]


class _Process:
    """The other process, and the memory that is shared with it."""

    def __init__(self) -> None:
        self._file = _file()
        self._memory: Any = b""
        self._socket, theirs = socket.socketpair()  # Julia makes standard input non-blocking
        self._socket.settimeout(ANSWER_TIMEOUT_S)
        self._answers = self._socket.makefile("rb")
        descriptors = (theirs.fileno(), self._file.fileno())
        statement = f"from pipeline.flux import apart; apart.main{descriptors}"
        with theirs:
            self._popen = subprocess.Popen(
                [sys.executable, "-c", child.program(statement)],
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                start_new_session=True,  # Ctrl-C is for this process, which ends the other one
            )

    def memory(self, size: int) -> mmap.mmap:
        """Return the memory, of at least `size` bytes."""
        if len(self._memory) < size:
            self._file.truncate(size)
            self._memory = mmap.mmap(self._file.fileno(), size)
        memory: mmap.mmap = self._memory
        return memory

    def ask(self, **request: Any) -> Any:
        """Return the answer to a request; raise the error that is the answer, or for its end."""
        try:
            line = self._line(json.dumps(request))
        except BaseException:  # Ctrl-C too: the answer that comes would be taken for the next one's
            end()
            raise
        if not line:
            _RUNNING.clear()
            raise PipelineError("Flux in a process of its own", "an answer", self.end())
        answer = json.loads(line)
        if "error" not in answer:
            return answer["result"]
        error = child.unpack(answer["error"])
        if not isinstance(error, (ContractError, UnavailableError)):
            end()  # after an error of CUDA each further call in its process fails
        raise error

    def _line(self, request: str) -> bytes:
        """Return the line that answers a request; an empty one from a process that ended."""
        try:
            self._socket.sendall(f"{request}\n".encode())
            return self._answers.readline()
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            return b""

    def end(self) -> str:
        """End it, if it still runs, and say how it ended."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(ENDING_S)
        late = self._popen.poll() is None
        child.end(self._popen)
        self._answers.close()
        self._socket.close()
        self._file.close()
        if late:
            return f"none came within {ANSWER_TIMEOUT_S:.0f} s; run it again"
        crash = child.Ended(self._popen.returncode, "", "").crash
        return f"it ended with {crash or f'exit code {self._popen.returncode}'}; run it again"


_RUNNING: list[_Process] = []
"""The other process, if it runs."""


def _file() -> Any:
    """Return a file without a name that lies in memory, where the system has such files."""
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("sd-flux-bench"), "r+b")
    return tempfile.TemporaryFile()


def _array(memory: mmap.mmap, shape: Sequence[int], start: int = 0) -> "np.ndarray":
    """See float32 numbers in the memory, from byte `start` on."""
    import numpy as np

    return np.frombuffer(memory, np.float32, prod(shape), start).reshape(shape)


# The other process.


def main(connection: int, file: int) -> None:
    """Answer the requests that come through a socket: what the other process runs."""
    sys.modules["torch"] = None  # type: ignore[assignment]  # whoever imports it is refused
    memory: Any = b""
    with socket.socket(fileno=connection) as parent, parent.makefile("rb") as requests:
        for line in requests:
            request = json.loads(line)
            if len(memory) < request.get("size", 0):
                memory = mmap.mmap(file, request["size"])
            try:
                answer = {"result": _answer(request, memory)}
            except PipelineError as error:
                answer = {"error": child.pack(error)}
            parent.sendall(f"{json.dumps(answer)}\n".encode())


def _answer(request: dict[str, Any], memory: mmap.mmap) -> Any:
    if request["do"] == "reclaim":
        julia.reclaim(request["device"])
        return None
    model = models.load(*request["load"])
    if request["do"] == "load":
        return model.classes
    batch = _array(memory, request["shape"])
    result = getattr(model, request["do"])(batch)
    if request["do"] == "allocated":
        return result
    scores, seconds = result if request["do"] == "timed" else (result, None)
    _array(memory, scores.shape, batch.nbytes)[...] = scores
    return seconds
