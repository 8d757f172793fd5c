"""A whole pipeline on PyTorch's meta device: shapes, operations and memory, without weights.

It calls the components one by one in the order of the pipeline, because the pipeline's own call
reads values, which tensors on the meta device do not have.
"""

from functools import lru_cache

from pipeline import contracts
from pipeline.arguments import Size
from pipeline.errors import PipelineError
from pipeline.stable_diffusion import components, kinds, schedulers
from pipeline.stable_diffusion.architectures import Model
from pipeline.validation.mmdit import MMDiTWalker
from pipeline.validation.tally import Cost
from pipeline.validation.walker import Walk, Walker

__all__ = ["Walk", "cost", "require", "unet_calls", "walk"]


def cost(model: Model, size: Size | None, batch: int, dtype: str) -> Cost:
    """Return what `batch` images of `size` (None: the model's own) cost in `dtype` (a torch name).

    Reads configuration files alone. Raises as `walk`, and `ContractError` where a boundary is
    broken.
    """
    walked = walk(model, size, batch, dtype)
    contracts.require(walked.violations)
    assert walked.cost is not None
    return walked.cost


def require(model: Model, size: Size | None, batch: int, dtype: str) -> None:
    """Raise `ContractError` where a boundary would be broken, before anything is loaded.

    Other kinds of text-to-image pipelines pass; raises `PipelineError` for any other pipeline.
    """
    kinds.text_to_image(model.name, components.read(model)[0].get("_class_name"))
    if components.is_known(model):
        contracts.require(walk(model, size, batch, dtype).violations)


@lru_cache(maxsize=64)
def unet_calls(model: Model, steps: int) -> int:
    """Return how often the model's scheduler calls the UNet for `steps`: PNDM does once more.

    Raises `PipelineError` for steps that the scheduler does not take.
    """
    part = {"scheduler": components.read(model)[1]["scheduler"]}
    scheduler = components.build(model.name, part, "meta", "float32")["scheduler"]
    schedulers.check_steps(scheduler, steps)
    schedulers.set_steps(scheduler, steps)
    return len(scheduler.timesteps)


@lru_cache(maxsize=64)
def walk(model: Model, size: Size | None, batch: int, dtype: str) -> Walk:
    """Take `batch` prompts from token ids to decoded images, on the meta device.

    `size` None is the model's own, `dtype` a torch name. Raises as `components.on_meta`, and
    `PipelineError` where neither the question nor the model has a size.
    """
    parts = components.on_meta(model, dtype)
    size = size or parts.default_size
    if size is None:
        given, expected = f"--sd-model {model.name}", "a size: its unet has no sample_size"
        raise PipelineError(given, expected, "add --size")
    walker = MMDiTWalker if parts.is_mmdit else Walker
    return walker(parts, size, batch, dtype).walk()
