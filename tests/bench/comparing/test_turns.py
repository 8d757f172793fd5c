"""The stopwatch of one side: when it waits for its turn, and what it keeps."""

import ast
import os
from pathlib import Path
from typing import Any

import pytest

from bench.comparing import turns
from bench.comparing.turns import Channel, Stopwatch, delay, undisturbed
from bench.measuring.clock import Clock


class Line:
    """A channel that gives every turn at once, and keeps what is said."""

    def __init__(self, cpu: int | None = None) -> None:
        self.said: list[Any] = []
        self._cpu = cpu

    def send(self, message: Any) -> None:
        self.said.append(message)

    def wait(self) -> int | None:
        self.said.append("turn")
        return self._cpu


def watch(line: Line, clock: Any = None) -> Stopwatch:
    return Stopwatch(clock or Clock(), "cell", line)


def test_it_waits_before_the_first_sample_and_not_during_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "SLICE_S", 60.0)
    line = Line()
    stopwatch = watch(line)
    stopwatch()
    assert line.said == [{"at": "cell"}, "turn"]
    stopwatch()
    stopwatch()
    stopwatch()
    assert line.said == [{"at": "cell"}, "turn"]


def test_a_turn_that_is_over_is_sent_before_the_next_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = Line()
    stopwatch = watch(line)
    stopwatch()
    stopwatch()
    monkeypatch.setattr(turns, "SLICE_S", 0.0)
    stopwatch()
    (sample,) = line.said[2]["turn"]
    assert line.said[2] | {"cpu": None} == {"at": "cell", "turn": [sample], "cpu": None}
    assert line.said[3:] == [{"at": "cell"}, "turn"]


def test_it_reads_what_the_clock_of_the_harness_does() -> None:
    readings = iter([5.0, 7.5])
    assert watch(Line(), lambda: next(readings))() == 5.0
    clock = Clock()
    stopwatch = watch(Line(), clock)
    assert repr(stopwatch) == repr(clock)
    stopwatch.replay(3.0)
    assert (stopwatch(), stopwatch()) == (0.0, 3.0)


def test_a_sample_that_was_replayed_is_kept_whole() -> None:
    line = Line()
    stopwatch = watch(line)
    stopwatch.replay(3.0)
    stopwatch()
    stopwatch()
    stopwatch.flush()
    assert line.said[-1] | {"cpu": None} == {"at": "cell", "turn": [3.0], "cpu": None}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no thread")
def test_a_turn_is_taken_on_the_cpu_that_is_named_and_that_ends_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "_of_other_threads", lambda: 0.0)  # xdist's work too
    allowed = os.sched_getaffinity(0)
    line = Line(cpu=max(allowed))
    stopwatch = watch(line)
    stopwatch()
    assert os.sched_getaffinity(0) == {max(allowed)}
    stopwatch()
    stopwatch.flush()
    assert os.sched_getaffinity(0) == allowed
    assert line.said[-1]["cpu"] == max(allowed)


def test_work_of_other_threads_names_no_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = iter([0.0, 1.0])
    monkeypatch.setattr(turns, "_of_other_threads", lambda: next(spent))
    line = Line()
    stopwatch = watch(line)
    stopwatch()
    stopwatch()
    stopwatch.flush()
    assert line.said[-1]["cpu"] is None


def test_a_pilot_is_no_sample() -> None:
    line = Line()
    watch(line).timed(lambda: None)
    assert line.said == []


@pytest.mark.parametrize(
    ("sample", "elapsed", "waited", "left"),
    [
        (1.0, 1.0, 0.25, 0.75),
        (0.8, 1.0, 0.25, 0.6),  # Julia's clock, inside the call
        (1.0, 1.0, 0.0, 1.0),
        (3.0, 1e-6, 0.0, 3.0),  # made before
        (1e-9, 1.0, 0.5, 1e-9),  # another clock altogether
        (1.0, 1.0, 1.5, 1.0),  # no such thing
        (1.0, 0.0, 0.0, 1.0),
    ],
)
def test_the_share_of_a_sample_that_waited_for_a_cpu_is_left_out(
    sample: float, elapsed: float, waited: float, left: float
) -> None:
    assert undisturbed(sample, elapsed, waited) == pytest.approx(left)


def test_what_a_call_waits_for_itself_stays() -> None:
    import time

    line = Line()
    stopwatch = watch(line)
    stopwatch()
    time.sleep(0.05)
    stopwatch()
    stopwatch.flush()
    (sample,) = line.said[-1]["turn"]
    assert sample > 0.04


def test_the_delay_of_a_thread_never_shrinks() -> None:
    readings = [delay() for _ in range(100)]
    assert readings == sorted(readings)
    assert readings[0] >= 0


def test_without_the_kernels_count_nothing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_file", lambda: None)
    assert delay() == 0.0


def test_a_channel_without_another_end_ends_pytest() -> None:
    receive, other = os.pipe()
    unread, send = os.pipe()
    channel = Channel(receive, send)
    os.close(other)
    with pytest.raises(pytest.exit.Exception, match="nobody gives the turns any more"):
        channel.wait()
    channel.close()
    os.close(unread)


def test_the_plugin_imports_nothing_of_this_project() -> None:
    tree = ast.parse(Path(turns.__file__).read_text(encoding="utf-8"))
    names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names += [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    ]
    assert not [name for name in names if name.partition(".")[0] in ("bench", "pipeline")]
