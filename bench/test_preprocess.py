"""Preprocessing: pictures to tensors of 224×224, by regime, beside other libraries."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench import grid, options
from bench.measuring.measure import Measure
from bench.results import fingerprint, thumbnail
from bench.results.cell import MEAN_OFF_EXACT, NOT_COMPARABLE, OFF_EXACT, Cell
from bench.workloads import exactness, own, peers, pictures
from pipeline import contracts
from pipeline.contracts import SIZE, Violation
from pipeline.errors import ContractError
from pipeline.preprocessing import decoding, fast
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.preprocessing.decoding import decode
from pipeline.preprocessing.preprocess import Settings, preprocess
from pipeline.preprocessing.streaming import stream

if TYPE_CHECKING:
    import torch


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test a cell."""
    cells = grid.preprocess(options.axes(metafunc.config))
    metafunc.parametrize("cell", cells, ids=lambda cell: cell.id)


def test_preprocess(measure: Measure, cell: Cell, axes: grid.Options) -> None:
    """Time what the cell's regime names, on the same pictures on every machine."""
    (decoding if cell.axes["regime"] == "decode" else preprocessing).load()
    if cell.axes["regime"] != "transform" and not {"peer", "call"} & cell.axes.keys():
        regime = {**cell.regime, "decoder": _decoder(cell)}
        measure.row = replace(measure.row, cell=replace(cell, regime=regime))
    paths = _paths(cell, axes)
    regimes = {"decode": _decode, "transform": _transform, "file": _file, "stream": _stream,
               "scaled": _file}  # fmt: skip
    call = regimes[str(cell.axes["regime"])](cell, paths)
    weights = pictures.fingerprint(paths) if axes[grid.IMAGES] else ""
    name = paths[0].name
    if cell.axes["regime"] == "decode":
        size = None if axes[grid.IMAGES] else cell.size
        measure(
            call,
            check=lambda images: contracts.check_images(images, len(paths), size),
            weights=weights,
            fingerprint=lambda images: fingerprint.of_image(images[0]),
            thumbnail=lambda images: thumbnail.of_image(images[0], source=name),
        )
        return
    expected = _expected(cell, paths)
    if "call" in cell.axes:
        typed = grid.calls(grid.PREPROCESS_CALL, axes)[str(cell.axes["call"])]
        call = _one_by_one(_own(typed), paths)

    def off_exact() -> dict[str, float]:
        largest, mean = exactness.difference(call(), expected)
        return {OFF_EXACT: largest, MEAN_OFF_EXACT: mean}

    try:
        measure(
            call,
            check=_check(cell, expected),
            weights=weights,
            fingerprint=fingerprint.of_batch,
            thumbnail=lambda batch: thumbnail.of_batch(batch, source=name),
            extra=off_exact if cell.axes["regime"] == "scaled" or "call" in cell.axes else None,
        )
    except ContractError:
        if "peer" not in cell.axes:
            raise
        largest, mean = exactness.TOLERANCE
        reason = (
            f"{cell.axes['peer']}: its pixels differ from Pillow's antialiased bilinear resize "
            f"by more than {largest:g}/255, or {mean:g}/255 in the mean"
        )
        remedy = "no number is given for other pixels"
        measure.row = replace(measure.row, status=NOT_COMPARABLE, reason=reason, remedy=remedy)
        pytest.skip(reason)  # it is a row, and not a failure of this run


def _decoder(cell: Cell) -> str:
    """Return the libraries that decode the files of a cell, with their versions."""
    formats = [str(cell.axes["format"])] if "format" in cell.axes else ["png", "jpeg"]
    return ", ".join(map(fast.decoder, formats))


def _decode(cell: Cell, paths: list[Path]) -> Callable[[], Any]:
    """From files to RGB images in memory."""
    return lambda: [decode(path) for path in paths]


def _transform(cell: Cell, paths: list[Path]) -> Callable[[], Any]:
    """From RGB images in memory to a batch."""
    images = [decode(path) for path in paths]
    if "peer" in cell.axes:
        return _one_by_one(peers.load(str(cell.axes["peer"]), SIZE).transform, images)
    return lambda: preprocess(images, SIZE, _is_gray(cell), device=cell.device)


def _file(cell: Cell, paths: list[Path]) -> Callable[[], Any]:
    """From files to a batch, one by one."""
    if "peer" in cell.axes:
        return _one_by_one(peers.load(str(cell.axes["peer"]), SIZE).file, paths)
    gray, scaled = _is_gray(cell), cell.axes["regime"] == "scaled"
    return _one_by_one(
        lambda path: preprocess([path], SIZE, gray, device=cell.device, scaled=scaled), paths
    )


def _stream(cell: Cell, paths: list[Path]) -> Callable[[], Any]:
    """From files to a batch, by the cell's number of threads."""
    streamed = list(islice(cycle(paths), grid.STREAMED))
    threads, settings = int(cell.axes["threads"]), Settings(SIZE, _is_gray(cell))

    def call() -> Any:
        [(_, batch, errors)] = stream(streamed, len(streamed), threads, settings)
        for _, error in errors:
            raise error
        return batch

    return call


def _expected(cell: Cell, paths: list[Path]) -> "torch.Tensor":
    """Return the reference of a cell's batch: the pixels by Pillow alone."""
    images = [exactness.decoded(path) for path in paths]
    expected = exactness.reference(images, SIZE, _is_gray(cell))
    streamed = cell.axes["regime"] == "stream"
    return expected.repeat(grid.STREAMED, 1, 1, 1)[: grid.STREAMED] if streamed else expected


def _check(cell: Cell, expected: "torch.Tensor") -> Callable[[Any], list[Violation]]:
    """Return a check of a batch against its contract and the reference."""
    name = str(cell.axes.get("peer", "batch"))
    ours_from_file = cell.axes["regime"] == "file" and name == "batch"
    by_nvjpeg = ours_from_file and cell.device == "cuda" and cell.axes.get("format") != "png"
    tolerance = exactness.CUDA_JPEG if by_nvjpeg else exactness.TOLERANCE
    tolerance = exactness.SCALED if cell.axes["regime"] == "scaled" else tolerance

    def check(batch: Any) -> list[Violation]:
        faults = contracts.check_batch(batch, tuple(expected.shape))
        own_call = "call" in cell.axes  # its row says how far it is off
        return faults or ([] if own_call else exactness.check(batch, expected, tolerance, name))

    return check


def _own(typed: str) -> Callable[[Path], Any]:
    """Return the user's function, whose tensor or array may be a picture's or a batch's."""
    import torch

    function, shape = own.load(typed, grid.PREPROCESS_CALL.option), (3, SIZE, SIZE)

    def call(path: Path) -> Any:
        output = function(path)
        if hasattr(output, "__array_interface__"):
            output = torch.from_numpy(output)
        if tuple(getattr(output, "shape", ()))[-3:] != shape:
            kind = type(output).__name__
            returned = f"{tuple(output.shape)}" if hasattr(output, "shape") else f"a {kind}"
            given = f"{grid.PREPROCESS_CALL.option} {typed}"
            raise ContractError(given, f"a tensor {shape}, not {returned}", "return one")
        return output[None] if output.ndim == 3 else output

    return call


def _is_gray(cell: Cell) -> bool:
    return cell.axes["color"] == "gray"


def _paths(cell: Cell, axes: grid.Options) -> list[Path]:
    if axes[grid.IMAGES]:
        return pictures.folder(axes[grid.IMAGES])
    size, format_ = cell.size, cell.axes.get("format")
    matches = (key for key in pictures.FILES if key[1] == size and format_ in (None, key[0]))
    return [pictures.FILES[next(matches)]]


def _one_by_one(work: Callable[[Any], Any], pictures: Sequence[Any]) -> Callable[[], Any]:
    """Return a call that does one picture after another, into one batch."""
    import torch

    if len(pictures) == 1:
        return lambda: work(pictures[0])
    return lambda: torch.cat([work(picture) for picture in pictures])
