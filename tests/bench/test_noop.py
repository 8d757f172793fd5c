"""The harness's own cost: the row of a call that does nothing."""

from pathlib import Path

import pytest

from bench import test_harness as noop
from bench.results import record
from bench.results.cell import MEASURED
from support.runs import copy_of_bench, pytest_in


def test_the_row_has_its_ratio_to_an_empty_loop_timed_beside_it(tmp_path: Path) -> None:
    run = pytest_in(
        copy_of_bench(tmp_path),
        "bench/test_harness.py",
        "--benchmark-max-time=0.2",
        "--benchmark-json=out.json",
        COLUMNS="100",
    )
    assert run.code == 0, run.out
    (row,) = record.load(run.folder / "out.json").rows
    assert (row.cell.id, row.status) == ("harness-noop", MEASURED)
    assert row.iterations > 1
    data = run.measured["harness-noop"]["stats"]
    per_call_ns = data["median"] * 1e9
    assert row.extra["times_an_empty_loop"] == pytest.approx(
        per_call_ns / row.extra["empty_loop_ns"]
    )
    assert "× empty loop" in run.out
    assert "relative to a step of an empty loop, timed beside it" in " ".join(run.out.split())


def test_a_step_is_a_hundred_thousandth_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noop, "empty_loop", lambda: 0.001)
    found = noop.beside_an_empty_loop([3e-8, 4e-8, 9e-8])
    assert found["empty_loop_ns"] == pytest.approx(10)
    assert found["times_an_empty_loop"] == pytest.approx(4)
