"""Generate: prompt → images, by Stable Diffusion through diffusers."""

import logging
import operator
import re
from collections.abc import Callable, Sequence
from inspect import signature
from math import inf
from numbers import Real
from typing import TYPE_CHECKING, Any

from pipeline import availability, contracts
from pipeline.arguments import Size, size_label
from pipeline.contracts import DTYPES
from pipeline.errors import PipelineError, UnavailableError, one_line, plain
from pipeline.stable_diffusion import components, kinds, models, prompts, schedulers

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "DTYPES",
    "PROMPT",
    "Drawing",
    "default_device",
    "default_dtype",
    "generate",
    "load",
    "sample",
]

PROMPT = "a serene sunset over a futuristic city"

Progress = Callable[[int, int], None]
"""Called after each denoising step with the image's index, from 0, and its finished steps."""

logger = logging.getLogger(__name__)


def generate(
    prompt: str = PROMPT,
    count: int = 3,
    seed: int = 0,
    size: Size | None = None,
    steps: int | None = None,
    model: str = "tiny",
    device: str | None = None,
    progress: Progress | None = None,
    *,
    negative_prompt: str = "",
    guidance: float | None = None,
    scheduler: str = "",
    dtype: str | None = None,
) -> "list[Image]":
    """Generate `count` RGB images, one by one; image i depends on `seed + i`, not on `count`.

    `size` is (width, height) in pixels. `size`, `steps`, `guidance`, `scheduler` and `device`
    default to the model's own, `dtype` to the device's. The settings of an image are in its
    `info`. Raises `PipelineError` for settings that the model does not take, `UnavailableError`
    where the device or the weights are missing, and `ContractError` for the first image that
    breaks its contract; `Drawing` draws the others too.
    """
    count = _whole(count, "count")
    if count < 1:
        raise PipelineError(f"count {count}", "at least 1", "ask for one image or more")
    drawing = Drawing(
        prompt,
        seed,
        size,
        steps,
        model,
        device,
        negative_prompt=negative_prompt,
        guidance=guidance,
        scheduler=scheduler,
        dtype=dtype,
    )
    return [drawing.draw(index, progress) for index in range(count)]


class Drawing:
    """The images of one prompt: settings that are checked at once, a model that is loaded once."""

    def __init__(
        self,
        prompt: str = PROMPT,
        seed: int = 0,
        size: Size | None = None,
        steps: int | None = None,
        model: str = "tiny",
        device: str | None = None,
        *,
        negative_prompt: str = "",
        guidance: float | None = None,
        scheduler: str = "",
        dtype: str | None = None,
        pipe: Any = None,
    ) -> None:
        """Take the settings of `generate` and check them against the model's configuration.

        Loads no weights, unless the pipeline is of a kind that `components` does not know. `pipe`
        is what `load` has returned for another prompt, of the same model, device, dtype and
        scheduler.
        """
        self.model = models.resolve(_text(model, "model"))
        self.device = _device(device) or default_device(self.model.name)
        self.dtype = _choice(dtype, "dtype", DTYPES) or default_dtype(self.device)
        self.seed, self.steps = _whole(seed, "seed"), self.model.steps
        if steps is not None:
            self.steps = _whole(steps, "steps")
        self._scheduler = scheduler or ""
        if scheduler:
            schedulers.check(_text(scheduler, "scheduler"))
        guidance = _number(guidance, "guidance")
        prompt, negative_prompt = _text(prompt, "prompt"), _text(negative_prompt, "negative prompt")
        size = _size(size) or self.model.size
        _check_numbers(self.steps, [self.seed], size)
        self._pipe = pipe
        if components.is_known(self.model):
            parts = components.on_meta(self.model, self.dtype)
            kind, own, default_size = parts.kind, parts.scheduler, parts.default_size
            names = {f"tokenizer_{number}": part for number, part in enumerate(parts.tokenizers)}
        else:
            pipe = self.load()
            kind, own, default_size = type(pipe), pipe.scheduler, None
            names = {
                name: part for name, part in pipe.components.items() if name.startswith("tokenizer")
            }
        if scheduler:
            own = schedulers.replacement(own, scheduler)
        if self._pipe is None:
            schedulers.check_steps(own, self.steps)
        taken = signature(kind.__call__).parameters
        if negative_prompt and kinds.is_left_out(kind, "negative_prompt", pipe):
            negative_prompt = ""
        if guidance is not None and kinds.is_left_out(kind, "guidance_scale", pipe):
            guidance = None
        if guidance is None and not kinds.ignores(kind, "guidance_scale", pipe):
            guidance = taken["guidance_scale"].default
        most = taken["max_sequence_length"].default if "max_sequence_length" in taken else None
        tokenizers = prompts.limits(names, most)
        self.size, self._guidance = size or default_size, guidance
        self._prompt = _read(prompt, "prompt", tokenizers)
        self._negative_prompt = _read(negative_prompt, "negative prompt", tokenizers)
        self._info = {
            "prompt": self._prompt,
            "negative prompt": self._negative_prompt,
            "seed": "",
            "steps": str(self.steps),
            "guidance": "none" if guidance is None else f"{guidance:g}",
            "scheduler": type(own).__name__,
            "model": self.model.weights,
            "dtype": self.dtype,
            "device": self.device,
        }
        if self.size is not None:
            self._info["size"] = size_label(self.size)

    def info(self, index: int) -> dict[str, str]:
        """Return the text that image `index`, from 0, carries; its size where that is known."""
        return {**self._info, "seed": str(self.seed + index)}

    def load(self) -> Any:
        """Return the pipeline, loaded once; raises as `load`."""
        if self._pipe is None:
            self._pipe = load(self.model.name, self.device, self.dtype)
            if self._scheduler:
                schedulers.replace(self._pipe, self._scheduler)
        return self._pipe

    def draw(self, index: int, progress: Progress | None = None) -> "Image":
        """Draw image `index`, from 0; raises as `load` and `sample`, naming the image and its seed.

        An image of one flat colour, or of another size, is a `ContractError` too.
        """
        seed = self.seed + index
        name = f"image {index + 1} (seed {seed})"
        tell = None if progress is None else lambda done: progress(index, done)
        pipe = self.load()
        try:
            [image] = sample(
                pipe,
                self._prompt,
                [seed],
                self.size,
                self.steps,
                tell,
                self._negative_prompt,
                self._guidance,
                names=[name],
            )
        except (MemoryError, RuntimeError) as error:  # also torch's own of a device
            remedy = "ask for a smaller size, or half precision"
            raise PipelineError(name, f"enough memory ({one_line(error)})", remedy) from error
        contracts.require(contracts.check_images([image], 1, self.size, [name]))
        image.info.update(self.info(index) | {"size": size_label(image.size)})
        return image


def load(model: str, device: str, dtype: str | None = None) -> Any:
    """Return the diffusers pipeline of `model` on `device`, in `dtype` (default: the device's).

    Raises as `models.resolve` and `models.load`, and `UnavailableError` without the device.
    """
    chosen = models.resolve(model)
    if device.startswith("cuda"):
        absent = availability.torch_cuda()
        if absent is not None:
            raise UnavailableError(f"--device {device}", absent)
    return models.load(chosen, device, dtype or default_dtype(device))


def sample(
    pipe: Any,
    prompt: str | Sequence[str],
    seeds: Sequence[int],
    size: Size | None,
    steps: int,
    progress: Callable[[int], None] | None = None,
    negative_prompt: str = "",
    guidance: float | None = None,
    names: Sequence[str] = (),
) -> "list[Image]":
    """Run `pipe` once, on a batch of one image a seed, all of one prompt or each of its own.

    The noise comes from generators on the CPU, so a seed has the same noise on every device.
    `size` None is the model's own. A negative prompt or a guidance that the pipeline does not take
    is left out, with a warning. Raises `PipelineError` for what the pipeline fails on, and
    `ContractError` for an image that has NaN in it or that a safety checker blanked: as PNG, both
    are black. Errors of memory are left as they are.
    """
    import torch

    _check_numbers(steps, seeds, size)
    most = pipe.scheduler.config.num_train_timesteps
    if steps > most:
        raise PipelineError(f"steps {steps}", f"at most {most}", "ask for fewer steps")
    scale = getattr(pipe, "vae_scale_factor", 1)  # DeepFloyd IF has no VAE
    if size is not None and (size[0] % scale or size[1] % scale):
        expected = f"sides divisible by {scale}"
        raise PipelineError(f"size {size_label(size)}", expected, "round to a multiple")
    options: dict[str, Any] = {}
    if negative_prompt and not kinds.is_left_out(type(pipe), "negative_prompt", pipe):
        options["negative_prompt"] = [negative_prompt] * len(seeds)
    if guidance is not None and not kinds.is_left_out(type(pipe), "guidance_scale", pipe):
        options["guidance_scale"] = guidance
    taken = signature(type(pipe).__call__).parameters
    if "use_resolution_binning" in taken:  # it would draw another size, and resize the picture
        options["use_resolution_binning"] = False
    if size is not None:
        options["width"], options["height"] = size
    if progress is not None and "callback_on_step_end" in taken:

        def callback(_pipe: Any, index: int, _timestep: Any, tensors: dict[str, Any]) -> Any:
            calls = getattr(_pipe, "num_timesteps", steps)  # PNDM: one more; Heun: two a step
            progress((index + 1) * steps // calls)
            return tensors

        options["callback_on_step_end"] = callback
    try:
        result = pipe(
            [prompt] * len(seeds) if isinstance(prompt, str) else list(prompt),
            num_inference_steps=steps,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            output_type="np",
            **options,
        )
    except (OSError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # diffusers may raise anything for what it does not take
        if "memory" in str(error):
            raise
        if components.knows(type(pipe).__name__):
            schedulers.check_steps(pipe.scheduler, steps)
        given = f"{type(pipe).__name__} at {size_label(size) if size else 'its own size'}"
        expected = f"a call that it can answer ({type(error).__name__}: {one_line(error)})"
        raise PipelineError(given, expected, "change the settings, or the model") from error
    dtype = str(pipe.dtype).removeprefix("torch.")
    blanked = getattr(result, "nsfw_content_detected", None)
    contracts.require(contracts.check_drawn(result.images, blanked or (), names, dtype))
    images: list[Image] = pipe.numpy_to_pil(result.images)
    return images


def default_device(model: str) -> str:
    """Return the device that `model` runs on by default: the CPU for `tiny`, else CUDA."""
    return "cpu" if model == "tiny" else "cuda"


def default_dtype(device: str) -> str:
    """Return half precision on CUDA, single precision on the CPU."""
    return "float16" if device.startswith("cuda") else "float32"


# Settings as a program gives them.


def _check_numbers(steps: int, seeds: Sequence[int], size: Size | None) -> None:
    if steps < 1:
        raise PipelineError(f"steps {steps}", "at least 1", "ask for one step or more")
    for seed in seeds:
        if not -(2**63) <= seed < 2**64:
            raise PipelineError(f"seed {seed}", "a whole number of 64 bits", "choose a smaller one")
    if size is not None and min(size) < 1:
        raise PipelineError(f"size {size_label(size)}", "at least 1 pixel a side", "change it")


def _read(text: str, name: str, tokenizers: list[tuple[Any, int]]) -> str:
    """Return the part of a prompt that the model reads; log what is cut off."""
    part = prompts.read_by(tokenizers, text)
    if part != text:
        most = max(limit for _, limit in tokenizers)
        cut = plain(text[len(part) :])
        cut = f"“{cut[:80]}{'…' if len(cut) > 80 else ''}”"
        line = "%s: the model reads %d tokens and cuts off the rest: %s; shorten it"
        logger.warning(line, name, most, cut)
    return part


def _whole(value: Any, name: str) -> int:
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise PipelineError(f"{name} {value!r}", "a whole number", f"change {name}")


def _number(value: Any, name: str) -> float | None:
    if value is None:
        return None
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else -1.0
    if not 0 <= number < inf:
        raise PipelineError(f"{name} {value!r}", "a number from 0", f"change {name}")
    return number


def _text(value: Any, name: str) -> str:
    """Return a text; a path is one too."""
    text = str(value) if hasattr(value, "__fspath__") else value
    if not isinstance(text, str):
        raise PipelineError(f"{name} of type {type(value).__name__}", "a text", f"change {name}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PipelineError(f"{name} {text!r}", "UTF-8", f"encode {name} as UTF-8") from error
    return text


def _size(value: Any) -> Size | None:
    if value is None:
        return None
    try:
        width, height = value
    except (TypeError, ValueError):
        expected = "(width, height) in pixels, such as (512, 512)"
        raise PipelineError(f"size {value!r}", expected, "change size") from None
    return _whole(width, "size"), _whole(height, "size")


def _choice(value: Any, name: str, known: Sequence[str]) -> str | None:
    """Return one of the `known` names; a torch dtype is named as torch prints it."""
    if value is None:
        return None
    text = str(value).removeprefix("torch.")
    if text not in known:
        raise PipelineError(f"{name} {value!r}", " or ".join(known), f"change {name}")
    return text


def _device(value: Any) -> str | None:
    """Return `cpu`, `cuda` or `cuda:1`, also for a torch device; None for the default."""
    if value is None:
        return None
    if not re.fullmatch(r"cpu|cuda(:\d+)?", str(value)):
        raise PipelineError(f"device {value!r}", "cpu or cuda", "change device")
    return str(value)
