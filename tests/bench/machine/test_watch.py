"""What spoils a sample is seen, counted and told; nothing is dropped for its value."""

import sys
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from statistics import median
from time import sleep
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.machine import sensors, watch
from bench.machine.sensors import CpuTime
from bench.machine.watch import FOREIGN, SLOW_CLOCK, Watch, cause, drop
from bench.results import record
from bench.results.cell import Row
from support.runs import Run, pytest_in, suite_in
from support.simulated_nvml import NVMLError, process, raises, simulated

THERMAL, POWER_BRAKE, POWER_CAP = 0x40, 0x80, 0x04
CLOCK = {"mhz": 1980, "default_mhz": 1980}
COOL = "cool the GPU: nvidia-smi -q -d TEMPERATURE,PERFORMANCE"


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A simulated H100 at rest; tests change what it says."""
    fake = simulated()
    fake.nvmlDeviceGetCurrentClocksEventReasons = lambda gpu: 0
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(watch, "PERIOD_S", 0.0)
    monkeypatch.setattr(watch, "SHARE", float("inf"))
    return fake


def watched(rounds: int, before: Callable[[int], None], device: str = "cuda") -> watch.Readings:
    """What is seen of rounds, before each of which a test changes what the GPU says."""
    with Watch(device) as looking:
        for done in range(rounds):
            before(done)
            looking.look(done)
        before(rounds)
        return looking.end(rounds)


# One look.


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        ({}, ""),
        ({"GPU throttling": [], "GPU clock": CLOCK, "foreign GPU processes": 0}, ""),
        ({"GPU throttling": ["GPU idle", "software power cap"]}, ""),
        ({"GPU throttling": ["hardware slowdown", "hardware thermal slowdown"]},
         "hardware thermal slowdown"),
        ({"GPU throttling": ["software thermal slowdown"]}, "software thermal slowdown"),
        ({"GPU throttling": ["hardware slowdown", "hardware power brake"]}, "hardware power brake"),
        ({"foreign GPU processes": 1}, FOREIGN),
        ({"GPU clock": CLOCK | {"mhz": 1486}}, ""),
        ({"GPU clock": CLOCK | {"mhz": 1484}}, SLOW_CLOCK),
        ({"GPU clock": CLOCK | {"mhz": 345}, "GPU throttling": ["GPU idle"]}, ""),
        ({"GPU clock": CLOCK | {"mhz": 1200}, "GPU throttling": ["software power cap"]}, ""),
        ({"GPU clock": CLOCK | {"mhz": 990}, "GPU throttling": ["application clocks"]}, ""),
    ],
)  # fmt: skip
def test_heat_a_power_brake_others_and_a_low_clock_without_a_cause_spoil_a_sample(
    reading: dict[str, Any], expected: str
) -> None:
    assert cause(reading) == expected


def test_the_remedy_of_every_cause_names_a_command() -> None:
    assert all(
        ": nvidia-smi" in remedy or "nvidia-smi" in remedy for remedy in watch.CAUSES.values()
    )


# Rounds.


def test_a_sample_is_spoiled_by_what_is_seen_before_or_after_it(nvml: Any) -> None:
    def heat(done: int) -> None:
        bits = THERMAL if done in (3, 4) else 0
        nvml.nvmlDeviceGetCurrentClocksEventReasons = lambda gpu: bits

    readings = watched(10, heat)
    assert readings.spoiled == dict.fromkeys((2, 3, 4), "hardware thermal slowdown")
    assert nvml.opened == 0


def test_samples_between_two_looks_share_what_both_saw(nvml: Any) -> None:
    with Watch("cuda") as looking:
        looking.look(0)
        nvml.nvmlDeviceGetComputeRunningProcesses = lambda gpu: [process(1)]
        looking.look(400)
        nvml.nvmlDeviceGetComputeRunningProcesses = lambda gpu: []
        readings = looking.end(500)
    assert readings.spoiled == dict.fromkeys(range(500), FOREIGN)


def test_a_gpu_that_was_idle_may_still_raise_its_clock_at_the_first_look(nvml: Any) -> None:
    clocks = iter([300, 1980, 300, 1980])
    nvml.nvmlDeviceGetClockInfo = lambda gpu, kind: next(clocks)
    nvml.nvmlDeviceGetCurrentClocksEventReasons = lambda gpu: 0
    readings = watched(3, lambda done: None)
    assert readings.spoiled == {1: SLOW_CLOCK, 2: SLOW_CLOCK}


def test_looks_are_a_hundred_times_their_own_cost_apart(
    nvml: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0

    def clock(_: Any, __: Any) -> int:
        nonlocal now
        now += 0.002
        return 1980

    monkeypatch.setattr(watch, "perf_counter", lambda: now)
    monkeypatch.setattr(watch, "SHARE", 0.01)
    nvml.nvmlDeviceGetClockInfo = clock
    with Watch("cuda") as looking:
        looked = []
        for done in range(1000):
            before = now
            looking.look(done)
            looked += [done] if now > before else []
            now += 0.001
    assert looked == [0, 200, 400, 600, 800]


def test_what_is_not_proof_is_told_and_drops_nothing(nvml: Any) -> None:
    nvml.nvmlDeviceGetCurrentClocksEventReasons = lambda gpu: POWER_CAP
    clocks = iter([1980, 1410, 1700, 1700])
    nvml.nvmlDeviceGetClockInfo = lambda gpu, kind: next(clocks)
    readings = watched(3, lambda done: None)
    assert readings.spoiled == {}
    assert readings.extra["gpu_lowest_mhz"] == 1410
    assert readings.extra["gpu_power_capped_percent"] == 100
    assert readings.extra["gpu_highest_c"] == 41


def test_what_cannot_tell_others_from_a_row_is_not_read_and_the_reason_stands() -> None:
    with Watch("cpu", {"other processes": "on Ray"}) as looking:
        looking.look(0)
        sleep(1.2 * watch.SHORTEST_S)
        readings = looking.end(1)
    assert "others_busy_percent" not in readings.extra
    assert readings.guards["other processes"] == readings.guards["stolen time"] == "on Ray"


def test_a_reading_that_fails_is_not_watched_and_the_others_are(nvml: Any) -> None:
    nvml.nvmlDeviceGetComputeRunningProcesses = raises(NVMLError("Insufficient Permissions"))
    del nvml.nvmlDeviceGetTemperature
    readings = watched(3, lambda done: None)
    assert readings.guards["foreign GPU processes"] == "NVML: Insufficient Permissions"
    assert "nvmlDeviceGetTemperature" in readings.guards["GPU temperature"]
    assert (readings.guards["GPU throttling"], readings.guards["GPU clock"]) == ("", "")


def test_a_reading_that_fails_later_spoils_nothing_from_then_on(nvml: Any) -> None:
    def others(done: int) -> None:
        failing = raises(NVMLError("GPU is lost")) if done >= 2 else lambda gpu: [process(-7)]
        nvml.nvmlDeviceGetComputeRunningProcesses = failing

    readings = watched(5, others)
    assert readings.spoiled == dict.fromkeys((0, 1), FOREIGN)
    assert readings.guards["foreign GPU processes"] == "NVML: GPU is lost"


def test_a_cell_of_the_cpu_is_not_judged_by_the_gpu(nvml: Any) -> None:
    nvml.nvmlDeviceGetCurrentClocksEventReasons = lambda gpu: THERMAL
    readings = watched(3, lambda done: None, device="cpu")
    assert readings.spoiled == {}
    assert list(readings.guards) == ["other processes", "stolen time", "CPU clock"]


def test_without_nvml_every_guard_of_a_gpu_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.machine.nvml._library", raises(ValueError("no NVIDIA driver")))
    readings = watched(3, lambda done: None)
    assert {readings.guards[name] for name in watch.WATCHED["cuda"]} == {"no NVIDIA driver"}
    assert readings.spoiled == {}


@pytest.mark.parametrize(
    ("others", "stolen", "shares"),
    [
        (0.0, 0.0, {"others_busy_percent": 0.0, "stolen_percent": 0.0}),
        (3.0, 0.1, {"others_busy_percent": 75.0, "stolen_percent": 2.5}),
        (-0.01, 0.0, {"others_busy_percent": 0.0, "stolen_percent": 0.0}),  # ticks of 10 ms
    ],
)
def test_load_is_the_share_of_the_cpus_time_that_others_take(
    others: float, stolen: float, shares: dict[str, float]
) -> None:
    before, after = CpuTime(100, 7, 1000), CpuTime(100 + others, 7 + stolen, 1004)
    assert watch._shares(before, after, 2.0) == shares
    assert watch._shares(before, after, 0.1) == {}
    assert watch._shares(None, after, 2.0) == {}


# Dropping.


def test_spoiled_samples_are_dropped_and_counted() -> None:
    samples = [float(number) for number in range(1, 11)]
    kept, counts, undersampled = drop(samples, {0: FOREIGN, 9: SLOW_CLOCK, 8: SLOW_CLOCK})
    assert kept == [2, 3, 4, 5, 6, 7, 8]
    assert counts == {SLOW_CLOCK: 2, FOREIGN: 1}
    assert undersampled == ""


def test_too_few_that_are_left_say_so_with_the_reason_and_the_remedy() -> None:
    spoiled = dict.fromkeys(range(40), "hardware thermal slowdown")
    kept, counts, undersampled = drop([1.0] * 40 + [2.0] * 4, spoiled)
    assert (kept, counts) == ([2.0] * 4, {"hardware thermal slowdown": 40})
    assert undersampled == (
        "undersampled: 40 of 44 samples were spoiled by hardware thermal slowdown; " + COOL
    )


def test_where_every_sample_is_spoiled_all_are_kept_and_it_is_said() -> None:
    kept, counts, undersampled = drop([1.0] * 8, dict.fromkeys(range(8), FOREIGN))
    assert (kept, counts) == ([1.0] * 8, {})
    assert undersampled == (
        f"undersampled: 8 of 8 samples were spoiled by {FOREIGN}, so all were kept; "
        "end them, or wait: nvidia-smi lists them"
    )


@given(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=60), st.data())
def test_a_row_never_ends_without_a_sample_or_with_one_that_was_not_measured(
    samples: list[float], data: st.DataObject
) -> None:
    indexes = st.integers(0, len(samples) - 1)
    spoiled = data.draw(st.dictionaries(indexes, st.sampled_from(list(watch.CAUSES))))
    kept, counts, undersampled = drop(samples, spoiled)
    assert kept
    assert isfinite(median(kept))
    assert len(kept) + sum(counts.values()) == len(samples)
    assert bool(undersampled) == bool(spoiled and len(samples) - len(spoiled) < 6)
    if sum(counts.values()):
        assert kept == [each for index, each in enumerate(samples) if index not in spoiled]


def test_every_sensor_of_this_machine_is_read_or_says_why() -> None:
    answers = watch.unread()
    assert list(answers) == [sensor.name for sensor in sensors.SENSORS]
    assert all("\n" not in why for why in answers.values())


# The whole, over the real plugin.


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Cells of a simulated GPU that is hot for a while, nearly all the time, shared, and cool."""
    return pytest_in(
        suite_in(tmp_path_factory.mktemp("watch"), "watching"),
        "--benchmark-max-time=0.1",
        "--benchmark-precision=0.000001",
        "--benchmark-json=out.json",
        "test_cells.py",
        COLUMNS="200",
    )


@pytest.fixture(scope="module")
def ended(run: Run) -> dict[str, Row]:
    """The rows of `run` by cell."""
    assert run.code == 0, run.out
    return {row.cell.id: row for row in record.load(run.folder / "out.json").rows}


def test_the_plugins_statistics_are_those_of_the_samples_that_are_left(
    run: Run, ended: dict[str, Row]
) -> None:
    for name, entry in run.measured.items():
        assert entry["stats"]["data"] == list(ended[name].samples)
        assert entry["stats"]["rounds"] == len(ended[name].samples)
        assert entry["stats"]["median"] == median(ended[name].samples)
        assert entry["stats"]["max"] == max(ended[name].samples)


def test_samples_of_a_hot_gpu_are_dropped_and_the_rest_stays(ended: dict[str, Row]) -> None:
    assert ended["hot"].spoiled == {"hardware thermal slowdown": 4}
    assert ended["hot"].undersampled == ""
    assert len(ended["hot"].samples) >= 6
    assert (ended["cool"].spoiled, ended["cool"].undersampled) == ({}, "")


def test_a_row_of_a_gpu_that_stays_hot_is_undersampled(run: Run, ended: dict[str, Row]) -> None:
    row = ended["short"]
    dropped = sum(row.spoiled.values())
    assert 0 < len(row.samples) < 6
    assert row.undersampled == (
        f"undersampled: {dropped} of {dropped + len(row.samples)} samples were spoiled by "
        f"hardware thermal slowdown; {COOL}"
    )
    assert row.undersampled in run.out


def test_a_gpu_that_is_shared_throughout_keeps_its_samples_and_says_so(
    ended: dict[str, Row],
) -> None:
    row = ended["shared"]
    assert len(row.samples) >= 6
    assert row.undersampled.endswith(
        f"samples were spoiled by {FOREIGN}, so all were kept; "
        "end them, or wait: nvidia-smi lists them"
    )


def test_the_journal_says_the_same(run: Run, ended: dict[str, Row]) -> None:
    journal = record.load_journal(Path(run.folder) / record.JOURNAL)
    assert {row.cell.id: row for row in journal.rows} == ended


def test_joules_and_bytes_are_columns(run: Run, ended: dict[str, Row]) -> None:
    """Thirty joules between any two readings of the simulated counter."""
    for row in ended.values():
        assert row.extra["energy_j_per_image"] > 0
        assert row.extra["gpu_process_bytes"] == 10**9
    assert "J/image" in run.out
    assert "process M" in run.out
