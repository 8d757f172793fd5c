"""What `python -m bench show` prints, and how it answers a wrong question."""

import re
import sys
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.reporting import tables
from bench.results import journal, record
from bench.results.cell import Row
from support.helpers import fresh_python
from support.results import BAD_FILES, MACHINE, document, rows, small, write_journal


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, in a terminal of 100 columns."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_one_line_and_exit_code_2(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, message = BAD_FILES[kind]
    path = tmp_path / "in" / "out.json"
    path.parent.mkdir()
    make(path)
    assert main(["show", str(path)]) == 2
    assert capsys.readouterr() == ("", f"{path}: expected {message}\n")


def below_the_date(shown: str) -> str:
    """What stands below `run of 2026-11-22 16:10 UTC`."""
    date, blank, rest = shown.split("\n", 2)
    assert re.fullmatch(r"run of \d{4}-\d\d-\d\d \d\d:\d\d UTC", date)
    assert not blank
    return rest


def test_a_file_prints_the_tables_of_its_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.json"
    record.write(path, document(rows()))
    assert main(["show", str(path)]) == 0
    assert below_the_date(capsys.readouterr().out) == tables.render(rows(), MACHINE, 100) + "\n"


def test_without_a_file_the_journal_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    write_journal(record.JOURNAL, rows(), ended=1)
    assert main(["show"]) == 0
    assert below_the_date(capsys.readouterr().out) == tables.render(rows(), MACHINE, 100) + "\n"


@pytest.mark.parametrize(("rows", "ended"), [(small(), None), ([], 2)])
def test_a_run_that_was_cut_short_says_so(
    rows: list[Row], ended: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    write_journal(record.JOURNAL, rows, ended)
    assert main(["show", str(record.JOURNAL)]) == 0
    assert below_the_date(capsys.readouterr().out) == (
        f"{tables.render(rows, MACHINE, 100)}\n"
        f"\nthe run was cut short; cells that had ended: {len(rows)}\n"
    )


def test_without_any_run_the_journal_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(journal, "CHECKOUT", tmp_path)
    assert main(["show"]) == 2
    assert capsys.readouterr().err == (
        f"{record.JOURNAL}: expected a file that can be read (No such file or directory); "
        "check the path\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["show", "a.json", "b.json"], "unrecognized arguments: b.json"),
    ],
)
def test_a_wrong_command_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err == (f"python -m bench: {message}; see python -m bench --help\n")


def test_the_command_line_prints_no_traceback_and_no_colour(tmp_path: Path) -> None:
    record.write(tmp_path / "out.json", document(small()))
    good = fresh_python("-m", "bench", "show", str(tmp_path / "out.json"), COLUMNS="80")
    assert (good.returncode, good.stderr) == (0, "")
    assert below_the_date(good.stdout) == tables.render(small(), MACHINE, 80) + "\n"
    bad = fresh_python("-m", "bench", "show", str(tmp_path))
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == (
        f"{tmp_path}: expected a file that can be read (Is a directory); check the path\n"
    )


@pytest.mark.parametrize("command", ["show", "compare"])
def test_without_an_output_nothing_is_printed_and_nothing_breaks(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record.write(folder / "out.json", document(rows()))
    monkeypatch.setattr("sys.stdout", None)  # as Python has it after `>&-`
    files = ["out.json"] if command == "show" else ["out.json", "out.json"]
    assert main([command, *files]) == 0
    sys.stdout.close()  # the one that took its place
    assert capsys.readouterr().err == ""
