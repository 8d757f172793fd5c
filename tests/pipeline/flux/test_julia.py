"""Julia starts once, in the right order, or is missing for a reason that fits on one line."""

import json
import os
import re
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.errors import Missing, UnavailableError
from pipeline.flux import child as child_process
from pipeline.flux import julia
from pipeline.flux.child import Ended
from support.helpers import HIDDEN, SUITES, fresh_python, hide_julia, with_julia

posix_only = pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")


def missing(reason: str, remedy: str, what: str = "Julia") -> Missing:
    return Missing("julia", what, reason, remedy)


NONE_FITS = missing(
    "no Julia: none that fits is on PATH, and its download server cannot be reached",
    "install Julia 1.10 or later and put it on PATH, or connect this machine to a network",
)
NO_PACKAGES = missing(
    "no Flux.jl: Julia is here, its packages are not, and they could not be added",
    "connect to a network once and run: python -m pipeline doctor",
    "Flux.jl",
)
LATE = missing("no Julia: it did not start in time", "start it by hand once: julia")
BY_HAND = "run: python -m pipeline.flux.julia"

Child = Callable[[str], Path]


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Child:
    """Let a shell script stand in for the child process that starts Julia."""
    for name in ("PYTHON_JULIACALL_EXE", "PYTHON_JULIACALL_PROJECT", julia.PROBED):
        monkeypatch.delenv(name, raising=False)

    def install(script: str) -> Path:
        path = tmp_path / "child"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))
        return path

    return install


# What a child that fails is said to lack. The children are stand-ins.


@posix_only
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo Traceback >&2; echo 'URLError: <urlopen error [Errno -2]>' >&2; exit 1", NONE_FITS),
        ("echo resolved; echo 'could not download Pkg registry' >&2; exit 1", NO_PACKAGES),
        (
            "echo 'ERROR: Unsatisfiable requirements for Flux' >&2; "
            "echo CalledProcessError >&2; exit 1",
            missing("no Flux.jl: Unsatisfiable requirements for Flux", BY_HAND, "Flux.jl"),
        ),
        ("echo \"CalledProcessError: Command '['julia']'\" >&2; exit 1", NO_PACKAGES),
        (
            "echo resolved; echo 'ERROR: LoadError: UndefVarError: `oops` not defined' >&2; "
            "echo 'ERROR: Failed to precompile FluxScores; see Pkg.jl' >&2; exit 1",
            missing("no Flux.jl: UndefVarError: `oops` not defined", BY_HAND, "Flux.jl"),
        ),
        (
            "echo resolved; echo 'ERROR: ArgumentError: Package Flux not found in current path.' "
            ">&2; exit 1",
            NO_PACKAGES,
        ),
        (
            "kill -SEGV $$",
            missing("no Julia: it crashed at start (SIGSEGV)", "start it by hand: julia"),
        ),
        (
            "printf 'Traceback:\\n  ImportError: no juliapkg\\n\\n' >&2; exit 1",
            missing("no Julia: ImportError: no juliapkg", BY_HAND),
        ),
        ("exit 3", missing("no Julia: it failed without a message", BY_HAND)),
    ],
    ids=[
        "no network",
        "no registry",
        "no solution",
        "not added",
        "no precompilation",
        "no packages",
        "crash",
        "exception",
        "silence",
    ],
)
def test_a_child_that_fails_is_diagnosed_in_one_line(
    child: Child, capfd: pytest.CaptureFixture[str], script: str, expected: Missing
) -> None:
    child(script)
    assert julia._probe() == expected
    assert capfd.readouterr() == ("", "")


def test_a_long_complaint_is_cut_to_one_readable_line() -> None:
    diagnosis = child_process.diagnose(Ended(1, "", "Traceback\n" + "x" * 500 + "\n"))
    assert diagnosis.reason == "no Julia: " + "x" * 160


def test_what_julia_throws_is_told_without_its_trace() -> None:
    thrown = "ArgumentError: weights a:\n  not a whole file\nStacktrace:\n [1] read\n"
    assert julia._first_line(thrown) == "weights a: not a whole file"


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@posix_only
@pytest.mark.parametrize(
    ("exe", "project", "reason"),
    [
        ("false", ".", "PYTHON_JULIACALL_EXE={folder}/false is no Julia"),
        ("absent", ".", "PYTHON_JULIACALL_EXE={folder}/absent is no Julia"),
        ("julia", "absent", "PYTHON_JULIACALL_PROJECT={folder}/absent is no folder"),
        ("julia", "", "PYTHON_JULIACALL_EXE is set without its other half"),
        ("", ".", "PYTHON_JULIACALL_PROJECT is set without its other half"),
    ],
)
def test_a_wrong_setting_of_juliacall_is_one_line(
    child: Child,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    exe: str,
    project: str,
    reason: str,
) -> None:
    script(tmp_path / "false", "echo; echo")
    script(tmp_path / "julia", "echo julia version 1.10.8")
    for name, value in {"EXE": exe, "PROJECT": project}.items():
        monkeypatch.setenv(f"PYTHON_JULIACALL_{name}", str(tmp_path / value) if value else "")
    assert julia._probe() == missing(
        f"no Julia: {reason.format(folder=tmp_path)}",
        "set PYTHON_JULIACALL_EXE and PYTHON_JULIACALL_PROJECT, or unset both",
    )


@posix_only
def test_a_child_of_a_process_with_julia_does_not_probe_again(
    child: Child, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    child("exit 3")
    probed = {"exe": "/opt/julia", "project": "/env"}
    monkeypatch.setenv(julia.PROBED, json.dumps(probed))
    monkeypatch.setenv("PYTHON_JULIACALL_EXE", "/opt/julia")
    monkeypatch.setenv("PYTHON_JULIACALL_PROJECT", "/env")
    assert julia._probe() == probed
    monkeypatch.setenv("PYTHON_JULIACALL_EXE", "/opt/other")
    assert isinstance(julia._probe(), Missing)


BLOCKING = "nonblocking_synchronization = false"
DEPENDENCY = '[deps]\nCUDA = "052768ef-5323-5732-b1bb-66c8b64840ba"\n'
EXTRA = 'CUDACore = "bd0ed864-bdfe-4181-a5ed-ce625a5fdea2"\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, f"[CUDA]\n{BLOCKING}\n\n[CUDACore]\n{BLOCKING}\n"),
        ("[Flux]\nx = 1\n", f"[Flux]\nx = 1\n\n[CUDA]\n{BLOCKING}\n\n[CUDACore]\n{BLOCKING}\n"),
        ("[CUDA]\nx = 1\n", f"[CUDA]\n{BLOCKING}\nx = 1\n\n[CUDACore]\n{BLOCKING}\n"),
        (
            "[CUDA]\nnonblocking_synchronization = true\n",
            f"[CUDA]\nnonblocking_synchronization = true\n\n[CUDACore]\n{BLOCKING}\n",
        ),
    ],
)
def test_cuda_jl_is_asked_to_wait_in_this_thread(
    tmp_path: Path, before: str | None, after: str
) -> None:
    preferences, project = tmp_path / "LocalPreferences.toml", tmp_path / "Project.toml"
    if before is not None:
        preferences.write_text(before)
    project.write_text(DEPENDENCY)
    for _ in range(2):
        julia.prefer_blocking(tmp_path)
        assert preferences.read_text() == after
        assert project.read_text() == f"{DEPENDENCY}\n[extras]\n{EXTRA}"
    project.write_text(f"{DEPENDENCY}\n[extras]\nTest = 'x'\n")
    julia.prefer_blocking(tmp_path)
    assert project.read_text() == f"{DEPENDENCY}\n[extras]\n{EXTRA}Test = 'x'\n"


@posix_only
def test_a_child_that_starts_says_which_julia_and_project(child: Child) -> None:
    child('echo resolved; echo noise >&2; echo \'{"exe": "julia", "project": "env"}\'')
    assert julia._probe() == {"exe": "julia", "project": "env"}


def wait_for(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@posix_only
@pytest.mark.parametrize("first_word", ["", "echo resolved;"], ids=["resolving", "starting"])
def test_a_child_that_hangs_is_ended_and_said_to_be_late(
    child: Child, monkeypatch: pytest.MonkeyPatch, first_word: str
) -> None:
    limit = "START_TIMEOUT_S" if first_word else "RESOLVE_TIMEOUT_S"
    monkeypatch.setattr(child_process, limit, 1.0)
    path = child(f"echo $$ > $0.pid; {first_word} exec sleep 60")
    assert julia._probe() == LATE
    assert ended(int(Path(f"{path}.pid").read_text()))


@posix_only
def test_a_child_that_resolves_has_its_time_to_start_afresh(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "RESOLVE_TIMEOUT_S", 2.0)
    child("echo resolved; sleep 2.2; echo '{}'")
    assert julia._probe() == {}


@posix_only
def test_a_child_is_ended_with_the_work_that_waits_for_it(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = child("echo $$ > $0.pid; exec sleep 60")
    pid = Path(f"{path}.pid")

    def interrupt(*_: Any) -> bool:
        assert wait_for(lambda: pid.exists() and pid.read_text().endswith("\n"))
        raise KeyboardInterrupt

    monkeypatch.setattr(child_process, "_wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        julia._probe()
    assert ended(int(pid.read_text()))


@posix_only
@pytest.mark.parametrize(
    ("patience", "said"),
    [
        (0.0, "Julia: resolving its packages (minutes the first time, then seconds)\n"),
        (60.0, ""),
    ],
)
def test_waiting_for_long_is_said_once(
    child: Child,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    patience: float,
    said: str,
) -> None:
    monkeypatch.setattr(child_process, "PATIENCE_S", patience)
    child("sleep 0.3; echo '{}'")
    assert julia._probe() == {}
    assert capsys.readouterr() == ("", said)


# The same, with juliapkg itself and no network: only the Julia that it finds is a stand-in.


def offline(tmp_path: Path, julia_says: str | None) -> dict[str, str]:
    """Return an environment that has no network and this Julia on its PATH, if any."""
    folder = tmp_path / "bin"
    folder.mkdir()
    if julia_says is not None:
        (folder / "julia").write_text(f"#!/bin/sh\n{julia_says}\n")
        (folder / "julia").chmod(0o755)
    closed = "http://127.0.0.1:9"
    return {
        "PATH": f"{folder}:/usr/bin:/bin",
        "PYTHON_JULIAPKG_PROJECT": str(tmp_path / "project"),
        "PYTHON_JULIAPKG_EXE": "",
        "PYTHON_JULIACALL_EXE": "",
        "PYTHON_JULIACALL_PROJECT": "",
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), closed),
    }


ANNOUNCED = "Julia: resolving its packages (minutes the first time, then seconds)\n"


def answers_version(version: str) -> str:
    return (
        f'[ "$1" = --version ] && echo "julia version {version}" && exit 0\n'
        "echo 'ERROR: could not resolve host: the package server' >&2; exit 1"
    )


@posix_only
@pytest.mark.parametrize(
    ("julia_says", "expected"),
    [
        (None, NONE_FITS),
        (answers_version("1.6.7"), NONE_FITS),
        (answers_version("1.10.9"), NO_PACKAGES),
    ],
    ids=["no julia", "a julia that is too old", "a julia without packages"],
)
@pytest.mark.parametrize("strict", ["", "error"], ids=["warnings shown", "warnings as errors"])
def test_offline_the_reason_is_one_line(
    tmp_path: Path, julia_says: str | None, expected: Missing, strict: str
) -> None:
    environment = offline(tmp_path, julia_says)
    code = "from pipeline.flux import julia; print(julia.missing())"
    done = fresh_python("-c", code, PYTHONWARNINGS=strict, **environment)
    assert done.stdout == f"{expected}\n"
    assert done.stderr in ("", ANNOUNCED)  # a busy machine takes its time


# Starting it in this process. The Julia that starts is a stand-in.


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Let the child find a Julia, and let it start as an object that is nothing else."""
    main = SimpleNamespace()
    for name in ("THREADS", "HANDLE_SIGNALS", "EXE", "PROJECT"):
        monkeypatch.setenv(f"PYTHON_JULIACALL_{name}", "before")
    monkeypatch.setenv(julia.PROBED, "")
    monkeypatch.setattr(julia, "_probe", lambda: {"exe": "/opt/julia", "project": "/env"})
    monkeypatch.setattr(julia, "_load", lambda: main)
    return main


def test_julia_starts_as_it_was_probed_with_one_thread_and_no_signals(
    main: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setenv("JULIA_NUM_THREADS", "8")
    assert julia._start.__wrapped__() is main
    settings = {
        name: os.environ[f"PYTHON_JULIACALL_{name}"]
        for name in ("THREADS", "HANDLE_SIGNALS", "EXE", "PROJECT")
    }
    assert settings == {
        "THREADS": "1",
        "HANDLE_SIGNALS": "no",
        "EXE": "/opt/julia",
        "PROJECT": "/env",
    }


def test_torch_before_julia_is_warned_of_with_the_remedy(
    main: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())
    with pytest.warns(RuntimeWarning) as warned:
        assert julia._start.__wrapped__() is main
    assert [str(warning.message) for warning in warned] == [
        "torch was imported before Julia, which can crash this process: call "
        "pipeline.flux.julia.start() before torch is imported"
    ]


def test_julia_before_torch_is_not_warned_of(
    main: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        julia._start.__wrapped__()
    assert warned == []


def test_nothing_is_started_where_the_child_failed(
    main: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(julia, "_probe", lambda: HIDDEN)
    monkeypatch.setattr(julia, "_load", lambda: pytest.fail("it was started"))
    assert julia._start.__wrapped__() is HIDDEN


def test_without_julia_start_is_unavailable_and_missing_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hide_julia(monkeypatch)
    assert julia.missing() is HIDDEN
    with pytest.raises(UnavailableError) as refused:
        julia.start()
    assert str(refused.value) == f"Flux.jl: expected Julia; {HIDDEN}"


# The real one, in a process of its own.


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """What a real Julia answers to each question, or the exception that it raises."""
    suite = (SUITES / "julia_answers.py").read_text(encoding="utf-8")
    answers: dict[str, Any] = with_julia(suite, JULIA_NUM_THREADS="4")
    return answers


def test_julia_is_one_that_juliacall_supports(answers: dict[str, Any]) -> None:
    assert re.fullmatch(r"1\.(1[0-9])\.\d+.*", answers["version"])


def test_julia_runs_one_thread_whatever_its_variable_says(answers: dict[str, Any]) -> None:
    assert answers["threads"] == 1


def test_blas_runs_as_many_threads_as_it_is_told(answers: dict[str, Any]) -> None:
    assert answers["blas"] == [2, 1]


def test_cuda_jl_is_here_or_missing_for_a_reason(answers: dict[str, Any]) -> None:
    assert re.fullmatch(r"|no CUDA\.jl: .+; .+", answers["cuda"])


def test_julia_starts_once(answers: dict[str, Any]) -> None:
    assert answers["one"] is True


def test_an_interrupt_reaches_python(answers: dict[str, Any]) -> None:
    assert answers["interrupt"] == "KeyboardInterrupt()"
