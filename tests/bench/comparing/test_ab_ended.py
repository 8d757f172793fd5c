"""`python -m bench ab` and `noise`, ended by Ctrl-C, SIGTERM, SIGHUP and SIGKILL."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from bench.comparing import ab
from support.helpers import ROOT
from support.spinning import QUICK


def started(
    project: Path, *arguments: str, hangup: signal.Handlers = signal.SIG_DFL
) -> "subprocess.Popen[str]":
    """Start a command as from a terminal, whatever the tests themselves were started from."""

    def at_a_terminal() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, hangup)

    return subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments],
        cwd=project,
        preexec_fn=at_a_terminal,
        # The project is imported where it lies, and Python would leave its caches there.
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line_with(process: "subprocess.Popen[str]", text: str) -> None:
    while text not in (line := process.stderr.readline()):
        assert line, "it ended"


def until_it_has_children(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    while not (children := psutil.Process(process.pid).children(recursive=True)):
        time.sleep(0.01)
    return children


def test_ctrl_c_reports_what_there_is_and_leaves_nothing(project: Path) -> None:
    process = started(project, "ab", "--base", "main", *QUICK, "--benchmark-max-time=0.3")
    line_with(process, "block 1")
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert out.startswith("2 pairs of fresh processes in ")
    assert out.splitlines()[0].endswith("; interrupted")
    assert "B against A: 1 " in out


def test_ctrl_c_before_the_first_pair_says_so(project: Path) -> None:
    process = started(project, "ab", "--base", "main", *QUICK)
    line_with(process, "at most")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1].startswith("interrupted")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("question", [("ab", "--base", "main"), ("noise",)], ids=["ab", "noise"])
def test_sigterm_and_sighup_leave_neither_trees_nor_processes(
    project: Path, question: Sequence[str], number: int
) -> None:
    process = started(project, *question, *QUICK)
    line_with(process, "at most")
    assert len(list((project.parent / "scratch").glob("*/tree-*/tree/bench"))) == 2
    below = until_it_has_children(process)
    for _ in range(3):  # as from a terminal that closes: its shell, and the system
        process.send_signal(number)
        time.sleep(0.01)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    _, alive = psutil.wait_procs(below, timeout=5)
    assert alive == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere they end at their next turn")
def test_killed_it_takes_its_processes_with_it(project: Path) -> None:
    process = started(project, "noise", *QUICK)
    line_with(process, "at most")
    below = until_it_has_children(process)
    time.sleep(0.5)
    process.kill()
    process.communicate(timeout=60)
    _, alive = psutil.wait_procs(below, timeout=5)
    assert alive == []
    with ab.scratch():
        pass  # the next run removes its trees, as `project` asserts


def test_under_nohup_a_hangup_ends_nothing(project: Path) -> None:
    process = started(project, "ab", "--base", "main", *QUICK, hangup=signal.SIG_IGN)
    line_with(process, "at most")
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM


def test_what_a_killed_process_leaves_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = "from bench.comparing.ab import scratch\nwith scratch(): print(flush=True), input()"
    command = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    first, second = (
        subprocess.Popen(command, cwd=ROOT, env=environment, **pipes) for _ in range(2)
    )
    with first, second:
        for process in (first, second):
            process.stdout.readline()
        first.kill()
        first.wait()
        assert len(list(tmp_path.iterdir())) == 2
        with ab.scratch():
            assert len(list(tmp_path.iterdir())) == 2  # its own, and that of the other at work
        second.communicate(b"\n")
    assert list(tmp_path.iterdir()) == []
