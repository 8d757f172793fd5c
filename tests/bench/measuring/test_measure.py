"""The `measure` fixture over the real plugin: how often it calls, what it publishes and withdraws.

Each suite runs once, in a pytest of its own, on work that sleeps or spins.
"""

import json
import re
import sys
from pathlib import Path

import pytest

from bench.measuring.measure import MAXIMUM_ROUNDS, PILOT_CALLS
from bench.results import record
from bench.results.cell import FAILED, JULIA, MEASURED, WALL, Row
from bench.statistics.stats import MIN_ROUNDS
from support.runs import Run, pytest_in, suite_in

MEMORY_PASS = 1
"""Calls after the rounds, for the most memory that one takes."""

BATCH = "check what was fed to this stage"
RANGE = "divide 8-bit levels by 255"
BROKEN = {
    "shape": ("batch: shape (1, 3, 8, 9)", "shape (1, 3, 8, 8)", BATCH),
    "nan": ("batch: values from nan to nan", "finite values in [0, 1]", RANGE),
    "above": ("batch: values from 0 to 1.01", "finite values in [0, 1]", RANGE),
    "flat": (
        "image 1: one flat colour (standard deviation 0.00 of 255)",
        "a picture",
        "try float32, another seed, or no safety checker",
    ),
}


def measured(path: Path, suite: str, seconds: float) -> Run:
    """Measure a suite whose cells all hold, at a precision that none of them reaches."""
    run = pytest_in(
        suite_in(path, suite),
        f"--benchmark-max-time={seconds}",
        "--benchmark-precision=0.000001",
        "--benchmark-json=out.json",
        "test_cells.py",
    )
    assert run.code == 0, run.out
    return run


@pytest.fixture(scope="module")
def speeds(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Cells of different speeds, 0.2 s each, at a precision that none of them reaches."""
    return measured(tmp_path_factory.mktemp("speeds"), "speeds", seconds=0.2)


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Cells that break their contract, fail after it or in a round, and one good cell."""
    folder = suite_in(tmp_path_factory.mktemp("faults"), "faults")
    return pytest_in(
        folder,
        "--benchmark-max-time=0.1",
        "--benchmark-precision=0.9",
        "--benchmark-json=out.json",
        "--stock-table",
        "test_cells.py",
    )


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Cells whose calls return the seconds that another clock has read, and one by the wall."""
    return measured(tmp_path_factory.mktemp("inside"), "inside", seconds=0.1)


@pytest.fixture(scope="module")
def inside_rows(inside: Run) -> dict[str, Row]:
    """The rows of `inside` by cell."""
    return {row.cell.id: row for row in record.load(inside.folder / "out.json").rows}


@pytest.fixture(scope="module")
def rows(speeds: Run) -> dict[str, Row]:
    """The rows of `speeds` by cell."""
    return {row.cell.id: row for row in record.load(speeds.folder / "out.json").rows}


def test_a_call_is_made_once_for_its_contract_six_times_as_pilot_and_once_a_round(
    speeds: Run, rows: dict[str, Row]
) -> None:
    assert speeds.calls["steady"] == 1 + PILOT_CALLS + len(rows["steady"].samples) + MEMORY_PASS
    assert rows["steady"].limited_by == "budget"
    assert rows["steady"].iterations == 1
    assert all(sample >= 0.0005 for sample in rows["steady"].samples)


def test_a_slow_call_has_six_rounds_and_a_pilot_within_a_third_of_the_budget(
    speeds: Run, rows: dict[str, Row]
) -> None:
    assert len(rows["slow"].samples) == MIN_ROUNDS == 6
    assert rows["slow"].limited_by == "budget"
    pilot = speeds.calls["slow"] - 1 - MIN_ROUNDS - MEMORY_PASS
    assert pilot in (1, 2)  # two of 0.04 s are more than 0.2 s / 3


def test_a_first_call_that_outlasts_the_budget_is_the_one_sample(
    speeds: Run, rows: dict[str, Row]
) -> None:
    row = rows["outlasting"]
    assert speeds.calls["outlasting"] == 1
    assert row.samples == (row.first_call,)
    assert row.samples[0] >= 0.3
    assert row.limited_by == "first call"
    assert re.search("^outlasting[¹²³⁴⁵⁶,]+ ", speeds.out, re.MULTILINE)
    assert "a single sample: the first call alone used up the time budget" in speeds.out


def test_no_cell_has_more_than_a_thousand_samples(speeds: Run, rows: dict[str, Row]) -> None:
    assert len(rows["capped"].samples) == MAXIMUM_ROUNDS == 1000
    assert rows["capped"].limited_by == "cap"
    assert speeds.calls["capped"] == 1 + PILOT_CALLS + MAXIMUM_ROUNDS + MEMORY_PASS
    assert all(len(row.samples) <= MAXIMUM_ROUNDS for row in rows.values())


def test_quick_calls_on_the_cpu_are_grouped(speeds: Run, rows: dict[str, Row]) -> None:
    row = rows["quick"]
    assert row.iterations > 1
    assert speeds.measured["quick"]["stats"]["iterations"] == row.iterations
    # one for the contract, one that says how many make a group, and the plugin's own last one
    groups = PILOT_CALLS + len(row.samples)
    assert speeds.calls["quick"] == 1 + 1 + row.iterations * groups + 1 + MEMORY_PASS


def test_quick_calls_on_a_device_are_not_grouped_and_each_waits_for_it(
    speeds: Run, rows: dict[str, Row]
) -> None:
    row = rows["device"]  # the suite asserts the order: call, wait, call, wait …
    assert row.iterations == 1
    passes = MEMORY_PASS + 1  # the watched call
    assert speeds.calls["device"] == 1 + PILOT_CALLS + len(row.samples) + passes


def test_one_more_call_on_a_device_is_watched_and_none_on_the_cpu_without_stages(
    rows: dict[str, Row],
) -> None:
    """The profile is simulated: what a row keeps of it is what counts here."""
    row = rows["device"]
    assert (row.profiled, row.busy) == (0.5, 0.25)
    assert (row.stages, row.calls) == ({"UNet": 0.2}, {"UNet": 4})
    for name, other in rows.items():
        if name != "device":
            assert (other.profiled, other.busy, other.stages, other.calls) == (None, None, {}, {})


def test_what_was_known_before_stays_in_a_row_beside_what_was_seen(rows: dict[str, Row]) -> None:
    # What was watched took its place: no operations were left to show a second.
    assert [row.extra["call_flop"] for row in rows.values()] == [5e9] * len(rows)
    assert "others_busy_percent" in rows["slow"].extra or sys.platform != "linux"


def test_a_row_has_the_samples_of_the_result_file_and_of_the_journal(speeds: Run) -> None:
    journal = record.load_journal(speeds.folder / record.JOURNAL)
    assert journal.complete
    kept = {row.cell.id: row.samples for row in journal.rows}
    data = {name: tuple(entry["stats"]["data"]) for name, entry in speeds.measured.items()}
    assert kept == data
    assert len(kept) == 6


def test_a_row_says_what_it_ran_on_and_the_file_carries_its_samples_once(
    speeds: Run, rows: dict[str, Row]
) -> None:
    for name, entry in speeds.measured.items():
        assert rows[name].status == MEASURED
        assert rows[name].weights == "none"
        assert rows[name].first_call is not None
        assert entry["extra_info"]["cell"]["samples"] == []
        assert entry["params"] == {"work": name}
        assert entry["options"]["timer"] == "wall clock, device synchronised"


def test_only_the_good_cell_has_a_number(faults: Run) -> None:
    assert faults.code == pytest.ExitCode.TESTS_FAILED
    assert set(faults.measured) == {"good"}
    assert set(faults.others) == {*BROKEN, "late", "pulled"}
    ours, _, stock = faults.out.partition("= sd-flux-bench =")[2].partition(
        "benchmark 'preprocess': 1 tests"
    )
    for name in faults.others:
        assert f"failed: test_cells.py::test_work[{name}]\n" in ours
        assert f"\n{name}" not in ours
        assert f"test_work[{name}]" not in stock.partition("short test summary")[0]
    assert re.search(r"^good[¹²³,]* ", ours, re.MULTILINE)
    assert "test_work[good]" in stock


def test_each_failure_is_reported_once(faults: Run) -> None:
    assert "6 failed, 1 passed" in faults.out
    assert "error" not in faults.out.splitlines()[-1]
    assert "warning" not in faults.out.splitlines()[-1]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_contract_is_said_and_never_timed(faults: Run, name: str) -> None:
    given, expected, remedy = BROKEN[name]
    row = Row.from_dict(faults.others[name])
    assert row.status == FAILED
    assert row.reason == f"{given}, expected {expected}"
    assert row.remedy == remedy
    assert row.samples == ()
    assert f"\n{given}: expected {expected}; {remedy}\n" in faults.out
    assert faults.calls[name] == 1


def test_a_test_that_fails_after_it_was_timed_loses_its_number(faults: Run) -> None:
    assert faults.calls["late"] > 1 + MIN_ROUNDS
    row = Row.from_dict(faults.others["late"])
    assert row.status == FAILED
    assert row.reason.startswith("AssertionError: it failed after it had been timed")
    assert row.remedy == "read its traceback"
    assert row.samples == ()


def test_an_exception_in_a_round_is_a_failed_row(faults: Run) -> None:
    row = Row.from_dict(faults.others["pulled"])
    assert row.status == FAILED
    assert row.reason == "ValueError: the cable was pulled"
    assert row.remedy == "read its traceback"
    assert row.samples == ()


def seconds_of(inside: Run, name: str) -> list[float]:
    """What each call of a cell's work returned, in order; powers of two add up exactly."""
    seconds: list[float] = json.loads((inside.folder / "seconds.json").read_text())[name]
    return seconds


def test_what_is_published_are_the_seconds_that_the_calls_returned(
    inside: Run, inside_rows: dict[str, Row]
) -> None:
    row, seconds = inside_rows["varying"], seconds_of(inside, "varying")
    assert len(set(row.samples)) == 7
    assert row.first_call == seconds[0]
    assert list(row.samples) == seconds[1 + PILOT_CALLS : -MEMORY_PASS]
    assert inside.measured["varying"]["stats"]["data"] == list(row.samples)


def test_quick_seconds_are_grouped_and_each_call_counts(
    inside: Run, inside_rows: dict[str, Row]
) -> None:
    row = inside_rows["quick"]
    assert row.iterations > 1
    assert set(row.samples) == {2**-16}
    assert row.first_call == 2**-16


def test_a_first_call_that_outlasts_the_budget_by_the_other_clock_is_the_one_sample(
    inside: Run, inside_rows: dict[str, Row]
) -> None:
    row = inside_rows["outlasting"]
    assert seconds_of(inside, "outlasting") == [0.25]
    assert row.samples == (0.25,)
    assert row.limited_by == "first call"


def test_a_row_says_whose_seconds_it_has(inside: Run, inside_rows: dict[str, Row]) -> None:
    clocks = {name: row.clock for name, row in inside_rows.items()}
    assert clocks == {"varying": JULIA, "quick": JULIA, "outlasting": JULIA, "wall": WALL}
    assert (JULIA, WALL) == ("julia", "wall")
    for name, entry in inside.measured.items():
        assert entry["extra_info"]["cell"]["clock"] == clocks[name]


def test_a_result_file_names_the_clock_of_each_number(inside: Run) -> None:
    """Julia's seconds were once filed under the wall clock."""
    timers = {name: entry["options"]["timer"] for name, entry in inside.measured.items()}
    wall = "wall clock, device synchronised"
    julia = "Julia's own clock"
    assert timers == {"varying": julia, "quick": julia, "outlasting": julia, "wall": wall}


def test_the_table_notes_the_other_clock(inside: Run) -> None:
    assert re.search(r"^varying¹", inside.out, re.MULTILINE)
    assert "\n¹ timed inside Julia, by its own clock: " in inside.out


def test_what_else_is_measured_is_in_the_row_and_in_the_result_file(
    inside: Run, inside_rows: dict[str, Row]
) -> None:
    for name in ("varying", "quick", "outlasting", "wall"):
        assert inside_rows[name].extra["julia_allocated_bytes"] == 1234.0
        cell = inside.measured[name]["extra_info"]["cell"]
        assert cell["extra"] == inside_rows[name].extra


def test_what_else_is_measured_is_measured_once_after_the_rounds_be_it_one(inside: Run) -> None:
    asked: list[list[object]] = json.loads((inside.folder / "seconds.json").read_text())["extra"]
    assert asked == [
        [name, inside.calls[name]] for name in ("varying", "quick", "outlasting", "wall")
    ]
