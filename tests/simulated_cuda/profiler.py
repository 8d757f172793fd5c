"""A stand-in for torch.profiler: events as CUPTI gives them, of what the simulation ran."""

import time
from types import SimpleNamespace
from typing import Any

import torch.profiler

from simulated_cuda.tensors import DEVICE

OPERATION_IDS, RANGE_IDS = 10**6, 10**7
LAUNCH_NS, KERNEL_NS = 5_000, 10_000


class Event:
    def __init__(
        self,
        name: str,
        start: int,
        end: int,
        device: str,
        ids: tuple[int, int] = (0, 0),
        *,
        annotation: bool = False,
    ) -> None:
        self.name = lambda: name
        self.start_ns = lambda: start
        self.end_ns = lambda: end
        self.device_type = lambda: SimpleNamespace(name=device)
        self.correlation_id = lambda: ids[0]
        self.linked_correlation_id = lambda: ids[1]
        self.is_user_annotation = lambda: annotation


class Profile:
    """`torch.profiler.profile`; the device runs each operation for 10 µs, one after another."""

    ranges: "list[tuple[str, int, int]] | None" = None
    profiler: Any

    def __init__(self, activities: Any = None, **_: Any) -> None:
        assert len(set(activities)) == 2

    def __enter__(self) -> "Profile":
        DEVICE.trace, Profile.ranges = [], []
        return self

    def __exit__(self, *_: Any) -> None:
        events, free = [], 0
        for number, (name, start, end) in enumerate(DEVICE.trace or ()):
            events.append(Event(name, start, end, "CPU", (OPERATION_IDS + number, 0)))
            events.append(Event("cudaLaunchKernel", start, start + 4_000, "CPU", (number, 0)))
            begun = max(free, start + LAUNCH_NS)
            free = begun + KERNEL_NS
            events.append(Event("kernel", begun, free, "CUDA", (number, OPERATION_IDS + number)))
        for name, start, end in Profile.ranges or ():
            events.append(Event(name, start, end, "CPU", (RANGE_IDS, 0)))
            events.append(Event(name, start, end, "CUDA", (RANGE_IDS, 0), annotation=True))
        DEVICE.trace = Profile.ranges = None
        results = SimpleNamespace(events=lambda: events)
        self.profiler = SimpleNamespace(kineto_results=results)


class Range:
    """`torch.profiler.record_function`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> "Range":
        self._start = time.perf_counter_ns()
        return self

    def __exit__(self, *_: Any) -> None:
        if Profile.ranges is not None:
            Profile.ranges.append((self._name, self._start, time.perf_counter_ns()))


def install() -> None:
    torch.profiler.profile = Profile  # type: ignore[assignment, misc]
    torch.profiler.record_function = Range  # type: ignore[assignment, misc]
