"""Julia in a child: what is missing is one line, and nothing outlives the work that waits."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Missing
from pipeline.flux import child as child_process
from pipeline.flux import julia
from pipeline.flux.child import Ended
from support.helpers import fresh_python

posix_only = pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")


ANNOUNCED = "Julia: resolving its packages (minutes the first time, then seconds)\n"


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
BY_HAND = "run: python -m pipeline.flux"

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
        (
            "echo \"ModuleNotFoundError: No module named 'juliapkg'\" >&2; exit 1",
            missing("no Julia: juliacall is not installed", "pip install juliacall"),
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
        "not installed",
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
def test_what_hangs_instead_of_saying_its_version_is_ended_with_all_that_it_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(julia, "VERSION_TIMEOUT_S", 0.5)
    exe = script(tmp_path / "julia", "sleep 60 & echo $! > $0.pid; wait")
    assert not julia._says_version(exe)
    assert wait_for(lambda: ended(int(Path(f"{exe}.pid").read_text())))


@posix_only
def test_started_by_hand_julia_says_its_own_words_and_python_warns_of_nothing(
    tmp_path: Path,
) -> None:
    done = fresh_python("-W", "error", "-m", "pipeline.flux", **offline(tmp_path, None))
    assert done.returncode == 1
    assert "RuntimeWarning" not in done.stderr
    assert "URLError" in done.stderr


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
