"""Preprocessing: one fixture image of 512×512 to a tensor of 224×224, by regime and color."""

from collections.abc import Callable
from typing import Any

import pytest

from bench import grid
from bench.harness import fingerprint, options, thumbnail
from bench.harness.cell import Cell
from bench.harness.measure import Measure
from pipeline import contracts, pregenerated, preprocessing
from pipeline.contracts import Violation


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test a cell."""
    cells = grid.preprocess(options.axes(metafunc.config))
    metafunc.parametrize("cell", cells, ids=lambda cell: cell.id)


def test_preprocess(measure: Measure, cell: Cell) -> None:
    """Time what the regime names, on the same image on every machine."""
    gray = cell.axes["color"] == "gray"
    path = pregenerated.paths()[0]
    image = preprocessing.decode(path)
    if cell.axes["regime"] == "decode":
        measure(
            lambda: preprocessing.decode(path),
            check=lambda image: contracts.check_images([image], 1, (512, 512)),
            fingerprint=fingerprint.of_image,
            thumbnail=lambda image: thumbnail.of_image(image, source=path.name),
        )
        return
    preprocessing.transform(image)  # imports torchvision: seconds that belong to no image
    calls: dict[str, Callable[[], Any]] = {
        "transform": lambda: preprocessing.transform(image, grayscale=gray)[None],
        "file": lambda: preprocessing.preprocess([path], grayscale=gray),
    }

    def check(batch: Any) -> list[Violation]:
        side = preprocessing.SIZE
        return contracts.check_batch(batch, (1, 1 if gray else 3, side, side))

    measure(
        calls[str(cell.axes["regime"])],
        check=check,
        fingerprint=fingerprint.of_batch,
        thumbnail=lambda batch: thumbnail.of_batch(batch, source=path.name),
    )
