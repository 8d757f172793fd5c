"""What a run leaves behind can be read again, and what cannot be is refused with one line."""

import copy
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.reporting import tables
from bench.results import record
from bench.results.cell import MEASURED, Row
from pipeline.errors import PipelineError
from support.helpers import fresh_python
from support.results import BAD_FILES, MACHINE, TINY, document, numbered, rows, small, write_journal

OTHERS: list[Any] = [None, True, 7, -1, 1e300, "text", [], [None], {"text": None}]


def saved(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def refused(path: Path) -> str:
    """The line with which a file is refused, after its path."""
    with pytest.raises(PipelineError) as error:
        record.load(path)
    given, _, expected = str(error.value).partition(": expected ")
    assert given == str(path)
    return expected


def loads_or_is_refused(path: Path) -> bool:
    """Whether a file loads, and then shows; any other error than a line of ours is a failure."""
    try:
        run = record.load(path)
    except PipelineError as error:
        line = str(error)
    else:
        tables.render(run.rows, run.machine, 80)
        return True
    assert "\n" not in line
    assert line.startswith(f"{path}: expected ")
    return False


# Result files.


def test_what_was_written_is_loaded_with_measured_rows_first(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    record.write(path, document(rows()))
    run = record.load(path)
    measured = [row for row in rows() if row.status == MEASURED]
    others = [row for row in rows() if row.status != MEASURED]
    assert list(run.rows) == measured + others
    assert run.machine == MACHINE
    assert run.begun == "2026-11-22T16:10:35.927224+00:00"
    assert run.commit == {"id": "0123456789abcdef", "branch": "main", "dirty": False}
    assert run.complete


def test_a_run_in_which_nothing_was_measured_is_loaded(tmp_path: Path) -> None:
    others = [row for row in rows() if row.status != MEASURED]
    content = document(others)
    assert content["benchmarks"] == []
    assert list(record.load(saved(tmp_path / "out.json", content)).rows) == others


def test_rows_without_a_number_stay_out_of_benchmarks() -> None:
    content = document(rows())
    assert all(entry["stats"]["data"] for entry in content["benchmarks"])
    assert {entry["status"] for entry in content["sd_flux_bench"]["rows"]} == {
        "checked",
        "failed",
        "out of memory",
        "unavailable",
    }


def test_a_number_of_a_test_that_failed_later_is_withdrawn() -> None:
    first, second = (row for row in rows()[:2])
    content = document([first, second])
    record.update(content, [first, replace(second, status="failed", reason="too late")], MACHINE)
    assert [entry["fullname"] for entry in content["benchmarks"]] == [first.name]
    assert [entry["name"] for entry in content["sd_flux_bench"]["rows"]] == [second.name]


def test_params_are_the_axes_of_the_cell() -> None:
    assert document(small())["benchmarks"][0]["params"] == {
        "model": "tiny",
        "device": "cpu",
        "dtype": "float32",
        "size": "64x64",
        "steps": 2,
    }


def test_a_benchmark_that_is_not_ours_is_left_out(tmp_path: Path) -> None:
    content = document(small())
    alien = {"fullname": "test_x.py::test_x", "extra_info": {}, "stats": {"data": [1.0]}}
    content["benchmarks"].insert(0, alien)
    assert list(record.load(saved(tmp_path / "out.json", content)).rows) == small()


def test_keys_of_a_later_version_of_the_same_schema_are_left_out(tmp_path: Path) -> None:
    content = document(small())
    content["benchmarks"][0]["extra_info"]["cell"]["later"] = 0.011
    content["benchmarks"][0]["extra_info"]["cell"]["cell"]["mode"] = "eager"
    content["sd_flux_bench"]["notes"] = ["new"]
    assert list(record.load(saved(tmp_path / "out.json", content)).rows) == small()


@pytest.mark.parametrize("kind", BAD_FILES)
def test_the_first_thing_wrong_is_named(kind: str, tmp_path: Path) -> None:
    make, message = BAD_FILES[kind]
    path = tmp_path / "in" / "out.json"
    path.parent.mkdir()
    make(path)
    assert refused(path) == message


def test_a_valid_file_of_100_mb_loads(tmp_path: Path) -> None:
    row, other = small()
    content = document([replace(row, samples=tuple(0.017 + i / 1e6 for i in range(1000))), other])
    entry = json.dumps(content["benchmarks"][0], indent=12)
    head, tail = json.dumps(content | {"benchmarks": ["HERE"]}).split('"HERE"')
    count = 100_000_000 // len(entry) + 1
    path = tmp_path / "out.json"
    with path.open("w") as file:
        file.write(head)
        for number in range(count):
            file.write("," * bool(number) + entry.replace("2steps", f"{number + 2}steps"))
        file.write(tail)
    assert 100_000_000 <= path.stat().st_size <= 101_000_000
    run = record.load(path)
    assert len(run.rows) == count + 1
    assert sum(len(row.samples) for row in run.rows) == 1000 * count


def test_nothing_is_written_where_a_number_is_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    record.write(path, {"older": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        record.write(path, {"seconds": float("nan")})
    assert json.loads(path.read_text()) == {"older": 1}
    assert list(tmp_path.iterdir()) == [path]


# Whatever a file holds, it loads or it is refused with one line.


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key and index of a document, as a path from its top."""
    pairs = (
        value.items() if isinstance(value, dict) else enumerate(value)
        if isinstance(value, list) else ()
    )  # fmt: skip
    for key, inner in pairs:
        yield (*above, key)
        yield from places(inner, (*above, key))


VALID = json.loads(json.dumps(document(small())))
PLACES = list(places(VALID))


def mutated(place: tuple[Any, ...], *replacement: Any) -> Any:
    """A valid document in which one value is replaced, or without it."""
    return changed(copy.deepcopy(VALID), place, *replacement)


def changed(content: Any, place: tuple[Any, ...], *replacement: Any) -> Any:
    *above, last = place
    inner = content
    try:
        for key in above:
            inner = inner[key]
        if replacement:
            inner[last] = replacement[0]
        else:
            del inner[last]
    except (LookupError, TypeError):
        pass  # an earlier change has removed this place
    return content


def test_a_document_without_any_one_key_loads_or_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    loaded = {place for place in PLACES if loads_or_is_refused(saved(path, mutated(place)))}
    own = ("benchmarks", 0, "extra_info", "cell")
    needed = {
        ("benchmarks",),
        ("benchmarks", 0, "stats"),
        ("benchmarks", 0, "stats", "data"),
        *((*own, key) for key in ("name", "cell", "status")),
        *((*own, "cell", key) for key in ("family", "axes")),
        ("sd_flux_bench",),
        *(("sd_flux_bench", key) for key in ("schema", "machine", "rows")),
        *(("sd_flux_bench", "rows", 0, key) for key in ("name", "cell", "status")),
        *(("sd_flux_bench", "rows", 0, "cell", key) for key in ("family", "axes")),
    }
    assert set(PLACES) - loaded == needed


def test_a_document_with_any_one_value_replaced_loads_or_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    outcomes = [
        loads_or_is_refused(saved(path, mutated(place, other)))
        for place in PLACES
        for other in OTHERS
    ]
    assert {True, False} == set(outcomes)


@settings(deadline=None, max_examples=100)
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(OTHERS)), min_size=2))
def test_a_document_with_many_values_replaced_loads_or_is_refused(
    changes: list[tuple[tuple[Any, ...], Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = copy.deepcopy(VALID)
    for place, other in changes:
        changed(content, place, copy.deepcopy(other))
    loads_or_is_refused(saved(tmp_path_factory.getbasetemp() / "many.json", content))


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_a_file_with_any_bytes_replaced_loads_or_is_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = json.dumps(VALID).encode()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(start + 8, len(whole))))
    path = tmp_path_factory.getbasetemp() / "bytes.json"
    path.write_bytes(whole[:start] + data.draw(st.binary(max_size=8)) + whole[end:])
    loads_or_is_refused(path)


def test_a_file_cut_at_any_byte_is_refused(tmp_path: Path) -> None:
    whole = json.dumps(VALID)
    path = tmp_path / "out.json"
    for end in range(0, len(whole), 7):
        path.write_text(whole[:end])
        assert refused(path).endswith("it may be cut off: measure again")


# The journal.


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


KILLED = """
import os, signal, sys
from pathlib import Path
from support.results import MACHINE, numbered
from bench.results.record import Journal

folder, half = Path(sys.argv[1]), len(sys.argv) > 2
for written in [7] if half else range(21):
    child = os.fork()
    if child == 0:
        path = folder / f"{written}.jsonl"
        journal = Journal(path, MACHINE)
        for number in range(written):
            journal.add(numbered(number))
        if half:
            with path.open("a") as file:
                file.write('{"row": {"name": "bench/test_gen')
                file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    print(written, os.WTERMSIG(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork and no kill -9")
@pytest.mark.parametrize("half", [False, True], ids=["between lines", "within a line"])
def test_kill_9_loses_no_row_that_was_written(tmp_path: Path, half: bool) -> None:
    root = Path(__file__).resolve().parents[2]
    done = fresh_python(
        "-c",
        KILLED,
        str(tmp_path),
        *(["half"] if half else []),
        PYTHONPATH=os.pathsep.join([str(root), str(root.parent)]),
    )
    assert done.returncode == 0, done.stderr
    counts = [7] if half else list(range(21))
    assert done.stdout.split("\n")[:-1] == [f"{count} {int(signal.SIGKILL)}" for count in counts]
    for count in counts:
        path = tmp_path / f"{count}.jsonl"
        assert path.read_text().endswith("\n") is not half
        run = record.load_journal(path)
        assert list(run.rows) == [numbered(number) for number in range(count)]
        assert not run.complete
