"""Local: the stages in this process, each in threads of its own, a bounded number of batches ahead.

The last stage runs in the caller's thread: Julia may be called only from the one that started it.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.bulk.settings import Settings
from pipeline.bulk.stages import (
    FORWARD,
    GENERATE,
    PREPROCESS,
    Forward,
    Generate,
    Preprocess,
    traced,
)
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.preprocessing.decoders import Team

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["run"]

AHEAD = 1
"""Batches that wait before each thread: enough that none waits for the one before it."""

Stage = Callable[["pa.Table"], "pa.Table"]


def run(
    items: "pa.Table", batch: int, settings: Settings, out: Path, workers: Mapping[str, int]
) -> Iterator["pa.Table"]:
    """Yield what `Forward` returns for every `batch` of items, in order, as they are consumed.

    `workers` are threads by stage. When the iterator is closed, or Ctrl-C is pressed, threads end
    after the picture, or the step, at hand.
    """
    stop = threading.Event()
    forward = Forward(settings, out)  # Julia before torch
    stages: list[tuple[str, Stage]] = []
    if settings.draws:
        stages.append((GENERATE, Generate(settings, out, stop.is_set)))
    preprocessing.load(usual=True)
    stages.append((PREPROCESS, Preprocess(settings, out, stop.is_set)))
    threads = sum(workers[name] for name, _ in stages)
    started: deque[Future[pa.Table]] = deque()
    with ExitStack() as stack:
        team = Team(workers[PREPROCESS])
        stack.callback(team.disband)
        pools = []
        for name, stage in stages:
            join = team.join if name == PREPROCESS else None
            pool = ThreadPoolExecutor(workers[name], name, join)
            stack.callback(pool.shutdown, cancel_futures=True)
            pools.append((name, stage, pool))
        stack.callback(stop.set)  # before the threads are waited for
        for first in range(0, len(items), batch):
            started.append(_chain(pools, items.slice(first, batch)))
            if len(started) > threads + AHEAD * len(stages):
                yield traced(FORWARD, forward, started.popleft().result())
        while started:
            yield traced(FORWARD, forward, started.popleft().result())


def _chain(
    pools: "list[tuple[str, Stage, ThreadPoolExecutor]]", table: "pa.Table"
) -> "Future[pa.Table]":
    """Hand a batch to each stage in turn; a thread of a stage waits for the stage before it."""
    future: Future[pa.Table] = Future()
    future.set_result(table)
    for name, stage, pool in pools:
        future = pool.submit(
            lambda name, stage, ready: traced(name, stage, ready.result()), name, stage, future
        )
    return future
