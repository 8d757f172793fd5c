"""A journal loses no finished row, wherever it was cut."""

import copy
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from bench.results import record
from bench.results.cell import Row
from support.damage import OTHERS, changed, loads_or_is_refused, places, refused
from support.results import MACHINE, TINY, numbered, rows, small, write_journal
from support.runs import SUITES, python_in


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_each_row_is_on_disk_after_it_was_added(journal: Path) -> None:
    writer = record.Journal(journal, MACHINE)
    added: list[Row] = []
    for row in rows():
        writer.add(row)
        added.append(row)
        run = record.load_journal(journal)
        assert list(run.rows) == added
        assert not run.complete
    writer.end(0)
    run = record.load_journal(journal)
    assert list(run.rows) == rows()
    assert run.machine == MACHINE
    assert run.complete


def test_a_journal_is_begun_anew_by_each_run(journal: Path) -> None:
    write_journal(journal, rows())
    write_journal(journal, small()[:1])
    assert list(record.load_journal(journal).rows) == small()[:1]


def test_a_journal_makes_its_folder(tmp_path: Path) -> None:
    path = tmp_path / ".benchmarks" / "journal.jsonl"
    write_journal(path, [])
    assert record.load_journal(path).complete


def test_a_row_with_nan_never_reaches_the_journal(journal: Path) -> None:
    writer = record.Journal(journal, MACHINE)
    with pytest.raises(ValueError, match="not JSON compliant"):
        writer.add(replace(small()[0], first_call=float("nan")))
    writer.add(small()[1])
    writer.end(0)
    assert list(record.load_journal(journal).rows) == small()[1:]


@pytest.mark.parametrize(
    ("status", "complete"), [(0, True), (1, True), (2, False), (3, False), (None, False)]
)
def test_a_run_that_did_not_come_to_its_end_is_incomplete(
    journal: Path, status: int | None, complete: bool
) -> None:
    write_journal(journal, small(), ended=status)
    assert record.load_journal(journal).complete is complete


def test_every_whole_row_is_recovered_wherever_a_journal_is_cut(journal: Path) -> None:
    writer = record.Journal(journal, {})
    for row in small():
        writer.add(row)
    writer.end(0)
    whole = journal.read_bytes()
    head = whole.index(b"\n") + 1
    expected = small()
    for end in range(len(whole), head - 1, -1):
        os.truncate(journal, end)
        run = record.load_journal(journal)
        assert list(run.rows) == expected[: whole[:end].count(b"\n") - 1]
        assert run.complete is (end == len(whole))
    for end in range(head - 1, -1, -1):
        os.truncate(journal, end)
        assert refused(journal) == "a journal, but it has no whole line; run pytest bench/ again"


@pytest.mark.parametrize(
    ("number", "line", "message"),
    [
        (1, "{}", "a journal that this harness has written; run pytest bench/ again"),
        (1, "[1]", "a journal that this harness has written; run pytest bench/ again"),
        (1, '{"machine": {}}', "a schema version, not None; measure again"),
        (
            1,
            '{"schema": 2, "machine": {}}',
            "schema 1 or older, not 2; update sd-flux-bench",
        ),
        (1, '{"schema": 1, "machine": 5}', "an object at line 1, machine, not 5; measure again"),
        (
            1,
            '{"schema": 1, "machine": {"hardware": {"cpu": 5}}}',
            "records of a machine at line 1, machine; measure again",
        ),
        (
            1,
            '{"schema": 1, "machine": {}, "begun": 5}',
            "text at line 1, begun, not 5; measure again",
        ),
        (
            3,
            "\x00\x00gar{bage",
            "whole JSON (Expecting value at line 3, column 1); it may be cut off: measure again",
        ),
        (
            3,
            '{"row": {"name": "x"',
            "whole JSON (Expecting ',' delimiter at line 3, column 21); "
            "it may be cut off: measure again",
        ),
        (3, '{"row": NaN}', "finite numbers, not NaN (line 3); measure again"),
        (3, "7", "an object at line 3, not 7; measure again"),
        (3, "[]", "an object at line 3, not a list; measure again"),
        (3, '{"row": null}', "an object at line 3, row, not null; measure again"),
        (3, '{"row": {"name": "x"}}', "'cell' at line 3, row; measure again"),
    ],
)
def test_a_bad_line_in_a_journal_is_named(
    journal: Path, number: int, line: str, message: str
) -> None:
    write_journal(journal, small())
    lines = journal.read_text().split("\n")
    lines[number - 1] = line
    journal.write_text("\n".join(lines))
    assert refused(journal) == message


def test_a_journal_with_a_cell_twice_is_refused(journal: Path) -> None:
    write_journal(journal, small()[:1] * 2)
    assert refused(journal) == f"each cell once, but {TINY} is there twice; measure again"


def test_any_one_value_of_a_journal_replaced_loads_or_is_refused(journal: Path) -> None:
    write_journal(journal, small())
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    own = [place for place in places(lines) if len(place) <= 2]  # below: as in a result file
    for place in own:
        for other in OTHERS:
            content = changed(copy.deepcopy(lines), place, other)
            journal.write_text("".join(json.dumps(line) + "\n" for line in content))
            loads_or_is_refused(journal)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork and no kill -9")
@pytest.mark.parametrize("half", [False, True], ids=["between lines", "within a line"])
def test_kill_9_loses_no_row_that_was_written(tmp_path: Path, half: bool) -> None:
    done = python_in(tmp_path, str(SUITES / "killed_journals.py"), ".", *(["half"] if half else []))
    assert done.code == 0, done.err
    counts = [7] if half else list(range(21))
    assert done.out.split("\n")[:-1] == [f"{count} {int(signal.SIGKILL)}" for count in counts]
    for count in counts:
        path = tmp_path / f"{count}.jsonl"
        assert path.read_text().endswith("\n") is not half
        run = record.load_journal(path)
        assert list(run.rows) == [numbered(number) for number in range(count)]
        assert not run.complete
