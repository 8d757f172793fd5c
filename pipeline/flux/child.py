"""Julia in a child process: what hangs or crashes there does not take this process with it."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ContractError, Missing, PipelineError, UnavailableError

__all__ = ["Ended", "cause_of", "diagnose", "end", "pack", "program", "run", "unpack"]

ROOT = Path(__file__).resolve().parents[2]
"""The folder that `pipeline` is imported from."""

RESOLVE_TIMEOUT_S = 1800.0
START_TIMEOUT_S = 300.0

PATIENCE_S = 6.0
"""How long a child may take before a line says what it does."""

OFFLINE = "URLError|resolve host|could not (download|connect)|Connection refused|timed out"
"""What Python, Pkg and curl say where there is no network."""


@dataclass(frozen=True)
class Ended:
    """How a child ended."""

    code: int | None
    """Its exit code, negative for a signal; None where it took too long."""
    answer: str
    complaint: str

    @property
    def crash(self) -> str:
        """The name of the signal that ended it, or an empty text."""
        return signal.Signals(-self.code).name if self.code is not None and self.code < 0 else ""

    @property
    def resolved(self) -> bool:
        """Whether Julia and its packages were there, so that the rest was starting them."""
        return self.answer.startswith("resolved")


def run(
    statement: str,
    *arguments: str,
    doing: str = "resolving its packages (minutes the first time, then seconds)",
) -> Ended:
    """Run a Python statement in a fresh process and return how it ended.

    The statement prints `resolved` once Julia's packages are there: from then on it has
    `START_TIMEOUT_S`. Standard error says what it is `doing` where that takes long.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(
            [sys.executable, "-c", program(statement), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            in_time = _wait(child, out, doing)
        finally:
            end(child)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace").strip())
    return Ended(child.returncode if in_time else None, *texts)


def program(statement: str) -> str:
    """Return the program of a child: a statement that may import this package."""
    return f"import sys; sys.path[0] = {str(ROOT)!r}; {statement}"


def end(child: "subprocess.Popen[bytes]") -> None:
    """End a child and the Julia that it started, which would outlive it."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.wait()


def pack(error: PipelineError) -> dict[str, Any]:
    """Return an error as JSON can hold it, with the text of its cause."""
    return {
        "parts": [error.given, error.expected, error.remedy],
        "contract": isinstance(error, ContractError),
        "missing": asdict(error.missing) if isinstance(error, UnavailableError) else None,
        "cause": str(error.__cause__ or ""),
    }


def unpack(packed: dict[str, Any]) -> PipelineError:
    """Return the error that `pack` was given."""
    error = (ContractError if packed["contract"] else PipelineError)(*packed["parts"])
    if packed["missing"]:
        error = UnavailableError(error.given, Missing(**packed["missing"]))
    error.__cause__ = RuntimeError(packed["cause"]) if packed["cause"] else None
    return error


def diagnose(ended: Ended) -> Missing:
    """Turn two screens of complaint into one line and a remedy."""
    complaint = ended.complaint
    if ended.code is None:
        return _missing("no Julia: it did not start in time", "start it by hand once: julia")
    if ended.crash:
        reason = f"no Julia: it crashed at start ({ended.crash})"
        return _missing(reason, "start it by hand: julia")
    if re.search("No module named '(juliacall|juliapkg)'", complaint):
        return _missing("no Julia: juliacall is not installed", "pip install juliacall")
    if "URLError" in complaint:
        return _missing(
            "no Julia: none that fits is on PATH, and its download server cannot be reached",
            "install Julia 1.10 or later and put it on PATH, or connect this machine to a network",
        )
    if "entries are not unique" in complaint:
        return _missing(
            "no Julia: this Python environment knows two checkouts of this project",
            "use one environment for each checkout",
        )
    cause = cause_of(complaint)
    absent = "does not seem to be installed|not found in current path|CalledProcessError"
    if re.search(absent, cause) or re.search(OFFLINE, complaint, re.IGNORECASE):
        return _missing(
            "no Flux.jl: Julia is here, its packages are not, and they could not be added",
            "connect to a network once and run: python -m pipeline doctor",
            "Flux.jl",
        )
    if ended.resolved or "CalledProcessError" in complaint:
        return _missing(f"no Flux.jl: {cause}", "run: python -m pipeline.flux", "Flux.jl")
    return _missing(f"no Julia: {cause}", "run: python -m pipeline.flux")


def _missing(reason: str, remedy: str, what: str = "Julia") -> Missing:
    return Missing("julia", what, reason, remedy)


def cause_of(complaint: str) -> str:
    """Return Julia's first error, or Python's last exception, or the last line."""
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    of_julia = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    of_python = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    causes = of_julia[:1] or of_python[-1:] or lines[-1:] or ["it failed without a message"]
    return causes[0].removeprefix("LoadError: ")[:160]


def _wait(child: "subprocess.Popen[bytes]", out: Any, doing: str) -> bool:
    """Wait for the child, and say so if that takes long; False if it exceeds its time."""
    begun = time.monotonic()
    deadline = begun + RESOLVE_TIMEOUT_S
    announced = resolved = False
    while child.poll() is None:
        now = time.monotonic()
        if not resolved and os.fstat(out.fileno()).st_size:
            resolved, deadline = True, now + START_TIMEOUT_S
        if now > deadline:
            return False
        if not announced and now > begun + PATIENCE_S:
            announced = True
            print(f"Julia: {doing}", file=sys.stderr, flush=True)
        time.sleep(0.05)
    return True
