"""The Stable Diffusion pipelines of a run: one in memory at a time, in the mode of its cell."""

from typing import TYPE_CHECKING, Any

from bench import grid
from bench.measuring import memory
from bench.measuring.profiled import Part
from bench.results.cell import Cell
from bench.workloads import modes
from bench.workloads.modes import EAGER
from pipeline.stable_diffusion import diffusion, models
from pipeline.validation import meta

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Pipelines", "draw", "parts"]


def draw(pipe: Any, cell: Cell) -> "list[Image]":
    """Make one call of a cell of `generate`: the default prompt, one seed an image."""
    size = cell.size
    return diffusion.sample(pipe, diffusion.PROMPT, range(cell.images), size, cell.steps)


def parts(pipe: Any) -> list[Part]:
    """Return what a call of `pipe` is made of, apart from guidance, tokens and pixels."""
    encoders = [getattr(pipe, name, None) for name in ("text_encoder", "text_encoder_2")]
    return [
        *(Part("text encoder", each, "forward") for each in encoders if each is not None),
        Part("UNet", pipe.unet, "forward"),
        *(
            Part("scheduler", pipe.scheduler, method)
            for method in ("set_timesteps", "scale_model_input", "step")
        ),
        Part("VAE decode", pipe.vae, "decode"),
    ]


class Pipelines:
    """Hold the pipeline that was asked for last; the one before is dropped first."""

    def __init__(self, options: grid.Options) -> None:
        """Take the axes as they were given."""
        self._options = options
        self._key: tuple[Any, ...] = ()
        self._last: Cell | None = None
        self._pipe: Any = None
        self._eager: dict[str, list[Image]] = {}

    def of(self, cell: Cell) -> Any:
        """Return the pipeline of a cell of `generate`, in its mode; it has compiled.

        A mode begins with a pipeline of its own for each size and batch, which draws eager's
        pictures before it is changed. Raises as `meta.require`, before anything is loaded, and as
        `diffusion.load`.
        """
        if cell == self._last:
            return self._pipe  # at no cost: end to end, it is asked inside the clock
        at = cell.axes
        name = grid.model_of(cell, self._options)
        size = cell.size
        meta.require(models.resolve(name), size, cell.images, str(at["dtype"]))
        key: tuple[Any, ...] = (at["model"], at["device"], at["dtype"])
        mode = str(at.get("mode", EAGER))
        if mode != EAGER:
            key += (mode, at["size"], cell.images)
        if key != self._key:
            self.drop()
            try:
                self._pipe = diffusion.load(name, cell.device, str(at["dtype"]))
                if mode != EAGER:
                    self._change(cell, mode)
            except BaseException:
                self.drop()
                raise
            self._key = key
        self._last = cell
        return self._pipe

    def eager(self, cell: Cell) -> "list[Image]":
        """Return what eager drew of the noise of `cell`, whose pipeline was asked for last."""
        return self._eager[cell.id]

    def drop(self) -> None:
        """Give the memory of the pipeline back."""
        self._key, self._last, self._pipe, self._eager = (), None, None, {}
        memory.give_back()

    def _change(self, cell: Cell, mode: str) -> None:
        alike = [
            each for each in grid.generate(self._options) if _but_steps(each) == _but_steps(cell)
        ]
        self._eager = {each.id: draw(self._pipe, each) for each in alike}
        modes.apply(self._pipe, mode)
        draw(self._pipe, min(alike, key=lambda each: each.steps))


def _but_steps(cell: Cell) -> dict[str, Any]:
    return {axis: value for axis, value in cell.axes.items() if axis != "steps"}
