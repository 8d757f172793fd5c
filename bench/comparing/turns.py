"""A pytest plugin that measures only while it has the turn: one side of an A/B pair.

`bench.comparing.pair` gives this file to the pytest of both sides, so that they are timed alike,
whatever harness their trees have. It imports nothing of this project.
"""

import ctypes
import json
import os
import sys
import threading
from time import perf_counter, process_time, thread_time
from typing import Any

import pytest

__all__ = ["CHANNEL", "SLICE_S", "Channel", "Stopwatch", "Turns", "delay", "undisturbed"]

CHANNEL = "SD_FLUX_BENCH_TURNS"
"""Variable with two file descriptors: one to read turns from, one to write samples to."""

SLICE_S = 0.01
"""Seconds of a turn, which has at least one sample. Other work on a machine changes more slowly
than four turns, so that it meets both sides; caches are warm again after the first of many short
calls."""

ALONE = 0.05
"""Other threads' work, relative to a turn's time, below which a cell is work of one thread."""


class Turns:
    """The hooks: send what was collected, wrap the clock of each cell, send its samples."""

    def __init__(self, channel: "Channel") -> None:
        """Take the channel to the process that gives the turns."""
        self._channel = channel
        self._stopwatches: dict[str, Stopwatch] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put a stopwatch around the clock that the harness gave to each cell.

        Tests of pytest-benchmark's own fixture have no such clock, and are left out.
        """
        for item in items:
            marker = item.get_closest_marker("benchmark")
            if _axes(item) is None or marker is None or "timer" not in marker.kwargs:
                continue
            watch = Stopwatch(marker.kwargs["timer"], item.nodeid, self._channel)
            self._stopwatches[item.nodeid] = watch
            item.add_marker(
                pytest.mark.benchmark(**{**marker.kwargs, "timer": watch}), append=False
            )
        items[:] = [
            item
            for item in items
            if item.nodeid in self._stopwatches
            or "benchmark" not in getattr(item, "fixturenames", ())
        ]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Send which cells there are, and where the code comes from."""
        files = [getattr(sys.modules.get(name), "__file__", None) for name in ("bench", "pipeline")]
        cells = {
            item.nodeid: _axes(item) for item in session.items if item.nodeid in self._stopwatches
        }
        self._channel.send({"cells": cells, "files": [file for file in files if file]})

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        """Send the last turn of a cell."""
        if item.nodeid in self._stopwatches:
            self._stopwatches[item.nodeid].flush()

    def pytest_unconfigure(self) -> None:
        """Close the channel: no cell is left."""
        self._channel.close()


class Channel:
    """One JSON value a line, from and to the process that gives the turns."""

    def __init__(self, receive: int, send: int) -> None:
        """Open both file descriptors."""
        self._receive = os.fdopen(receive, encoding="utf-8")
        self._send = os.fdopen(send, "w", encoding="utf-8")

    def send(self, message: Any) -> None:
        """Write one line at once."""
        self._send.write(json.dumps(message) + "\n")
        self._send.flush()

    def wait(self) -> int | None:
        """Wait for the turn; return the CPU to take it on, None for any.

        Ends pytest where the other end is closed: nobody reads the samples any more.
        """
        line = self._receive.readline()
        if not line:
            pytest.exit("nobody gives the turns any more", returncode=2)
        cpu = json.loads(line)
        return None if cpu is None else int(cpu)

    def close(self) -> None:
        """Close both ends."""
        self._receive.close()
        self._send.close()


class Stopwatch:
    """The clock of a cell, which pytest-benchmark reads before and after each sample.

    It waits for its turn before the first sample, and whenever a turn is over. It reads as the
    wrapped clock does, and sends the samples without the time that the thread waited for a CPU.
    """

    def __init__(self, clock: Any, node: str, channel: Channel) -> None:
        """Take the clock of the harness and the id of the cell."""
        self._clock = clock
        self._node = node
        self._channel = channel
        self._samples: list[float] = []
        self._began: float | None = None
        self._start: tuple[float, float, float] | None = None
        self._others = 0.0

    def __call__(self) -> float:
        """Return the clock's reading."""
        if self._start is None:
            if self._began is None or perf_counter() - self._began >= SLICE_S:
                self.flush()
                self._channel.send({"at": self._node})
                _pin(self._channel.wait())
                self._began, self._others = perf_counter(), _of_other_threads()
            waited, wall = delay(), perf_counter()
            self._start = (float(self._clock()), wall, waited)
            return self._start[0]
        reading = float(self._clock())
        start, wall, waited = self._start
        elapsed = perf_counter() - wall
        self._samples.append(undisturbed(reading - start, elapsed, delay() - waited))
        self._start = None
        return reading

    def __getattr__(self, name: str) -> Any:
        """Offer what else the clock of the harness has."""
        return getattr(self._clock, name)

    def __repr__(self) -> str:
        """Return the clock's name in result files."""
        return repr(self._clock)

    def flush(self) -> None:
        """Send the samples of this turn, and their CPU if one thread did the work."""
        if self._samples and self._began is not None:
            elapsed = perf_counter() - self._began
            alone = _of_other_threads() - self._others < ALONE * elapsed
            cpu = _cpu() if alone else None
            self._channel.send({"at": self._node, "turn": self._samples, "cpu": cpu})
            self._samples = []
            _pin(None)


def undisturbed(sample: float, elapsed: float, waited: float) -> float:
    """Return a sample without the share of its time that the thread waited for a CPU.

    A sample that another clock took inside the call (Julia's) loses the same share.
    """
    share = waited / elapsed if elapsed > 0 and sample >= elapsed / 2 else 0.0
    return sample * (1 - share) if 0 < share < 1 else sample


def delay() -> float:
    """Return the seconds that this thread has been ready to run and waited for a CPU.

    Linux counts them in the second field of `schedstat` (Documentation/scheduler/sched-stats);
    elsewhere 0. Waiting for a device, a disk or another thread does not count.
    """
    file = _file()
    return int(os.pread(file, 64, 0).split()[1]) * 1e-9 if file is not None else 0.0


def _cpu() -> int | None:
    """Return the CPU that this thread runs on, where it can be chosen (Linux)."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    return int(ctypes.CDLL(None).sched_getcpu())


_ALLOWED = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else frozenset[int]()


def _pin(cpu: int | None) -> None:
    """Keep this thread, and those that it starts, on one CPU; with None on any CPU again."""
    if _ALLOWED:
        os.sched_setaffinity(0, _ALLOWED if cpu is None else {cpu})


def _of_other_threads() -> float:
    """Return the CPU seconds of this process's other threads."""
    return process_time() - thread_time()


_local = threading.local()


def _file() -> int | None:
    if not hasattr(_local, "file"):
        try:
            _local.file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        except OSError:  # no Linux, or a kernel without it
            _local.file = None
    file: int | None = _local.file
    return file


def _axes(item: pytest.Item) -> dict[str, Any] | None:
    """Return the axes of a test's cell; of a plain test that measures, its name."""
    callspec = getattr(item, "callspec", None)
    axes = getattr(callspec.params.get("cell"), "axes", None) if callspec is not None else None
    if axes is None and "measure" in getattr(item, "fixturenames", ()):
        return {"test": item.nodeid}
    return dict(axes) if axes is not None else None


def pytest_configure(config: pytest.Config) -> None:
    """Register the hooks where another process gives turns."""
    if CHANNEL in os.environ:
        receive, send = map(int, os.environ[CHANNEL].split(","))
        config.pluginmanager.register(Turns(Channel(receive, send)))
