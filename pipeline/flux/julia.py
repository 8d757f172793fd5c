"""The only importer of juliacall: its environment, and the order in which it is imported.

Julia runs with one thread and leaves signals to Python: with Julia's own signal handling Ctrl-C
kills Python before anything is written, and without it a second thread makes garbage collection
crash.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from pipeline import availability
from pipeline.errors import Missing, PipelineError, UnavailableError

__all__ = [
    "PACKAGE",
    "blas_threads",
    "boot",
    "cuda_missing",
    "gist",
    "missing",
    "reclaim",
    "set_blas_threads",
    "software",
    "start",
    "version",
]

PACKAGE = "FluxScores"
"""The package of `julia/`."""

CUDA_PACKAGES = {
    "CUDA": ("052768ef-5323-5732-b1bb-66c8b64840ba", "5"),
    "cuDNN": ("02a925ec-e4fe-4b08-9a7e-0d78e3d38ccd", "1"),
}
"""Added to juliacall's environment where the driver has a device."""

RESOLVE_TIMEOUT_S = 1800.0
START_TIMEOUT_S = 300.0

PATIENCE_S = 6.0
"""How long resolving may take before a line says that it goes on."""


def start() -> Any:
    """Start Julia in this process, once, and return juliacall's `Main` with `FluxScores` loaded.

    A child process resolves and loads everything first, so that a Julia which is absent, hangs or
    crashes does not take this process with it. Raises `UnavailableError` where it does.
    """
    if (absent := missing()) is not None:
        raise UnavailableError("Flux.jl", absent)
    return _start()


def boot() -> Any:
    """Start Julia alone, in the environment that `start` has once resolved; return its `Main`."""
    from juliacall import Main

    return Main


def missing() -> Missing | None:
    """Return why Julia cannot run here; None where it runs (this starts it)."""
    started = _start()
    return started if isinstance(started, Missing) else None


def cuda_missing() -> Missing | None:
    """Return why CUDA.jl cannot run in the Julia that `start` gives; None where it can."""
    reason = "it finds no device that it can use"
    try:
        with gist("CUDA.jl", "CUDA and cuDNN in juliacall's environment"):
            start().seval("using CUDA: CUDA; using cuDNN: cuDNN")
            if start().seval("CUDA.functional()"):
                return None
    except PipelineError as error:
        reason = str(error)
    remedy = "look at what Julia says: using CUDA; CUDA.versioninfo()"
    return Missing("cuda", "CUDA.jl", f"no CUDA.jl: {reason}", remedy)


def version() -> str:
    """Return the version of the Julia that runs, such as `1.10.11`."""
    return str(start().seval("string(VERSION)"))


def software() -> dict[str, Any]:
    """Return what explains a number from Julia: versions, and threads of Julia and its BLAS."""
    return {
        "blas_threads": blas_threads(),
        "flux": str(start().seval("string(pkgversion(FluxScores.Flux))")),
        "julia": version(),
        "threads": int(start().seval("Threads.nthreads()")),
    }


@contextmanager
def gist(given: str, expected: str) -> Iterator[None]:
    """Turn an exception that Julia throws inside the block into one line, a `PipelineError`.

    The exception itself, with Julia's stack trace, is its `__cause__`.
    """
    from juliacall import JuliaError

    try:
        yield
    except JuliaError as error:
        raise PipelineError(given, expected, _first_line(str(error))) from error


def reclaim(device: str) -> None:
    """Return Julia's unreferenced memory to `device`."""
    start().FluxScores.reclaim(device)


def set_blas_threads(count: int) -> None:
    """Let Julia's BLAS use `count` threads."""
    start().seval("import LinearAlgebra; LinearAlgebra.BLAS.set_num_threads")(count)


def blas_threads() -> int:
    """Return how many threads Julia's BLAS uses."""
    return int(start().seval("import LinearAlgebra; LinearAlgebra.BLAS.get_num_threads()"))


@cache
def _start() -> Any:
    """Return juliacall's `Main`, or the `Missing` that says why there is none."""
    os.environ["PYTHON_JULIACALL_THREADS"] = "1"
    os.environ["PYTHON_JULIACALL_HANDLE_SIGNALS"] = "no"
    resolved = _probe()
    if isinstance(resolved, Missing):
        return resolved
    os.environ["PYTHON_JULIACALL_EXE"] = resolved["exe"]
    os.environ["PYTHON_JULIACALL_PROJECT"] = resolved["project"]
    if "torch" in sys.modules:
        warnings.warn(
            "torch was imported before Julia, which can crash this process: call "
            "pipeline.flux.julia.start() before torch is imported",
            RuntimeWarning,
            stacklevel=3,
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch was imported before juliacall")
        return _load()


def _load() -> Any:
    main = boot()
    main.seval(f"import {PACKAGE}")
    return main


def _probe() -> "dict[str, str] | Missing":
    """Resolve and load Julia in a child; return its executable and project, or what failed."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(
            [sys.executable, "-c", "from pipeline.flux import julia; julia._resolve()"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        try:
            in_time = _wait(child, out)
        finally:
            _end(child)
        out.seek(0)
        err.seek(0)
        answer = out.read().decode(errors="replace").strip()
        complaint = err.read().decode(errors="replace").strip()
    if not in_time:
        return _missing("no Julia: it did not start in time", "start it by hand once: julia")
    if child.returncode == 0:
        resolved: dict[str, str] = json.loads(answer.splitlines()[-1])
        return resolved
    return _diagnose(child.returncode, complaint)


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End the child and the Julia that it started, which would outlive it."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.wait()


def _wait(child: "subprocess.Popen[bytes]", out: Any) -> bool:
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
            line = "Julia: resolving its packages (minutes the first time, then seconds)"
            print(line, file=sys.stderr, flush=True)
        time.sleep(0.05)
    return True


def _missing(reason: str, remedy: str, what: str = "Julia") -> Missing:
    return Missing("julia", what, reason, remedy)


def _diagnose(code: int, complaint: str) -> Missing:
    """Turn a child's exit code and its two screens of complaint into one line and a remedy."""
    if code < 0:
        name = signal.Signals(-code).name
        return _missing(f"no Julia: it crashed at start ({name})", "start it by hand: julia")
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
    if "CalledProcessError" in complaint or "Pkg" in complaint:
        return _missing(
            "no Flux.jl: Julia is here, its packages are not, and they could not be added",
            "connect to a network once and run: python -m pipeline doctor",
            "Flux.jl",
        )
    return _missing(f"no Julia: {_gist(complaint)}", "run: python -m pipeline.flux.julia")


def _first_line(message: str) -> str:
    """Return what a Julia exception says before its stack trace, as one line."""
    lines = (line.strip() for line in message.split("Stacktrace:")[0].splitlines())
    return " ".join(filter(None, lines)).removeprefix("ArgumentError: ")[:300]


def _gist(complaint: str) -> str:
    """Return the message of the last exception in a stack trace, or else its last line."""
    lines = [line for line in complaint.splitlines() if line.strip()]
    messages = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return (messages or lines or ["it failed without a message"])[-1].strip()[:160]


def _resolve() -> None:
    """Resolve as juliacall will, announce it, then load the package: what the child runs."""
    exe = os.environ.get("PYTHON_JULIACALL_EXE")
    project = os.environ.get("PYTHON_JULIACALL_PROJECT")
    if not (exe and project):
        import juliapkg

        if availability.cuda() is None:
            for name, (uuid, compat) in CUDA_PACKAGES.items():
                juliapkg.add(name, uuid, version=compat)
        exe, project = juliapkg.executable(), juliapkg.project()
    print("resolved", flush=True)
    _load()
    print(json.dumps({"exe": exe, "project": project}), flush=True)


if __name__ == "__main__":
    _resolve()
