"""The watched call: intervals and stages with known answers, and what torch.profiler records.

There is no GPU here: events of a device are simulated, and said to be.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
def test_what_is_covered_are_the_points_that_some_interval_holds(
    given_: list[tuple[int, int]],
) -> None:
    intervals = [(float(start), float(start + length)) for start, length in given_]
    points = {point for start, length in given_ for point in range(start, start + length)}
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


def test_watching_leaves_a_part_as_it_was() -> None:
    plain, own = Network(), Network()
    replaced = own.forward
    own.forward = replaced  # type: ignore[method-assign]
    parts = [Part("a", plain, "forward"), Part("b", own, "forward")]
    profiled.profile(lambda: plain.forward(1), parts, "cpu")
    assert "forward" not in vars(plain)
    assert vars(own)["forward"] is replaced


def test_a_call_that_raises_leaves_its_parts_as_they_were() -> None:
    network = Network()
    with pytest.raises(ValueError, match="-1"):
        profiled.profile(lambda: network.forward(-1), [Part("a", network, "forward")], "cpu")
    assert "forward" not in vars(network)


def test_a_part_is_called_as_before_by_those_who_look_at_it() -> None:
    import inspect

    network = Network()
    before = inspect.signature(network.forward)
    part = Part("a", network, "forward")

    def call() -> None:
        assert inspect.signature(network.forward) == before
        assert network.forward.__doc__ == "Its documentation."

    profiled.profile(call, [part], "cpu")


# On a device: what torch.profiler records.


@dataclass(frozen=True)
class SimulatedEvent:
    """One of kineto's, with what is asked of it."""

    device: str
    title: str
    start: int
    end: int
    correlation: int = 0
    linked: int = 0
    annotation: bool = False

    def name(self) -> str:
        return self.title

    def device_type(self) -> Any:
        return SimpleNamespace(name=self.device)

    def start_ns(self) -> int:
        return self.start

    def end_ns(self) -> int:
        return self.end

    def correlation_id(self) -> int:
        return self.correlation

    def linked_correlation_id(self) -> int:
        return self.linked

    def is_user_annotation(self) -> bool:
        return self.annotation


EPOCH = 1_795_000_000_000_000_000

SIMULATED = [
    SimulatedEvent("CPU", "stage: UNet", EPOCH, EPOCH + 900, 1, annotation=True),
    SimulatedEvent("CPU", "aten::mm", EPOCH + 100, EPOCH + 300, 2),
    SimulatedEvent("CPU", "cudaLaunchKernel", EPOCH + 200, EPOCH + 250, 70),
    SimulatedEvent("CUDA", "gemm", EPOCH + 400, EPOCH + 1400, 70, 2),
    SimulatedEvent("CPU", "cudaGraphLaunch", EPOCH + 500, EPOCH + 520, 71),
    SimulatedEvent("CUDA", "graphed one", EPOCH + 1500, EPOCH + 1600, 71),
    SimulatedEvent("CUDA", "graphed two", EPOCH + 1700, EPOCH + 1900, 71),
    SimulatedEvent("CUDA", "stage: UNet", EPOCH + 400, EPOCH + 1900, 1, annotation=True),
    SimulatedEvent("CPU", "stage: VAE decode", EPOCH + 1000, EPOCH + 2000, 3, annotation=True),
    SimulatedEvent("CPU", "aten::conv2d", EPOCH + 1100, EPOCH + 1200, 4),
    SimulatedEvent("CUDA", "conv", EPOCH + 2000, EPOCH + 2500, 72, 4),
    SimulatedEvent("CPU", "cuLaunchKernelEx", EPOCH + 1300, EPOCH + 1310, 73),
    SimulatedEvent("CUDA", "triton", EPOCH + 2400, EPOCH + 2600, 73),
    SimulatedEvent("CPU", "cudaMemcpyAsync", EPOCH + 2100, EPOCH + 2700, 74),
    SimulatedEvent("CUDA", "Memcpy DtoH", EPOCH + 2600, EPOCH + 2700, 74),
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

    with profile(activities=[ProfilerActivity.CPU]) as running, record_function("stage: UNet"):
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
    def profiler(activities: list[Any]) -> Iterator[Any]:
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
