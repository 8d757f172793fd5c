"""Files that cannot be written cost their own content, and nothing else of a run."""

import os
from pathlib import Path

import pytest

from support.runs import pytest_in, suite_in

BRIEF = (
    "test_cells.py",
    "--benchmark-max-time=0.1",
    "--benchmark-precision=0.9",
    "--benchmark-json=out.json",
)


def test_on_a_full_disk_the_run_goes_on_and_an_older_json_stays_whole(tmp_path: Path) -> None:
    folder = suite_in(tmp_path, "sessions")
    (folder / "out.json").write_text("older")
    run = pytest_in(folder, *BRIEF, "--benchmark-save=x", LARGEST_FILE="9000")
    assert run.code == pytest.ExitCode.TESTS_FAILED
    assert "5 passed, 2 skipped" in run.out
    assert "\nfourth" in run.out
    assert (folder / "out.json").read_text() == "older"
    assert not list(folder.glob(".out.json*"))
    assert run.out.count("no journal: .benchmarks/journals cannot be written (File too large)") == 1
    assert run.out.count("not saved: ") == 2  # --benchmark-json and --benchmark-save
    assert "Traceback" not in run.out + run.err


@pytest.mark.parametrize("kind", ["a file", "a folder that is read-only"])
def test_without_a_place_for_its_journal_a_run_says_so_once_and_goes_on(
    kind: str, tmp_path: Path
) -> None:
    folder = suite_in(tmp_path, "sessions")
    if kind == "a file":
        (folder / ".benchmarks").touch()
    elif os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    else:
        (folder / ".benchmarks").mkdir(mode=0o500)
    run = pytest_in(folder, *BRIEF)
    assert run.code == 0, run.out
    assert run.out.count("no journal: .benchmarks/journals cannot be written (") == 1
    assert list(run.measured) == ["first", "second", "third", "fourth"]
