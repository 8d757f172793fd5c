"""Files that cannot be written cost their own content, and nothing else of a run."""

import os
from pathlib import Path

import pytest

from support.runs import pytest_in, python_in, suite_in

BRIEF = (
    "test_cells.py",
    "--benchmark-max-time=0.1",
    "--benchmark-precision=0.9",
    "--benchmark-json=out.json",
)


def test_on_a_full_disk_the_run_goes_on_and_an_older_json_stays_whole(tmp_path: Path) -> None:
    folder = suite_in(tmp_path, "sessions")
    (folder / "out.json").write_text("older")
    run = pytest_in(folder, *BRIEF, "-q", "--benchmark-save=x", LARGEST_FILE="9000")
    assert run.code == pytest.ExitCode.TESTS_FAILED
    assert "5 passed, 2 skipped" in run.out
    assert "\nfourth" in run.out
    assert (folder / "out.json").read_text() == "older"
    assert not list(folder.glob(".out.json*"))
    assert (
        run.out.count("\nno journal: .benchmarks/journals cannot be written (File too large") == 1
    )
    assert run.out.count("\nnot saved: ") == 2  # --benchmark-json and --benchmark-save
    assert "Traceback" not in run.out + run.err


@pytest.mark.parametrize("kind", ["a file", "a link to itself", "a folder that is read-only"])
def test_without_a_place_for_its_journal_a_run_says_so_once_and_goes_on(
    kind: str, tmp_path: Path
) -> None:
    folder = suite_in(tmp_path, "sessions")
    if kind == "a file":
        (folder / ".benchmarks").touch()
    elif kind == "a link to itself":
        (folder / ".benchmarks").symlink_to(".benchmarks")
    elif os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    else:
        (folder / ".benchmarks").mkdir(mode=0o500)
    run = pytest_in(folder, *BRIEF[:-1], "--benchmark-json=o\nu\x1bt.json")
    assert run.code == 0, run.out
    (folder / "o\nu\x1bt.json").rename(folder / "out.json")
    assert "\nresults: o u\ufffdt.json\n" in run.out
    assert run.out.count("no journal: .benchmarks/journals cannot be written (") == 1
    assert list(run.measured) == ["first", "second", "third", "fourth"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full device is of Linux")
def test_where_standard_output_is_full_the_run_is_measured_and_fails_in_one_line(
    tmp_path: Path,
) -> None:
    folder = suite_in(tmp_path, "sessions")
    code = (
        "import subprocess, sys; full = open('/dev/full', 'w');"
        "done = subprocess.run([sys.executable, '-m', 'pytest', *sys.argv[1:]], stdout=full);"
        "sys.exit(done.returncode)"
    )
    run = python_in(folder, "-c", code, *BRIEF)
    assert run.code == pytest.ExitCode.TESTS_FAILED
    assert run.err == (
        "output: expected a place that can be written (No space left on device); the run goes "
        "on: python -m bench show\n"
    )
    assert list(run.measured) == ["first", "second", "third", "fourth"]


STOPPED = """
import itertools, os, signal, threading, time, pytest

done = threading.Event()

def stop():
    for number in itertools.cycle((signal.SIGTERM, signal.SIGINT)):
        if done.wait(0.001):
            return
        os.kill(os.getpid(), number)

sender = threading.Thread(target=stop)

@pytest.hookimpl(tryfirst=True)
def pytest_benchmark_generate_machine_info():
    if not sender.is_alive():
        sender.start()

@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure():
    done.set()
    sender.join()
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGTERM cannot be caught here")
@pytest.mark.parametrize("before", [{}, {"SEND": "SIGINT"}], ids=["whole", "interrupted"])
def test_stopped_again_and_again_while_its_json_is_made_a_run_has_its_tables_and_its_json(
    before: dict[str, str], tmp_path: Path
) -> None:
    folder = suite_in(tmp_path, "sessions")
    with (folder / "conftest.py").open("a") as file:
        file.write(STOPPED)
    run = pytest_in(folder, *BRIEF, **before)
    assert run.code == pytest.ExitCode.INTERRUPTED
    names = ["first", "second"] if before else ["first", "second", "third", "fourth"]
    assert f"\n{names[-1]}" in run.out
    assert "Traceback" not in run.out + run.err
    assert list(run.measured) == names
    assert not list(folder.glob(".*.part"))
