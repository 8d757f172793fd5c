"""A journal loses no finished row, wherever it was cut."""

import copy
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from bench.results import journal
from bench.results.cell import Row
from bench.results.journal import (
    JOURNAL,
    JOURNALS,
    KEPT,
    Journal,
    begin,
    load_journal,
    nearest_journal,
)
from support.damage import OTHERS, changed, loads_or_is_refused, places, refused
from support.results import MACHINE, numbered, rows, small, write_journal
from support.runs import SUITES, python_in


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_each_row_is_on_disk_after_it_was_added(path: Path) -> None:
    writer = Journal(path, MACHINE)
    added: list[Row] = []
    for row in rows():
        writer.add(row)
        added.append(row)
        run = load_journal(path)
        assert list(run.rows) == added
        assert not run.complete
    writer.end(0)
    run = load_journal(path)
    assert list(run.rows) == rows()
    assert run.machine == MACHINE
    assert run.complete


def test_each_run_has_a_journal_of_its_own_and_the_last_one_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs in one checkout once wrote into one file."""
    first, second = (begin(tmp_path, MACHINE) for _ in range(2))
    first.add(small()[0])
    second.add(small()[1])
    first.end(0)
    second.end(0)
    for writer, row in zip((first, second), small(), strict=True):
        assert list(load_journal(writer.path).rows) == [row]
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert nearest_journal().samefile(second.path)
    assert (tmp_path / JOURNAL).readlink() == Path("journals") / second.path.name


def test_the_newest_journals_are_kept(tmp_path: Path) -> None:
    writers = [begin(tmp_path, {}) for _ in range(KEPT + 3)]
    for writer in writers:
        writer.close()
    paths = sorted((tmp_path / JOURNALS).iterdir())
    assert paths == [writer.path for writer in writers[3:]]


def test_from_another_folder_the_journal_of_the_checkout_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout, elsewhere = tmp_path / "checkout", tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(journal, "CHECKOUT", checkout)
    monkeypatch.chdir(elsewhere)
    assert nearest_journal() == JOURNAL
    writer = begin(checkout, {})
    writer.close()
    assert nearest_journal().samefile(writer.path)


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "file"])
def test_what_stands_in_the_way_of_the_link_is_not_written_to(kind: str, tmp_path: Path) -> None:
    target, link = tmp_path / "precious", tmp_path / JOURNAL
    target.write_text("precious")
    link.parent.mkdir()
    if kind == "link":
        link.symlink_to(target)
    elif kind == "fifo":
        os.mkfifo(link)
    elif kind == "folder":
        link.mkdir()
    else:
        link.write_text("of an older version")
    writer = begin(tmp_path, MACHINE)
    writer.add(small()[0])
    writer.close()
    assert target.read_text() == "precious"
    assert list(load_journal(writer.path).rows) == small()[:1]
    assert list(link.parent.glob(".*")) == []


def test_a_row_with_nan_never_reaches_the_journal(path: Path) -> None:
    writer = Journal(path, MACHINE)
    with pytest.raises(ValueError, match="not JSON compliant"):
        writer.add(replace(small()[0], first_call=float("nan")))
    writer.add(small()[1])
    writer.end(0)
    assert list(load_journal(path).rows) == small()[1:]


@pytest.mark.parametrize(
    ("status", "complete"), [(0, True), (1, True), (2, False), (3, False), (None, False)]
)
def test_a_run_that_did_not_come_to_its_end_is_incomplete(
    path: Path, status: int | None, complete: bool
) -> None:
    write_journal(path, small(), ended=status)
    assert load_journal(path).complete is complete


def test_every_whole_row_is_recovered_wherever_a_journal_is_cut(path: Path) -> None:
    writer = Journal(path, {})
    for row in small():
        writer.add(row)
    writer.end(0)
    whole = path.read_bytes()
    head = whole.index(b"\n") + 1
    expected = small()
    for end in range(len(whole), head - 1, -1):
        os.truncate(path, end)
        run = load_journal(path)
        assert list(run.rows) == expected[: whole[:end].count(b"\n") - 1]
        assert run.complete is (end == len(whole))
    for end in range(head - 1, -1, -1):
        os.truncate(path, end)
        assert refused(path) == (
            "a journal, but it has no whole line; no cell had begun; measure again"
        )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{}", "a journal that this harness has written; run pytest bench/ again"),
        ("[1]", "a journal that this harness has written; run pytest bench/ again"),
        ("7", "a journal that this harness has written; run pytest bench/ again"),
        ("[" * 100_000, "a journal that this harness has written; run pytest bench/ again"),
        ('{"machine": {}}', "a schema version, not None; measure again"),
        ('{"schema": 2, "machine": {}}', "schema 1 or older, not 2; update sd-flux-bench"),
        ('{"schema": 1, "machine": 5}', "an object at line 1, machine, not 5; measure again"),
        (
            '{"schema": 1, "machine": {"hardware": {"cpu": 5}}}',
            "records of a machine at line 1, machine; measure again",
        ),
        (
            '{"schema": 1, "machine": {}, "begun": 5}',
            "text at line 1, begun, not 5; measure again",
        ),
    ],
)
def test_a_bad_first_line_is_named(path: Path, line: str, message: str) -> None:
    write_journal(path, small())
    path.write_text("\n".join([line, *path.read_text().split("\n")[1:]]))
    assert refused(path) == message


@pytest.mark.parametrize(
    "line",
    [
        "\x00\x00gar{bage",
        '{"row": {"name": "\udcff\udcfe"}}',  # bytes that are not UTF-8
        '{"row": {"name": "x"',
        '{"row": NaN}',
        "7",
        "[" * 100_000,
        '{"row": null}',
        '{"row": {"name": "x"}}',
        '{"machine": {"hardware": {"cpu": 5}}}',
        json.dumps({"row": replace(small()[0], samples=()).as_dict()}),
        json.dumps({"row": replace(small()[0], name="x", samples=(5e-324,) * 6).as_dict()}),
        json.dumps({"row": small()[0].as_dict()}),  # a second time
    ],
)
def test_a_bad_line_is_skipped_and_counted_and_no_row_is_lost(path: Path, line: str) -> None:
    write_journal(path, small())
    first, *rest = path.read_text().split("\n")
    path.write_text("\n".join([first, rest[0], line, *rest[1:]]), errors="surrogateescape")
    run = load_journal(path)
    assert list(run.rows) == small()
    assert (run.skipped, run.complete, run.machine) == (1, True, MACHINE)


def test_any_one_value_of_a_journal_replaced_loads_or_is_refused(path: Path) -> None:
    write_journal(path, small())
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    own = [place for place in places(lines) if len(place) <= 2]  # below: as in a result file
    for place in own:
        for other in OTHERS:
            content = changed(copy.deepcopy(lines), place, other)
            path.write_text("".join(json.dumps(line) + "\n" for line in content))
            loads_or_is_refused(path)


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
        run = load_journal(path)
        assert list(run.rows) == [numbered(number) for number in range(count)]
        assert not run.complete
