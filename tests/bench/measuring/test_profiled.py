"""The watched call: intervals and stages with known answers, and what torch.profiler records.

There is no GPU here: events of a device are simulated, and said to be.
"""

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measuring import profiled
from bench.measuring.profiled import Part, Range, Work, by_stage, covered


@pytest.mark.parametrize(
    ("intervals", "length"),
    [
        ([], 0),
        ([(1, 3)], 2),
        ([(1, 3), (5, 6)], 3),
        ([(5, 6), (1, 3), (2, 4)], 4),
        ([(0, 10), (2, 3), (4, 12)], 12),
        ([(1, 3), (3, 5)], 4),
        ([(1, 1)], 0),
    ],
)
def test_overlapping_work_counts_once(intervals: list[tuple[float, float]], length: float) -> None:
    assert covered(intervals) == length


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9))))
def test_what_is_covered_are_the_points_of_all_intervals(spans: list[tuple[int, int]]) -> None:
    intervals = [(float(start), float(start + length)) for start, length in spans]
    points = {point for start, length in spans for point in range(start, start + length)}
    assert covered(intervals) == len(points)


def test_work_belongs_to_the_stage_that_launched_it_whenever_it_ran() -> None:
    ranges = [Range("UNet", 1, 2), Range("VAE", 3, 4), Range("UNet", 5, 6)]
    work = [
        Work(1.5, 3.5, launched=1.9),  # runs on while the host is in the VAE
        Work(3.5, 4.5, launched=3.1),
        Work(4.0, 4.6, launched=3.2),  # beside the one before
        Work(6.5, 7.5, launched=5.5),  # after its range has ended
        Work(8.0, 9.0, launched=2.5),  # between the stages
        Work(9.0, 9.5, launched=0.5),
        Work(9.5, 9.9, launched=None),
    ]
    assert by_stage(work, ranges) == {"UNet": 3.0, "VAE": pytest.approx(1.1)}


def test_a_stage_that_launched_nothing_has_no_time() -> None:
    assert by_stage([], [Range("scheduler", 1, 2)]) == {"scheduler": 0.0}


# On the CPU: the host's clock.


class Network:
    def __init__(self) -> None:
        self.given: list[int] = []

    def forward(self, number: int) -> int:
        """Its documentation."""
        self.given.append(number)
        if number < 0:
            raise ValueError(number)
        return number + 1


def test_calls_of_each_stage_are_counted_and_timed() -> None:
    unet, encoder, other = Network(), Network(), Network()
    parts = [
        Part("text", encoder, "forward"),
        Part("text", other, "forward"),
        Part("UNet", unet, "forward"),
    ]

    def call() -> None:
        assert encoder.forward(1) == 2
        other.forward(1)
        for number in range(3):
            unet.forward(number)

    found = profiled.profile(call, parts, "cpu")
    assert found.calls == {"text": 2, "UNet": 3}
    assert set(found.stages) == {"text", "UNet"}
    assert 0 < sum(found.stages.values()) < found.wall
    assert found.busy is None
    assert unet.given == [0, 1, 2]


def test_profiling_leaves_a_part_as_it_was_also_where_a_call_raises() -> None:
    plain, own = Network(), Network()
    replaced = own.forward
    own.forward = replaced  # type: ignore[method-assign]
    parts = [Part("a", plain, "forward"), Part("b", own, "forward")]
    before = inspect.signature(plain.forward)

    def call() -> None:
        assert inspect.signature(plain.forward) == before
        assert plain.forward.__doc__ == "Its documentation."
        plain.forward(-1)

    with pytest.raises(ValueError, match="-1"):
        profiled.profile(call, parts, "cpu")
    assert "forward" not in vars(plain)
    assert vars(own)["forward"] is replaced


# On a device: what torch.profiler records.


EPOCH = 1_795_000_000_000_000_000


def event(
    device: str, name: str, start: int, end: int, correlation: int, linked: int = 0
) -> SimpleNamespace:
    """One of kineto's events, with what is asked of it."""
    answers = {
        "name": name,
        "device_type": SimpleNamespace(name=device),
        "start_ns": EPOCH + start,
        "end_ns": EPOCH + end,
        "correlation_id": correlation,
        "linked_correlation_id": linked,
        "is_user_annotation": name.startswith("stage: "),
    }
    return SimpleNamespace(**{key: lambda value=value: value for key, value in answers.items()})


SIMULATED = [
    event("CPU", "stage: UNet", 0, 900, 1),
    event("CPU", "aten::mm", 100, 300, 2),
    event("CPU", "cudaLaunchKernel", 200, 250, 70),
    event("CUDA", "gemm", 400, 1400, 70, 2),
    event("CPU", "cudaGraphLaunch", 500, 520, 71),
    event("CUDA", "graphed one", 1500, 1600, 71),
    event("CUDA", "graphed two", 1700, 1900, 71),
    event("CUDA", "stage: UNet", 400, 1900, 1),
    event("CPU", "stage: VAE decode", 1000, 2000, 3),
    event("CPU", "aten::conv2d", 1100, 1200, 4),
    event("CUDA", "conv", 2000, 2500, 72, 4),
    event("CPU", "cuLaunchKernelEx", 1300, 1310, 73),
    event("CUDA", "triton", 2400, 2600, 73),
    event("CPU", "cudaMemcpyAsync", 2100, 2700, 74),
    event("CUDA", "Memcpy DtoH", 2600, 2700, 74),
]


def test_simulated_events_are_read_as_work_with_its_launch_and_as_ranges() -> None:
    work, ranges = profiled.read_events(SIMULATED)
    assert [(each.stage, round(each.start * 1e9)) for each in ranges] == [
        ("UNet", 0),
        ("VAE decode", 1000),
    ]
    launched = [round((each.launched or 0.0) * 1e9) for each in work]
    assert launched == [200, 500, 500, 1100, 1300, 2100]
    assert covered((each.start, each.end) for each in work) == pytest.approx(2000e-9)
    assert by_stage(work, ranges) == {
        "UNet": pytest.approx(1300e-9),
        "VAE decode": pytest.approx(600e-9),
    }


def test_what_torch_records_on_the_cpu_has_ranges_and_no_work_of_a_device() -> None:
    import torch
    from torch.profiler import ProfilerActivity, profile, record_function

    with (
        profile(activities=[ProfilerActivity.CPU], acc_events=True) as running,
        record_function("stage: UNet"),
    ):
        torch.ones(3) + 1
    assert running.profiler is not None
    assert running.profiler.kineto_results is not None
    work, (found,) = profiled.read_events(running.profiler.kineto_results.events())
    assert work == []
    assert found.stage == "UNet"
    assert 0 < found.end - found.start < 60


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A device that is not there: its events are those that are put into this list."""
    import torch
    import torch.profiler

    events: list[Any] = []

    @contextmanager
    def profiler(activities: list[Any], acc_events: bool) -> Iterator[Any]:
        results = SimpleNamespace(events=lambda: events)
        yield SimpleNamespace(profiler=SimpleNamespace(kineto_results=results))

    monkeypatch.setattr(torch.profiler, "profile", profiler)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    return events


def test_a_device_is_busy_for_the_union_of_its_work(simulated: list[Any]) -> None:
    unet = Network()
    simulated.extend(SIMULATED)
    found = profiled.profile(lambda: unet.forward(1), [Part("UNet", unet, "forward")], "cuda")
    assert found.busy == pytest.approx(2000e-9)
    assert found.stages["UNet"] == pytest.approx(1300e-9)
    assert found.calls == {"UNet": 1}


@pytest.mark.parametrize(
    ("cuda", "before", "after"),
    [
        ("12.8", None, "1"),
        ("13.0", None, "1"),
        ("12.4", None, None),
        (None, None, None),
        ("12.8", "0", "0"),
    ],
)
def test_a_profile_slows_no_later_cell(
    simulated: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    cuda: str | None,
    before: str | None,
    after: str | None,
) -> None:
    """CUPTI stays attached otherwise, and slows every launch of the cells that come after."""
    import torch.version

    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setenv("TEARDOWN_CUPTI", before or "")
    if before is None:
        monkeypatch.delenv("TEARDOWN_CUPTI")
    profiled.profile(lambda: None, [], "cuda")
    assert os.environ.get("TEARDOWN_CUPTI") == after


def test_a_profiler_that_saw_nothing_of_a_device_gives_no_busy_time(simulated: list[Any]) -> None:
    found = profiled.profile(lambda: None, [], "cuda")
    assert (found.busy, found.stages) == (None, {})
