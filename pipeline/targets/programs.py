"""The components of a pipeline as `torch.export` takes them, from configurations alone."""

import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import contracts
from pipeline.arguments import Size
from pipeline.errors import one_line
from pipeline.progress import progress
from pipeline.stable_diffusion import components
from pipeline.stable_diffusion.architectures import Model
from pipeline.targets import modules
from pipeline.validation import meta
from pipeline.validation.boundaries import Tensor

if TYPE_CHECKING:
    import torch

__all__ = ["EXAMPLE_BATCH", "Program", "example_size", "programs", "quiet"]

EXAMPLE_BATCH = 2
"""Images of the traced call: torch.export takes a dimension of 1 for a constant."""

_SIDES = {"0": "rows", "2": "height", "3": "width"}


@dataclass(frozen=True)
class Program:
    """One exported component, or why it could not be exported."""

    component: str
    inputs: "Mapping[str, torch.Tensor]"
    """What was traced: meta tensors for `EXAMPLE_BATCH` images of `size`."""
    size: Size
    guard: Callable[..., Any]
    """Raises AssertionError for inputs of a shape that the program does not take."""
    exported: Any = None
    """The `ExportedProgram`; None where there is none."""
    failure: str = ""
    """Why it could not be exported."""
    made: str = ""
    """What another exporter made of it."""

    def refusal(self, size: Size, batch: int) -> str:
        """Return the guard that refuses `batch` images of `size`; empty where none does."""
        if self.failure:
            return self.failure
        inputs = {
            name: tensor.new_empty(self.shape_at(name, size, batch))
            for name, tensor in self.inputs.items()
        }
        try:
            self.guard(**inputs)
        except AssertionError as error:
            return _readable(one_line(error).removeprefix("Guard failed: "))
        return ""

    def shape_at(self, name: str, size: Size, batch: int) -> tuple[int, ...]:
        """Return the shape of an input for `batch` images of `size`.

        The first side of every input is the batch; inputs with four sides are latents.
        """
        rows, *rest = self.inputs[name].shape
        if len(rest) == 3:
            channels, height, width = rest
            rest = [channels, size[1] * height // self.size[1], size[0] * width // self.size[0]]
        return (rows * batch // EXAMPLE_BATCH, *rest)


def programs(model: Model, dtype: str, asked: Size) -> Iterator[Program]:
    """Export text encoders, denoiser and VAE decoder, with their batch and size dynamic.

    The call that is traced has the model's own size, or about `asked` where it has none.
    Raises as `meta.walk`, and `ContractError` where eager PyTorch does not take the example.
    """
    parts = components.on_meta(model, dtype)
    size = example_size(parts.default_size or asked)
    walked = meta.walk(model, size, EXAMPLE_BATCH, dtype)
    contracts.require(walked.violations)
    names = list(dict.fromkeys(tensor.component for tensor in walked.tensors))
    with progress(f"export of {model.name}", len(names), "component", seconds=0) as show:
        for done, name in enumerate(names):
            show(done, name)
            tensors = [tensor for tensor in walked.tensors if tensor.component == name]
            yield _program(name, _network(parts, name), tensors, size)


def example_size(size: Size) -> Size:
    """Return a size to trace near `size`, of multiples of 64, no square: that would be a rule."""
    width, height = (-(-side // 64) * 64 for side in size)
    return (width + 64, height) if width == height else (width, height)


def _readable(guard: str) -> str:
    """Return `sample width % 2 == 0` for `sample.size()[3] % 2 == 0`."""
    return re.sub(r"(\w+)\.size\(\)\[([023])\]", lambda side: f"{side[1]} {_SIDES[side[2]]}", guard)


def _network(parts: components.Components, name: str) -> Any:
    if name == "vae_decoder":
        return parts.decoder
    if name.startswith("text_encoder"):
        number = int(name.removeprefix("text_encoder").removeprefix("_") or 1)
        return parts.text_encoders[number - 1]
    return parts.unet


def _program(name: str, network: Any, tensors: Sequence[Tensor], size: Size) -> Program:
    import torch
    from torch.export import Dim, export

    inputs = {tensor.name: tensor for tensor in tensors if tensor.is_input}
    outputs = [tensor.name for tensor in tensors if not tensor.is_input]
    example = {
        key: torch.empty(tensor.shape, dtype=getattr(torch, tensor.dtype), device="meta")
        for key, tensor in inputs.items()
    }
    free = {
        key: dict.fromkeys((0, 2, 3) if tensor.ndim == 4 else (0,), Dim.AUTO)
        for key, tensor in example.items()
    }
    try:
        with torch.no_grad(), quiet():
            exported = export(
                modules.of(name, network, outputs),
                (),
                example,
                dynamic_shapes=free,
                strict=False,
            )
            module = exported.module()
    except Exception as error:  # torch.export raises anything that a traced function may
        return Program(name, example, size, lambda **_: None, failure=one_line(error))
    guards = getattr(module, "_guards_fn", None)
    if guards is None:  # the whole program gives the same answer, more slowly
        return Program(name, example, size, module, exported)
    return Program(name, example, size, lambda **named: guards(*named.values()), exported)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings and logs of torch's exporters: what matters is raised."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
