"""Julia starts once, in the right order, or is missing for a reason that fits on one line."""

import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.errors import UnavailableError
from pipeline.flux import julia
from support.helpers import HIDDEN, SUITES, hide_julia, with_julia

posix_only = pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")


def test_what_julia_throws_is_told_without_its_trace() -> None:
    thrown = "ArgumentError: weights a:\n  not a whole file\nStacktrace:\n [1] read\n"
    assert julia._first_line(thrown) == "weights a: not a whole file"


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


# What CUDA.jl does in a Julia that leaves signals to Python: a Julia alone, without a package.


@pytest.fixture
def julia_exe() -> str:
    exe = os.environ.get("PYTHON_JULIACALL_EXE") or shutil.which("julia")
    if exe is None:
        pytest.skip("no julia on PATH")
    return exe


@posix_only
@pytest.mark.parametrize(("signals", "code"), [("yes", 0), ("no", -signal.SIGSEGV)])
def test_waiting_on_threads_of_its_own_is_what_crashes(
    julia_exe: str, signals: str, code: int
) -> None:
    """Where this no longer crashes, `prefer_blocking` can go."""
    question = [julia_exe, "--startup-file=no", f"--handle-signals={signals}"]
    done = subprocess.run(
        [*question, str(SUITES / "waiting_threads.jl")], capture_output=True, check=False
    )
    assert done.returncode == code, done.stderr


def test_julia_reads_the_preference_of_either_package(julia_exe: str, tmp_path: Path) -> None:
    (tmp_path / "Project.toml").write_text(DEPENDENCY)
    julia.prefer_blocking(tmp_path)
    code = "; ".join(
        f'println(Base.get_preferences(Base.UUID("{uuid}")))'
        for uuid in julia.SYNCHRONIZES.values()
    )
    done = subprocess.run(
        [julia_exe, "--startup-file=no", f"--project={tmp_path}", "-e", code],
        env={**os.environ, "JULIA_LOAD_PATH": "@:@stdlib"},
        capture_output=True,
        text=True,
        check=False,
    )
    line = 'Dict{String, Any}("nonblocking_synchronization" => false)\n'
    assert (done.stdout, done.stderr) == (line * 2, "")
