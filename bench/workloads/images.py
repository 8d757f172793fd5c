"""Where the end-to-end benchmark takes its images from: a model, or the fixtures."""

from typing import TYPE_CHECKING

from bench.results.cell import Cell
from bench.workloads.pipelines import Pipelines
from pipeline import pregenerated
from pipeline.arguments import Size
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.stable_diffusion import diffusion

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ImageSource"]


class ImageSource:
    """Make three images on every call: generate them, or decode the pre-generated ones."""

    def __init__(self, cell: Cell | None, pipelines: Pipelines) -> None:
        """Take the cell of `generate` that makes the images; None stands for the fixtures."""
        self._cell, self._pipelines = cell, pipelines

    @property
    def weights(self) -> str:
        """What the images depend on."""
        return self._pipelines.model(self._cell).weights if self._cell else "pregenerated"

    @property
    def size(self) -> Size:
        """Width and height of the images in pixels."""
        return self._cell.size if self._cell else pregenerated.SIZE

    def __call__(self) -> "list[Image]":
        """Return the three images."""
        if self._cell is None:
            return [preprocessing.decode(path) for path in pregenerated.paths()]
        pipe = self._pipelines.of(self._cell)
        return [
            image
            for seed in range(pregenerated.COUNT)
            for image in diffusion.sample(
                pipe, diffusion.PROMPT, [seed], self.size, self._cell.steps
            )
        ]
