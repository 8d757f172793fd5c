"""Streaming: many pictures become batches in order, by threads, and a bad one stops nothing."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from pipeline.errors import PipelineError
from pipeline.preprocessing.preprocess import Picture, Settings, empty, fill, load

if TYPE_CHECKING:
    import torch

__all__ = ["Batch", "default_workers", "stream"]

Batch: TypeAlias = "tuple[list[Picture], torch.Tensor, list[tuple[Picture, PipelineError]]]"
"""The pictures that were read, their batch, and those that were not, each with its error."""

AHEAD = 1
"""Batches that are filled while the caller works on one: the memory is that of these two."""


def stream(
    paths: Iterable[Picture],
    batch: int = 32,
    workers: int | None = None,
    settings: Settings | None = None,
) -> Iterator[Batch]:
    """Yield `(paths, batch, errors)` for every `batch` of `paths`, in order, as they are consumed.

    Row i of a batch `(N, C, size, size)`, as `preprocess` makes it, is picture i of its paths.
    `errors` holds each picture that could not be read, with its `PipelineError`: such a picture
    has no row, so N is smaller where there are some, and 0 where nothing could be read. `workers`
    threads, one for each core if not given, decode and resize at the same time: neither holds
    Python's lock. They end when the iteration does, when the iterator is closed, and on Ctrl-C,
    each after the picture that it is at. Raises `PipelineError` for fewer than one of either.
    """
    workers = default_workers() if workers is None else workers
    for name, value in (("batch", batch), ("workers", workers)):
        if value < 1:
            raise PipelineError(f"{name} {value}", "at least 1", f"change {name}")
    return _batches(iter(paths), batch, workers, settings or Settings())


def default_workers() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1


def _batches(
    paths: Iterator[Picture], count: int, workers: int, settings: Settings
) -> Iterator[Batch]:
    load()
    begun: deque[_Begun] = deque()
    pool = ThreadPoolExecutor(workers, "preprocess")
    try:
        while pictures := list(islice(paths, count)):
            begun.append(_Begun(pool, pictures, settings))
            if len(begun) > AHEAD:
                yield begun.popleft().ended()
        while begun:
            yield begun.popleft().ended()
    finally:
        pool.shutdown(cancel_futures=True)


class _Begun:
    """A batch that threads are filling."""

    def __init__(
        self, pool: ThreadPoolExecutor, pictures: list[Picture], settings: Settings
    ) -> None:
        self._pictures = pictures
        self._batch = empty(len(pictures), settings)
        self._jobs: list[Future[PipelineError | None]] = [
            pool.submit(_filled, slot, picture, settings)
            for slot, picture in zip(self._batch, pictures, strict=True)
        ]

    def ended(self) -> Batch:
        """Wait for the threads, and leave out the rows that stayed empty."""
        answers = [job.result() for job in self._jobs]
        errors = [
            (picture, error)
            for picture, error in zip(self._pictures, answers, strict=True)
            if error is not None
        ]
        if not errors:
            return self._pictures, self._batch, []
        rows = [row for row, error in enumerate(answers) if error is None]
        return [self._pictures[row] for row in rows], self._batch[rows], errors


def _filled(slot: "torch.Tensor", picture: Picture, settings: Settings) -> PipelineError | None:
    """Fill one slot; return what is wrong with its picture."""
    try:
        fill(slot, picture, settings)
    except PipelineError as error:
        return error.with_traceback(None)
    return None
