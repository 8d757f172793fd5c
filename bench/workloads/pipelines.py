"""The Stable Diffusion pipelines of a run, one in memory at a time, and images made by them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.measuring import memory
from bench.measuring.profiled import Part
from bench.results.cell import PREGENERATED, Cell
from bench.workloads import modes
from bench.workloads.modes import EAGER
from pipeline import pregenerated
from pipeline.arguments import Size
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.stable_diffusion import components, diffusion, models
from pipeline.stable_diffusion.models import Model
from pipeline.validation import meta

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ImageSource", "Pipelines", "draw", "parts"]


ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
DECODERS = ("vae", "movq")
"""Kandinsky's is called movq; a pipeline of pixels, such as DeepFloyd IF, has none."""


def draw(pipe: Any, cell: Cell) -> "list[Image]":
    """Make one call of a cell of `generate`: the default prompt, one seed an image."""
    return diffusion.sample(pipe, diffusion.PROMPT, range(cell.images), cell.size, cell.steps)


def parts(pipe: Any) -> list[Part]:
    """Return the stages of a call of `pipe`: all but guidance, tokens and pixels."""
    kind, network = components.denoiser(pipe)
    return [
        *(Part("text encoder", encoder, "forward") for encoder in _of(pipe, ENCODERS)),
        Part(kind, network, "forward"),
        *(
            Part("scheduler", pipe.scheduler, method)
            for method in ("set_timesteps", "scale_model_input", "step")
            if hasattr(pipe.scheduler, method)  # flow matching scales no input
        ),
        *(Part("VAE decode", decoder, "decode") for decoder in _of(pipe, DECODERS)),
    ]


class Pipelines:
    """Hold one pipeline; the one before is dropped before another is loaded."""

    def __init__(self, names: Mapping[str, str], cells: Sequence[Cell]) -> None:
        """Take what `--sd-model` calls each model, by its label, and the cells of `generate`."""
        self._names = names
        self._cells = cells
        self._key: tuple[Any, ...] = ()
        self._last: Cell | None = None
        self._pipe: Any = None
        self._eager: dict[str, list[Image]] = {}

    def model(self, cell: Cell) -> Model:
        """Return the model of a cell of `generate`."""
        return models.resolve(self._names[str(cell.axes["model"])])

    def of(self, cell: Cell) -> Any:
        """Return the pipeline of a cell of `generate`, in its mode and already compiled.

        Each size and batch of a mode other than eager has a pipeline of its own, which draws the
        eager pictures before the mode is applied. Raises as `meta.require`, before anything is
        loaded, and as `diffusion.load`.
        """
        if cell == self._last:
            return self._pipe  # end to end, this runs inside the clock
        model = self.model(cell)
        meta.require(model, cell.size, cell.images, cell.dtype)
        key: tuple[Any, ...] = (model.label, cell.device, cell.dtype)
        mode = str(cell.axes.get("mode", EAGER))
        if mode != EAGER:
            key += (mode, cell.size, cell.images)
        if key != self._key:
            self.drop()
            try:
                self._pipe = diffusion.load(model.name, cell.device, cell.dtype)
                if mode != EAGER:
                    self._change(cell, mode)
            except BaseException:
                self.drop()
                raise
            self._key = key
        self._last = cell
        return self._pipe

    def eager(self, cell: Cell) -> "list[Image]":
        """Return the eager pictures of `cell`, whose pipeline was asked for last."""
        return self._eager[cell.id]

    def drop(self) -> None:
        """Give the memory of the pipeline back."""
        self._key, self._last, self._pipe, self._eager = (), None, None, {}
        memory.give_back()

    def _change(self, cell: Cell, mode: str) -> None:
        alike = [other for other in self._cells if _without_steps(other) == _without_steps(cell)]
        self._eager = {other.id: draw(self._pipe, other) for other in alike}
        modes.apply(self._pipe, mode)
        draw(self._pipe, min(alike, key=lambda other: other.steps))


class ImageSource:
    """Make three images on every call: generate them, or decode the pre-generated ones."""

    def __init__(self, cell: Cell | None, pipelines: Pipelines) -> None:
        """Take the cell of `generate` that makes the images; None stands for the fixtures."""
        self._cell, self._pipelines = cell, pipelines

    @property
    def weights(self) -> str:
        """What the row says of the weights that made the images."""
        return self._pipelines.model(self._cell).weights if self._cell else PREGENERATED

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


def _of(pipe: Any, names: Sequence[str]) -> list[Any]:
    """Return the components of these names that a pipeline has."""
    return [part for name in names if (part := getattr(pipe, name, None)) is not None]


def _without_steps(cell: Cell) -> dict[str, Any]:
    return {axis: value for axis, value in cell.axes.items() if axis != "steps"}
