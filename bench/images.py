"""Where the end-to-end benchmark takes its images from: a model, or the fixtures."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from bench.grid import PREGENERATED
from pipeline import diffusion, pregenerated, preprocessing, sd_models
from pipeline.arguments import Size

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ImageSource"]


class ImageSource:
    """Make three images on every call: generate them, or decode the pre-generated ones."""

    def __init__(self, name: str) -> None:
        """Take the name of a model, or `pregenerated`."""
        self.name = name

    @property
    def weights(self) -> str:
        """What the images depend on."""
        return self.name if self.name == PREGENERATED else sd_models.resolve(self.name).weights

    @property
    def size(self) -> Size | None:
        """Width and height of the images in pixels; None where the model decides."""
        return (512, 512) if self.name == PREGENERATED else sd_models.resolve(self.name).size

    def __call__(self) -> "list[Image]":
        """Return the three images."""
        if self.name == PREGENERATED:
            return [preprocessing.decode(path) for path in pregenerated.paths()]
        model = sd_models.resolve(self.name)
        seeds = range(pregenerated.COUNT)
        return [
            image
            for seed in seeds
            for image in diffusion.sample(
                self._pipe, diffusion.PROMPT, [seed], model.size, model.steps
            )
        ]

    @cached_property
    def _pipe(self) -> Any:
        return diffusion.load(self.name, diffusion.default_device(self.name))
