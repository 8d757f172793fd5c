"""What a run leaves behind can be read again, and what cannot be is refused with one line."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.results import record
from bench.results.cell import MEASURED
from pipeline.errors import PipelineError
from support.damage import OTHERS, changed, loads_or_is_refused, places, refused
from support.helpers import fresh_python
from support.results import BAD_FILES, MACHINE, TINY, document, rows, small


def saved(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


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


@pytest.mark.parametrize("shortest", [5e-324, 1e-300, 9e-16])
def test_a_time_that_no_clock_shows_is_refused(tmp_path: Path, shortest: float) -> None:
    content = document(small())
    content["benchmarks"][0]["stats"]["data"][1] = shortest
    path = saved(tmp_path / "out.json", content)
    line = f"times from 1e-15 s, or 0, of {small()[0].name}, not {shortest:g}; measure again"
    assert refused(path) == line


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "out.json", document(rows()))
    plain = record.load(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert record.load(path) == plain


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


def test_files_are_compared_where_neither_torch_nor_psutil_is_installed(tmp_path: Path) -> None:
    path = saved(tmp_path / "out.json", document(small()))
    code = (
        "import sys; sys.modules.update(torch=None, psutil=None, pynvml=None);"
        "from bench.__main__ import main; sys.exit(main(['compare', *sys.argv[1:]]))"
    )
    done = fresh_python("-c", code, str(path), str(path))
    assert done.returncode == 0, done.stderr
    assert TINY.partition("[")[2].removesuffix("]") in done.stdout


def test_nothing_is_written_where_a_number_is_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    record.write(path, {"older": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        record.write(path, {"seconds": float("nan")})
    assert json.loads(path.read_text()) == {"older": 1}
    assert list(tmp_path.iterdir()) == [path]


# Whatever a file holds, it loads or it is refused with one line.


VALID = json.loads(json.dumps(document(small())))
PLACES = list(places(VALID))


def mutated(place: tuple[Any, ...], *replacement: Any) -> Any:
    """A valid document in which one value is replaced, or without it."""
    return changed(copy.deepcopy(VALID), place, *replacement)


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


def test_a_name_of_a_thousand_characters_is_not_repeated_whole() -> None:
    path = Path("n" * 1000)
    with pytest.raises(PipelineError) as error:
        record.load(path)
    line = str(error.value)
    assert len(line) < 500
    assert line.startswith("n" * 399 + "…: expected a file that can be read (")
