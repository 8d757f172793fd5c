"""Streaming: many pictures become batches in order, by threads; a bad one stops nothing."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from pipeline.errors import PipelineError, with_article
from pipeline.preprocessing.decoders import Team
from pipeline.preprocessing.opening import name_of
from pipeline.preprocessing.preprocess import (
    Picture,
    Settings,
    empty,
    fill,
    is_picture,
    load,
    whole,
)

if TYPE_CHECKING:
    import torch

__all__ = ["Batch", "default_workers", "stream"]

Batch: TypeAlias = "tuple[list[Picture], torch.Tensor, list[tuple[Picture, PipelineError]]]"
"""The pictures that were read, their batch, and those that were not, each with its error."""

AHEAD = 1
"""Batches filled while the caller works on one: two batches are in memory."""


def stream(
    paths: Iterable[Picture],
    batch: int = 32,
    workers: int | None = None,
    settings: Settings | None = None,
) -> Iterator[Batch]:
    """Yield `(paths, batch, errors)` for every `batch` of `paths`, in order, as they are consumed.

    Row i of a batch `(N, C, size, size)`, as `preprocess` makes it, is picture i of its paths.
    `errors` holds each picture that could not be read, with its `PipelineError`; it has no row, so
    N may be smaller than `batch`, or 0. `workers` threads (default: one a core) decode and resize
    in parallel, PNG files with a process beside each (`decoders`). They end with the iteration,
    when the iterator is closed, and on Ctrl-C, after the picture at hand.
    Raises `PipelineError` if either is below 1.
    """
    workers = default_workers() if workers is None else workers
    batch = whole(batch, "batch", "at least 1", "change batch")
    workers = whole(workers, "workers", "at least 1", "change workers")
    settings = Settings() if settings is None else settings
    if not isinstance(settings, Settings):
        given = f"settings in {with_article(type(settings).__name__)}"
        raise PipelineError(given, "Settings", "pass Settings(size=…)")
    if not isinstance(paths, Iterable) or is_picture(paths):
        raise PipelineError(f"{name_of(paths)}, alone", "a list of images", "put it in a list")
    return _batches(iter(paths), batch, workers, settings)


def default_workers() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1


def _batches(
    paths: Iterator[Picture], count: int, workers: int, settings: Settings
) -> Iterator[Batch]:
    load(usual=True)
    started: deque[_Filling] = deque()
    team = Team(workers)
    pool = ThreadPoolExecutor(workers, "preprocess", team.join)
    try:
        while pictures := list(islice(paths, count)):
            started.append(_Filling(pool, pictures, settings))
            if len(started) > AHEAD:
                yield started.popleft().result()
        while started:
            yield started.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        team.disband()


class _Filling:
    """A batch that threads are filling."""

    def __init__(
        self, pool: ThreadPoolExecutor, pictures: list[Picture], settings: Settings
    ) -> None:
        self._pictures = pictures
        self._batch = empty(len(pictures), settings)
        self._jobs = [
            pool.submit(_fill, slot, picture, settings)
            for slot, picture in zip(self._batch, pictures, strict=True)
        ]

    def result(self) -> Batch:
        """Wait for the threads, and leave out the rows of pictures that could not be read."""
        outcomes = [job.result() for job in self._jobs]
        rows = [row for row, error in enumerate(outcomes) if error is None]
        batch = self._batch if len(rows) == len(outcomes) else self._batch[rows]
        errors = [
            (picture, error)
            for picture, error in zip(self._pictures, outcomes, strict=True)
            if error is not None
        ]
        return [self._pictures[row] for row in rows], batch, errors


def _fill(slot: "torch.Tensor", picture: Picture, settings: Settings) -> PipelineError | None:
    """Fill one slot; return the error of a picture that cannot be read."""
    try:
        fill(slot, picture, settings)
    except PipelineError as error:
        return error.with_traceback(None)
    return None
