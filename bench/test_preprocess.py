"""Preprocessing: pictures to tensors of 224×224, by regime, and what else does the same."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench import grid, options
from bench.measuring.measure import Measure
from bench.results import fingerprint, thumbnail
from bench.results.cell import Cell
from bench.workloads import exactness, peers, pictures
from pipeline import contracts
from pipeline.contracts import Violation
from pipeline.errors import ContractError
from pipeline.preprocessing import decoding, streaming
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.preprocessing.preprocess import SIZE, Settings


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test a cell."""
    cells = grid.preprocess(options.axes(metafunc.config))
    metafunc.parametrize("cell", cells, ids=lambda cell: cell.id)


def test_preprocess(measure: Measure, cell: Cell, axes: grid.Options) -> None:
    """Time what the regime names, on the same pictures on every machine."""
    preprocessing.load()
    paths = _paths(cell, axes)
    weights = pictures.fingerprint(paths) if axes[grid.IMAGES] else ""
    regime, gray = cell.axes["regime"], cell.axes["color"] == "gray"
    if regime == "decode":
        sizes = [decoding.decode(path).size for path in paths]
        measure(
            lambda: [decoding.decode(path) for path in paths],
            check=lambda images: [
                each
                for image, size in zip(images, sizes, strict=True)
                for each in contracts.check_images([image], 1, size)
            ],
            fingerprint=lambda images: fingerprint.of_image(images[0]),
            weights=weights,
            thumbnail=lambda images: thumbnail.of_image(images[0], source=paths[0].name),
        )
        return
    images = [decoding.decode(path) for path in paths]
    streamed = [number % len(paths) for number in range(grid.STREAMED)]
    expected = exactness.reference(images, SIZE, gray)
    if regime == "stream":
        expected = expected[streamed]
    by_nvjpeg = cell.device == "cuda" and regime == "file" and cell.axes.get("format") != "png"
    tolerance = exactness.CUDA_JPEG if by_nvjpeg else exactness.TOLERANCE
    device = cell.device
    calls: dict[Any, Callable[[], Any]] = {
        "transform": lambda: preprocessing.preprocess(images, SIZE, gray, device=device),
        "file": _each(
            lambda path: preprocessing.preprocess([path], SIZE, gray, device=device), paths
        ),
        "stream": lambda: _streamed([paths[number] for number in streamed], cell),
    }
    call, name = calls[regime], str(cell.axes.get("peer", "batch"))
    if "peer" in cell.axes:
        peer = peers.load(name, SIZE)
        call = _each(peer.transform, images) if regime == "transform" else _each(peer.file, paths)

    def check(batch: Any) -> list[Violation]:
        found = contracts.check_batch(batch, tuple(expected.shape))
        return found or exactness.check(batch, expected, tolerance, name)

    try:
        measure(
            call,
            check=check,
            weights=weights,
            fingerprint=fingerprint.of_batch,
            thumbnail=lambda batch: thumbnail.of_batch(batch, source=paths[0].name),
        )
    except ContractError as error:
        if "peer" not in cell.axes:
            raise
        pytest.skip(str(error))  # a peer's fault is a row, and no fault of this run


def _paths(cell: Cell, axes: grid.Options) -> list[Path]:
    if axes[grid.IMAGES]:
        return pictures.folder(axes[grid.IMAGES])
    size = cell.size
    named = cell.axes.get("format")
    of_size = {format_: path for (format_, each), path in pictures.FILES.items() if each == size}
    return [of_size[str(named)] if named else next(iter(of_size.values()))]


def _each(work: Callable[[Any], Any], given: Sequence[Any]) -> Callable[[], Any]:
    """Return a call that does one picture after another, into one batch."""
    import torch

    if len(given) == 1:
        return lambda: work(given[0])
    return lambda: torch.cat([work(each) for each in given])


def _streamed(paths: Sequence[Path], cell: Cell) -> Any:
    batches = streaming.stream(paths, len(paths), int(cell.axes["threads"]), Settings(SIZE))
    [(_, batch, errors)] = batches
    for _, error in errors:
        raise error
    return batch
