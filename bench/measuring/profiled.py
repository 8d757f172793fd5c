"""One profiled call, apart from the timed rounds: how long the device was busy, and with what."""

import os
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import wraps
from time import perf_counter
from typing import Any

__all__ = ["Part", "Profile", "Range", "Work", "by_stage", "covered", "profile", "read_events"]

Interval = tuple[float, float]

_PREFIX = "stage: "
_LAUNCH = re.compile(r"cu(da)?[A-Z]")
"""Calls of CUDA's runtime and driver, such as cudaLaunchKernel; torch's own names have colons."""


@dataclass(frozen=True)
class Part:
    """A method whose calls are one stage; several parts may share a stage."""

    stage: str
    owner: Any
    method: str


@dataclass(frozen=True)
class Range:
    """One call of a part, on the host's clock: from its start until it returned."""

    stage: str
    start: float
    end: float


@dataclass(frozen=True)
class Work:
    """A kernel, copy or fill on the device, and when the host launched it; None is unknown."""

    start: float
    end: float
    launched: float | None


@dataclass(frozen=True)
class Profile:
    """Where the time of one call went, in seconds."""

    wall: float
    """The call, the device synchronised; profiling makes it slower."""
    busy: float | None
    """How long the device worked; None on the CPU, or where no work was recorded."""
    stages: Mapping[str, float]
    """On a device, how long it worked for each stage; on the CPU, how long its calls took."""
    calls: Mapping[str, int]
    """How often each stage's parts were called."""


def profile(call: Callable[[], Any], parts: Sequence[Part], device: str) -> Profile:
    """Profile one call: by the host's clock on `cpu`, by torch.profiler on `cuda`.

    On CUDA a stage's work is what was launched during the stage, whenever it ran.
    """
    if device != "cuda":
        with _watched(parts, nullcontext) as ranges:
            start = perf_counter()
            call()
            wall = perf_counter() - start
        return Profile(wall, None, _durations(ranges), _count(ranges))
    import torch

    _detach_afterwards(torch.version.cuda)
    from torch.profiler import ProfilerActivity, record_function
    from torch.profiler import profile as profiler

    def mark(stage: str) -> AbstractContextManager[Any]:
        return record_function(_PREFIX + stage)

    torch.cuda.synchronize()
    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    profiling = profiler(activities=activities, acc_events=True)  # else torch 2.11 warns at its end
    with _watched(parts, mark) as ranges, profiling as running:
        start = perf_counter()
        call()
        torch.cuda.synchronize()
        wall = perf_counter() - start
    torch.cuda.synchronize()  # CUPTI detaches at a call of CUDA
    work, marked = read_events(running.profiler.kineto_results.events())
    busy = covered((kernel.start, kernel.end) for kernel in work) if work else None
    return Profile(wall, busy, by_stage(work, marked) if work else {}, _count(ranges))


def covered(intervals: Iterable[Interval]) -> float:
    """Return the length of the union of the intervals."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def by_stage(work: Iterable[Work], ranges: Sequence[Range]) -> dict[str, float]:
    """Return how long the device worked for each stage: work belongs to where it was launched.

    Stages are in the order in which they began; work launched outside of them is left out.
    """
    ordered = sorted(ranges, key=lambda stage: stage.start)
    starts = [stage.start for stage in ordered]
    intervals: dict[str, list[Interval]] = {stage.stage: [] for stage in ordered}
    for kernel in work:
        if kernel.launched is None:
            continue
        index = bisect_right(starts, kernel.launched) - 1
        if index >= 0 and kernel.launched <= ordered[index].end:
            intervals[ordered[index].stage].append((kernel.start, kernel.end))
    return {stage: covered(of_stage) for stage, of_stage in intervals.items()}


def read_events(events: Iterable[Any]) -> tuple[list[Work], list[Range]]:
    """Read the events of torch.profiler: the device's work and the stages' ranges, in seconds.

    CUPTI gives a kernel the correlation id of the call that launched it, and a graph's kernels the
    id of their replay. Where that call was not recorded, torch's own link leads to its operation.
    """
    events = list(events)
    begun = min((event.start_ns() for event in events), default=0)

    def seconds(nanoseconds: int) -> float:
        return (nanoseconds - begun) * 1e-9  # since 1970 a float would be 200 ns off

    on_device, ranges = [], []
    launches: dict[int, float] = {}
    operations: dict[int, float] = {}
    for event in events:
        name, start = event.name(), seconds(event.start_ns())
        if event.device_type().name == "CUDA":
            if not event.is_user_annotation():  # the stage again, on the device's time line
                on_device.append(event)
        elif event.device_type().name == "CPU":
            if name.startswith(_PREFIX):
                ranges.append(Range(name.removeprefix(_PREFIX), start, seconds(event.end_ns())))
            elif _LAUNCH.match(name):
                launches[event.correlation_id()] = start
            else:
                operations[event.correlation_id()] = start
    work = [
        Work(
            seconds(event.start_ns()),
            seconds(event.end_ns()),
            launches.get(
                event.correlation_id(), operations.get(event.linked_correlation_id() or -1)
            ),
        )
        for event in on_device
    ]
    return work, ranges


def _detach_afterwards(cuda: str | None) -> None:
    """Detach CUPTI after the profile: while attached, it slows every launch of later cells.

    torch 2.11 leaves it attached (pytorch/pytorch#144455), later versions do as this does
    (pytorch/kineto#1264); before CUDA 12.6 detaching crashes CUDA graphs (pytorch/pytorch#150957).
    """
    version = tuple(int(part) for part in (cuda or "0.0").split(".")[:2])
    if version >= (12, 6):
        os.environ.setdefault("TEARDOWN_CUPTI", "1")


@contextmanager
def _watched(
    parts: Sequence[Part], mark: Callable[..., AbstractContextManager[Any]]
) -> Iterator[list[Range]]:
    """Replace each part's method, on its object alone, by one that records its calls."""
    ranges: list[Range] = []
    before = [(part, vars(part.owner).get(part.method)) for part in parts]
    for part in parts:
        setattr(part.owner, part.method, _recording(part, mark, ranges))
    try:
        yield ranges
    finally:
        for part, own in before:
            if own is None:
                delattr(part.owner, part.method)
            else:
                setattr(part.owner, part.method, own)


def _recording(
    part: Part, mark: Callable[..., AbstractContextManager[Any]], ranges: list[Range]
) -> Callable[..., Any]:
    method = getattr(part.owner, part.method)

    @wraps(method)
    def recorded(*arguments: Any, **named: Any) -> Any:
        start = perf_counter()
        with mark(part.stage):
            result = method(*arguments, **named)
        ranges.append(Range(part.stage, start, perf_counter()))
        return result

    return recorded


def _durations(ranges: Iterable[Range]) -> dict[str, float]:
    seconds: dict[str, float] = {}
    for call in ranges:
        seconds[call.stage] = seconds.get(call.stage, 0.0) + call.end - call.start
    return seconds


def _count(ranges: Iterable[Range]) -> dict[str, int]:
    return dict(Counter(call.stage for call in ranges))
