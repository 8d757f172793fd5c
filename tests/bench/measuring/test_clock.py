"""The wall clock: what it replays, what it groups, and what it waits for."""

import sys
from contextlib import suppress
from types import FrameType, SimpleNamespace

import pytest

from bench.measuring.clock import GROUPED_BELOW_S, Clock, grouping, synchronised, untraced


@pytest.mark.parametrize(
    ("seconds", "calls"),
    [(1.0, 1), (200e-6, 1), (199e-6, 1), (100e-6, 2), (10e-6, 20), (0.3e-6, 667), (0.0, 200_000)],
)
def test_calls_under_200_microseconds_are_grouped_on_the_cpu(seconds: float, calls: int) -> None:
    assert grouping(seconds, "cpu") == calls


@pytest.mark.parametrize("microseconds", range(1, 200, 13))
def test_a_group_on_the_cpu_lasts_about_200_microseconds(microseconds: int) -> None:
    seconds = microseconds * 1e-6
    assert 0.5 < grouping(seconds, "cpu") * seconds / GROUPED_BELOW_S < 1.5
    assert grouping(seconds, "cuda") == 1  # grouped, they would overlap


@pytest.mark.parametrize("seconds", [0.1, 1 / 3, 123.456, 1e-9])
def test_a_replayed_sample_is_exact_and_the_clock_then_real_again(seconds: float) -> None:
    clock = Clock()
    before = clock()
    clock.replay(seconds)
    start = clock()
    assert clock() - start == seconds
    assert clock() >= before


def test_timed_returns_the_seconds_and_what_the_call_returned() -> None:
    begun = Clock()()
    seconds, result = Clock().timed(lambda: "an image")
    assert result == "an image"
    assert 0 <= seconds <= Clock()() - begun


def test_a_device_call_ends_with_the_synchronisation(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    torch = SimpleNamespace(cuda=SimpleNamespace(synchronize=lambda: done.append("waited")))
    monkeypatch.setitem(sys.modules, "torch", torch)

    def call() -> str:
        done.append("called")
        return "an image"

    assert synchronised(call, "cpu") is call
    waited = synchronised(call, "cuda")
    assert done == ["waited"]  # no work is pending before the first call
    assert waited() == "an image"
    assert waited() == "an image"
    assert done == ["waited", "called", "waited", "called", "waited"]


def test_counting_publishes_what_another_clock_has_read() -> None:
    counting = Clock()
    assert str(counting) == "wall clock, device synchronised"
    counting.count(0.0)

    def call() -> str:
        counting.count(0.25)
        return "scores"

    assert counting.timed(call) == (0.25, "scores")
    assert counting.timed(call) == (0.25, "scores")
    assert str(counting) == "Julia's own clock"


def test_a_tracer_is_suspended_and_is_there_again_also_after_an_error() -> None:
    calls: list[str] = []

    def tracer(frame: FrameType, event: str, argument: object) -> None:
        calls.append(event)

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        with suppress(ValueError), untraced():
            count = len(calls)
            (lambda: None)()
            assert len(calls) == count
            raise ValueError
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)
