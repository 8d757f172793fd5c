"""One run of pytest: what is skipped, what is kept when it is cut short, and what is written."""

import json
import os
import platform
import re
import shutil
from pathlib import Path

import pytest

from bench.machine import allocator
from bench.measuring.measure import SPAN_S
from bench.results import record
from bench.results.cell import CHECKED, UNAVAILABLE
from bench.results.journal import JOURNALS
from bench.statistics.stats import MIN_ROUNDS
from support.runs import ROOT, Run, compare, pytest_in, python_in, suite_in

BRIEF = (
    "test_cells.py",
    "--benchmark-max-time=0.1",
    "--benchmark-precision=0.9",
    "--benchmark-json=out.json",
)
RUN = [f"test_cells.py::test_work[{name}]" for name in ("first", "second", "third", "fourth")]


def new(factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder that `record.load` and privacy know by a name that nothing else has."""
    return suite_in(factory.mktemp(name) / "secret-folder", "sessions")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The suite as it stands, by a user whose names are known."""
    home = tmp_path_factory.mktemp("home") / "secret-home"
    home.mkdir()
    folder = new(tmp_path_factory, "whole")
    names = dict.fromkeys(("USER", "LOGNAME", "USERNAME"), "secret-user")
    return pytest_in(folder, *BRIEF, "--benchmark-only", HOME=str(home), **names)


@pytest.fixture(scope="module")
def required(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The suite where weights must be there, with the plugin's own table."""
    folder = new(tmp_path_factory, "required")
    return pytest_in(folder, *BRIEF, "--require=weights", "--stock-table")


@pytest.fixture(scope="module", params=["--benchmark-disable", "-n2", "-n2 --benchmark-disable"])
def checked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The suite where nothing is timed, in one process or in two."""
    return pytest_in(new(tmp_path_factory, "checked"), *BRIEF, *request.param.split())


@pytest.fixture(scope="module", params=["SIGINT", "SIGTERM"])
def interrupted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The suite with Ctrl-C, or SIGTERM, in a round of its third cell that runs."""
    folder = new(tmp_path_factory, "interrupted")
    return pytest_in(folder, *BRIEF, "--stock-table", SEND=request.param)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The suite killed in a round of its third cell that runs."""
    return pytest_in(new(tmp_path_factory, "killed"), *BRIEF, SEND="SIGKILL")


def test_what_is_missing_is_skipped_and_the_run_goes_on(whole: Run) -> None:
    assert whole.code == 0, whole.out
    assert "4 passed, 3 skipped" in whole.out
    assert list(whole.measured) == ["first", "second", "third", "fourth"]
    assert "5 of 6 cells can run here: about 1 s, at most 5 s where calls are slow" in whole.out


def test_what_is_missing_is_a_row_with_its_reason_and_remedy(whole: Run) -> None:
    said = {
        name: (row["status"], row["reason"], row["remedy"]) for name, row in whole.others.items()
    }
    assert said == {
        "gpu": (UNAVAILABLE, "no CUDA: hidden", "show it"),
        "hub": (UNAVAILABLE, "no weights: the hub is far", "bring them"),
    }
    assert "unavailable: test_cells.py::test_work[gpu]\n  no CUDA: hidden\n  → show it" in whole.out
    assert "  no weights: the hub is far\n  → bring them" in whole.out


def test_the_result_file_says_where_it_is(whole: Run) -> None:
    assert "\nresults: out.json\n" in whole.out


def test_the_journal_of_a_whole_run_is_complete(whole: Run) -> None:
    run = record.load_journal(whole.folder / record.JOURNAL)
    assert run.complete
    assert [row.cell.id for row in run.rows] == ["first", "gpu", "hub", "second", "third", "fourth"]


def test_no_result_names_the_machine_the_user_or_a_folder(whole: Run) -> None:
    for file in (whole.folder / "out.json", whole.folder / record.JOURNAL):
        text = file.read_text()
        assert "secret" not in text
        assert str(whole.folder.parent) not in text
    assert "node" not in whole.document["machine_info"]
    assert "project" not in whole.document["commit_info"]


def test_machine_info_holds_no_reading_that_changes_by_itself(whole: Run) -> None:
    assert not [key for key in whole.document["machine_info"]["cpu"] if "actual" in key]


def test_the_record_says_what_was_pinned_of_the_allocator(whole: Run) -> None:
    if platform.libc_ver()[0] != "glibc" or any(map(os.environ.get, allocator.VARIABLES)):
        pytest.skip("another allocator, or a variable that sets it")
    assert whole.document["sd_flux_bench"]["machine"]["software"]["allocator"] == {
        "mmap_threshold_bytes": 32 * 2**20,
        "trim_threshold_bytes": 2**30,
    }


def test_the_plugins_own_table_is_there_only_when_asked_for(whole: Run, required: Run) -> None:
    title = "benchmark 'preprocess': 4 tests"
    assert title not in whole.out
    assert title in required.out


def test_weights_that_are_required_and_missing_are_a_failure(required: Run) -> None:
    assert required.code == pytest.ExitCode.TESTS_FAILED
    assert "1 failed, 5 passed, 1 skipped" in required.out
    assert "--require weights: no weights: the hub is far; bring them" in required.out
    assert {row["status"] for row in required.others.values()} == {UNAVAILABLE}
    assert list(required.measured) == ["first", "second", "third", "fourth"]


def test_what_is_known_to_be_missing_and_required_ends_the_run_before_it_measures(
    whole: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = new(tmp_path_factory, "no CUDA")
    run = pytest_in(folder, *BRIEF, "--require=cuda")
    assert run.code == pytest.ExitCode.TESTS_FAILED
    assert "--require cuda: no CUDA: hidden; show it" in run.out
    assert not (folder / "calls.json").exists()
    assert list((folder / JOURNALS).iterdir()) == []


def test_a_run_without_timing_calls_each_cell_once_and_has_no_number(checked: Run) -> None:
    assert checked.code == 0, checked.out
    assert "5 passed, 2 skipped" in checked.out
    assert checked.document["benchmarks"] == []
    status = {name: row["status"] for name, row in checked.others.items()}
    assert status == {
        **dict.fromkeys(("first", "second", "third", "fourth"), CHECKED),
        **dict.fromkeys(("gpu", "hub"), UNAVAILABLE),
    }
    assert not any(row["samples"] for row in checked.others.values())
    assert "4 cells passed the contract check; not timed" in checked.out
    counts = [json.loads(file.read_text()) for file in checked.folder.glob("calls*.json")]
    assert sorted(pair for calls in counts for pair in calls.items()) == [
        ("first", 1),
        ("fourth", 1),
        ("second", 1),
        ("third", 1),
    ]


def test_a_run_without_timing_leaves_the_journal_alone(checked: Run) -> None:
    assert not (checked.folder / record.JOURNAL).exists()


def test_benchmark_skip_leaves_no_rows(tmp_path_factory: pytest.TempPathFactory) -> None:
    run = pytest_in(new(tmp_path_factory, "skipped"), *BRIEF, "--benchmark-skip")
    assert run.code == 0
    assert "1 passed, 6 skipped" in run.out
    assert "sd-flux-bench =" not in run.out
    assert not (run.folder / "out.json").exists()
    assert not (run.folder / record.JOURNAL).exists()
    assert not (run.folder / "calls.json").exists()


def test_with_nothing_measured_an_older_result_file_is_replaced(
    whole: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = new(tmp_path_factory, "nothing")
    shutil.copy(whole.folder / "out.json", folder)
    run = pytest_in(folder, *BRIEF, "-k", "gpu or hub")
    assert run.code == 0
    assert run.document["benchmarks"] == []
    assert set(run.others) == {"gpu", "hub"}
    assert "node" not in run.document["machine_info"]
    assert "project" not in run.document["commit_info"]
    assert [row.status for row in record.load(folder / "out.json").rows] == [UNAVAILABLE] * 2


def test_the_plugin_reads_a_file_with_and_without_numbers(
    whole: Run, checked: Run, tmp_path: Path
) -> None:
    printed = compare(tmp_path, whole.folder / "out.json")
    assert printed.code == 0, printed.err
    for name in ("first", "second", "third", "fourth"):
        assert f"test_work[{name}]" in printed.out
    empty = compare(tmp_path, checked.folder / "out.json")
    assert empty.code == 0, empty.err
    assert "test_work" not in empty.out


def test_ctrl_c_keeps_the_finished_rows(interrupted: Run) -> None:
    assert interrupted.code == pytest.ExitCode.INTERRUPTED
    assert list(interrupted.measured) == ["first", "second"]
    assert set(interrupted.others) == {"gpu", "hub"}
    tables = interrupted.out.partition("= sd-flux-bench =")[2]
    assert re.search(r"^first[¹²³⁴⁵,]* ", tables, re.MULTILINE)
    assert re.search(r"^second[¹²³⁴⁵,]* ", tables, re.MULTILINE)
    assert "  → show it" in tables
    assert "\nthird" not in tables.partition("KeyboardInterrupt")[0]
    assert "benchmark 'preprocess': 2 tests" in tables


def test_stopped_after_the_rounds_of_a_cell_a_run_keeps_its_row(tmp_path: Path) -> None:
    run = pytest_in(suite_in(tmp_path, "sessions"), *BRIEF, AFTER_ROUNDS="SIGINT")
    assert run.code == pytest.ExitCode.INTERRUPTED
    assert "Interrupted: Ctrl-C after the rounds of second" in run.out
    assert list(run.measured) == ["first", "second"]
    rows = {row.cell.id: row for row in record.load(run.folder / record.JOURNAL).rows}
    assert len(rows["second"].samples) >= MIN_ROUNDS
    assert [rows[name].extra.get("extra_s") for name in ("first", "second")] == [1.0, None]


def test_after_ctrl_c_the_journal_says_that_the_run_was_cut_short(interrupted: Run) -> None:
    run = record.load_journal(interrupted.folder / record.JOURNAL)
    assert not run.complete
    assert [row.cell.id for row in run.rows] == ["first", "gpu", "hub", "second"]


def test_after_a_kill_every_finished_row_can_be_shown(killed: Run) -> None:
    assert killed.code == -9
    assert not (killed.folder / "out.json").exists()
    shown = python_in(killed.folder, "-m", "bench", "show")
    assert shown.code == 0, shown.err
    assert "\nfirst" in shown.out
    assert "\nsecond" in shown.out
    assert "\nthird" not in shown.out
    assert "  → bring them" in shown.out
    assert "the run was cut short; cells that had ended: 4" in shown.out
    assert re.match(r"run of 20\d\d-\d\d-\d\d \d\d:\d\d UTC\n", shown.out)


def test_of_a_killed_run_its_journal_makes_the_json(killed: Run, tmp_path: Path) -> None:
    written = python_in(killed.folder, "-m", "bench", "show", "--json")
    assert written.code == 0, written.err
    file = tmp_path / "out.json"
    file.write_text(written.out)
    of_journal = record.load(killed.folder / record.JOURNAL)
    assert sorted(record.load(file).rows, key=str) == sorted(of_journal.rows, key=str)
    printed = compare(tmp_path, file)
    assert printed.code == 0, printed.err
    assert "test_work[second]" in printed.out


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_stopped_in_its_closing_workload_a_run_has_its_tables_and_its_json(
    name: str, tmp_path: Path
) -> None:
    run = pytest_in(suite_in(tmp_path, "sessions"), *BRIEF, CLOSING=name)
    assert run.code == pytest.ExitCode.INTERRUPTED
    assert list(run.measured) == ["first", "second", "third", "fourth"]
    assert "\nfourth" in run.out
    assert record.load(run.folder / record.JOURNAL).complete


# Other options, other terminals, other folders.


def test_it_runs_optimised_from_another_folder_into_a_pipe_of_ascii(tmp_path: Path) -> None:
    folder, elsewhere = suite_in(tmp_path / "checkout", "sessions"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    options = ("--benchmark-max-time=0.1", "--benchmark-precision=0.9", "--benchmark-sort=name")
    run = python_in(
        elsewhere, "-O", "-m", "pytest", str(folder / "test_cells.py"), *options,
        PYTHONIOENCODING="ascii",
    )  # fmt: skip
    assert run.code == 0, run.out
    assert "--benchmark-sort: of pytest-benchmark's own table; add --stock-table" in run.out
    assert "\npreprocess: cell 1 of 5, about " in run.out
    assert "\\u" not in run.out
    assert "+/- 95 %" in run.out
    assert [path.name for path in elsewhere.iterdir()] == ["calls.json"]  # the suite's own
    assert record.load(folder / record.JOURNAL).complete
    journal = (folder / record.JOURNAL).resolve()
    assert f"\nto see this again: python -m bench show {journal}\n" in run.out


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One cell with much time, saved by pytest-benchmark."""
    options = ("--benchmark-max-time=5", "--benchmark-precision=0.9", "--benchmark-autosave")
    return pytest_in(new(tmp_path_factory, "saved"), "test_cells.py", *options, "-k", "first")


def file_of(saved: Run) -> Path:
    [path] = (saved.folder / ".benchmarks").glob("*/*.json")
    return path


def test_the_rounds_of_a_precise_cell_span_a_fifth_of_a_second(saved: Run) -> None:
    [row] = record.load(file_of(saved)).rows
    assert row.limited_by == "precision"
    assert len(row.samples) * max(row.samples) >= SPAN_S == 0.2


def test_a_saved_run_keeps_its_samples_and_says_its_path_and_how_to_compare(saved: Run) -> None:
    assert f"Saved benchmark data in: {file_of(saved)}" in saved.err
    compared = ("--benchmark-compare", "--benchmark-compare-fail=min:99999%")
    again = pytest_in(saved.folder, *BRIEF, *compared, "-k", "first")
    line = f"\nto compare: python -m bench compare {file_of(saved)} out.json "
    line += "--fail-on slower:99999%\n"
    assert line in again.out


def test_a_slower_run_fails_the_check_of_the_plugin_without_a_traceback(
    saved: Run, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(saved.folder, tmp_path / "saved"))
    [path] = (folder / ".benchmarks").glob("*/*.json")
    document = json.loads(path.read_text())
    document["benchmarks"][0]["stats"]["min"] /= 1000
    path.write_text(json.dumps(document))
    compared = ("--benchmark-compare", "--benchmark-compare-fail=min:100%")
    run = pytest_in(folder, *BRIEF, *compared, "-k", "first")
    assert run.code == pytest.ExitCode.TESTS_FAILED
    assert "Performance has regressed" in run.err
    assert "Traceback" not in run.out + run.err


def test_a_plugin_that_replaces_the_fixture_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = suite_in(tmp_path, "sessions")
    plugin = (
        "def pytest_addoption(parser):\n    parser.addoption('--codspeed', action='store_true')\n"
    )
    (folder / "codspeed.py").write_text(plugin)
    run = pytest_in(folder, "-p", "codspeed", "--codspeed", PYTHONPATH=f"{folder}:{ROOT}")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert run.err.strip() == (
        "ERROR: --codspeed: expected pytest-benchmark's fixture, which CodSpeed replaces; "
        "leave it out"
    )


def test_with_xdist_it_says_that_nothing_is_timed(checked: Run) -> None:
    said = "xdist is on: contracts are checked and nothing is timed; leave -n out" in checked.out
    assert said is ("created: 2/2 workers" in checked.out or "2 workers" in checked.out)
