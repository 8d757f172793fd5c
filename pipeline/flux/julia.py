"""The only importer of juliacall: its environment, and the order in which it is imported.

Julia runs with one thread and leaves signals to Python: with Julia's own signal handling Ctrl-C
kills Python before anything is written, and without it a second thread makes garbage collection
crash.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from pipeline import availability
from pipeline.errors import Missing, PipelineError, UnavailableError
from pipeline.files import writing
from pipeline.flux import child

__all__ = [
    "PACKAGE",
    "blas_threads",
    "boot",
    "cuda_missing",
    "gist",
    "missing",
    "prefer_blocking",
    "reclaim",
    "resolve",
    "set_blas_threads",
    "software",
    "start",
    "version",
]

PACKAGE = "FluxScores"
"""The package of `julia/`."""

CUDA_PACKAGES = {
    "CUDA": ("052768ef-5323-5732-b1bb-66c8b64840ba", "5, 6"),
    "cuDNN": ("02a925ec-e4fe-4b08-9a7e-0d78e3d38ccd", "1, 6"),
}
"""Added to juliacall's environment where the driver has a device."""

SYNCHRONIZES = {
    "CUDA": "052768ef-5323-5732-b1bb-66c8b64840ba",
    "CUDACore": "bd0ed864-bdfe-4181-a5ed-ce625a5fdea2",
}
"""Which package waits for the GPU: CUDA until version 5, CUDACore from 6 on."""

VERSION_TIMEOUT_S = 30.0
"""How long a Julia may take to say its version."""

PROBED = "SD_FLUX_BENCH_JULIA"
"""Names the Julia that a process has probed, so that its children need not."""


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
    remedy = "look at what Julia says: using CUDA; CUDA.versioninfo()"
    try:
        with gist("CUDA.jl", "CUDA and cuDNN in juliacall's environment"):
            main = start()
            main.seval("using CUDA: CUDA; using cuDNN: cuDNN")
            if main.FluxScores.waits_on_threads("cuda"):
                reason = "it waits on threads of its own, which crash Python"
                remedy = (
                    "set the preference nonblocking_synchronization = false in "
                    f"{os.environ['PYTHON_JULIACALL_PROJECT']}/LocalPreferences.toml"
                )
            elif main.seval("CUDA.functional()"):
                return None
    except PipelineError as error:
        reason = str(error)
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


def prefer_blocking(project: Path) -> None:
    """Let CUDA.jl wait in this thread, by a preference of the project for its next load.

    By default it waits on threads of its own, and with signals left to Python the first garbage
    collection beside one is a segmentation fault (JuliaLang/julia#50278). A preference that the
    project has already, stays. The package that reads it must be named there, if only as an extra.
    """
    name, file = "nonblocking_synchronization", project / "LocalPreferences.toml"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    for package in SYNCHRONIZES:
        table = tomllib.loads(text).get(package)
        if table is None:
            text = f"{text.rstrip()}\n\n[{package}]\n{name} = false\n".lstrip()
        elif name not in table:
            head = rf"(?m)^(\[{package}\][^\n]*)$"
            text = re.sub(head, rf"\1\n{name} = false", text)
    _write(file, text)
    file = project / "Project.toml"
    text = file.read_text(encoding="utf-8")
    names = {key for table in ("deps", "extras") for key in tomllib.loads(text).get(table, {})}
    extras = "".join(
        f'{package} = "{uuid}"\n' for package, uuid in SYNCHRONIZES.items() if package not in names
    )
    if "extras" in tomllib.loads(text):
        text = re.sub(r"(?m)^(\[extras\][^\n]*\n)", lambda head: f"{head[0]}{extras}", text)
    elif extras:
        text = f"{text.rstrip()}\n\n[extras]\n{extras}"
    _write(file, text)


def _write(file: Path, text: str) -> None:
    """Write a file whose content is another."""
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        with writing(file) as output:
            output.write(text.encode())


def reclaim(device: str) -> None:
    """Return Julia's unreferenced memory to `device`."""
    start().FluxScores.reclaim(device)


def resolve() -> None:
    """Resolve as juliacall will, announce it, then load the package: what the child runs."""
    exe = os.environ.get("PYTHON_JULIACALL_EXE")
    project = os.environ.get("PYTHON_JULIACALL_PROJECT")
    if not (exe and project):
        import juliapkg

        with_cuda = availability.cuda() is None
        if with_cuda:
            for name, (uuid, compat) in CUDA_PACKAGES.items():
                juliapkg.add(name, uuid, version=compat)
        exe, project = juliapkg.executable(), juliapkg.project()
        if with_cuda:
            prefer_blocking(Path(project))
    print("resolved", flush=True)
    _load()
    print(json.dumps({"exe": exe, "project": project}), flush=True)


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
    os.environ[PROBED] = json.dumps(resolved)
    if sys.modules.get("torch") is not None:
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
    resolved = {"exe": os.environ.get("PYTHON_JULIACALL_EXE", "")}
    resolved["project"] = os.environ.get("PYTHON_JULIACALL_PROJECT", "")
    if os.environ.get(PROBED) == json.dumps(resolved):  # this is a child of such a process
        return resolved
    if (wrong := _wrong_setting(**resolved)) is not None:
        return wrong
    ended = child.run("from pipeline.flux import julia; julia.resolve()")
    if ended.code != 0:
        return child.diagnose(ended)
    answer: dict[str, str] = json.loads(ended.answer.splitlines()[-1])
    return answer


def _wrong_setting(exe: str, project: str) -> Missing | None:
    """Return what is wrong with the two variables of juliacall; both may be empty."""
    names = {"PYTHON_JULIACALL_EXE": exe, "PYTHON_JULIACALL_PROJECT": project}
    reason = ""
    if bool(exe) != bool(project):
        (reason,) = (f"{name} is set without its other half" for name in names if names[name])
    elif exe and not _says_version(exe):
        reason = f"PYTHON_JULIACALL_EXE={exe} is no Julia"
    elif exe and not Path(project).is_dir():
        reason = f"PYTHON_JULIACALL_PROJECT={project} is no folder"
    if not reason:
        return None
    remedy = f"set {' and '.join(names)}, or unset both"
    return Missing("julia", "Julia", f"no Julia: {reason}", remedy)


def _says_version(exe: str) -> bool:
    try:
        asked = subprocess.Popen(
            [exe, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    with asked:
        try:
            answer, _ = asked.communicate(timeout=VERSION_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return False
        finally:
            child.end(asked)
    return answer.startswith(b"julia version")


def _first_line(message: str) -> str:
    """Return what a Julia exception says before its stack trace, as one line."""
    lines = (line.strip() for line in message.split("Stacktrace:")[0].splitlines())
    return " ".join(filter(None, lines)).removeprefix("ArgumentError: ")[:300]
