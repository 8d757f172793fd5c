"""Generate: prompt → images, by Stable Diffusion through diffusers."""

from collections.abc import Callable, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

from pipeline import availability, contracts
from pipeline.arguments import Size, size_label
from pipeline.contracts import DTYPES
from pipeline.errors import PipelineError, UnavailableError
from pipeline.stable_diffusion import models, schedulers

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["DTYPES", "PROMPT", "default_device", "default_dtype", "generate", "load", "sample"]

PROMPT = "a serene sunset over a futuristic city"

Progress = Callable[[int, int], None]
"""Called after each denoising step with the image's index, from 0, and its finished steps."""


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
    where the device or the weights are missing, and `ContractError` as `sample`.
    """
    if count < 1:
        raise PipelineError(f"count {count}", "at least 1", "ask for one image or more")
    if scheduler:
        schedulers.check(scheduler)
    chosen = models.resolve(model)
    device = device or default_device(model)
    dtype = dtype or default_dtype(device)
    pipe = load(model, device, dtype)
    if scheduler:
        schedulers.replace(pipe, scheduler)
    if guidance is None:
        guidance = float(signature(pipe.__call__).parameters["guidance_scale"].default)
    size = chosen.size if size is None else size
    steps = chosen.steps if steps is None else steps
    images = []
    for index in range(count):

        def step(done: int, index: int = index) -> None:
            if progress is not None:
                progress(index, done)

        [image] = sample(pipe, prompt, [seed + index], size, steps, step, negative_prompt, guidance)
        image.info |= {
            "prompt": prompt,
            "negative prompt": negative_prompt,
            "seed": str(seed + index),
            "steps": str(steps),
            "guidance": f"{guidance:g}",
            "size": size_label(image.size),
            "scheduler": type(pipe.scheduler).__name__,
            "model": chosen.weights,
            "dtype": dtype,
            "device": device,
        }
        images.append(image)
    return images


def load(model: str, device: str, dtype: str | None = None) -> Any:
    """Return the diffusers pipeline of `model` on `device`, in `dtype` (default: the device's).

    Raises as `models.resolve` and `models.load`, and `UnavailableError` without the device.
    """
    chosen = models.resolve(model)
    if device == "cuda":
        absent = availability.torch_cuda()
        if absent is not None:
            raise UnavailableError("--device cuda", absent)
    return models.load(chosen, device, dtype or default_dtype(device))


def sample(
    pipe: Any,
    prompt: str,
    seeds: Sequence[int],
    size: Size | None,
    steps: int,
    progress: Callable[[int], None] | None = None,
    negative_prompt: str = "",
    guidance: float | None = None,
) -> "list[Image]":
    """Run `pipe` once, on a batch of one image a seed.

    The noise comes from generators on the CPU, so a seed has the same noise on every device.
    `size` None is the model's own. Raises `PipelineError` for steps, seeds or sizes that the
    pipeline does not take, and `ContractError` for an image that has NaN in it or that a safety
    checker blanked: as PNG, both are black.
    """
    import torch

    most, scale = pipe.scheduler.config.num_train_timesteps, pipe.vae_scale_factor
    if not 1 <= steps <= most:
        limit, remedy = (
            ("least 1", "one step or more") if steps < 1 else (f"most {most}", "fewer steps")
        )
        raise PipelineError(f"steps {steps}", f"at {limit}", f"ask for {remedy}")
    for seed in seeds:
        if not -(2**63) <= seed < 2**64:
            raise PipelineError(f"seed {seed}", "a whole number of 64 bits", "choose a smaller one")
    if size is not None:
        given = f"size {size_label(size)}"
        if min(size) < 1:
            raise PipelineError(given, "at least 1 pixel a side", "change it")
        if size[0] % scale or size[1] % scale:
            raise PipelineError(given, f"sides divisible by {scale}", "round to a multiple")
    width, height = size or (None, None)
    callback = None
    if progress is not None:

        def callback(_pipe: Any, index: int, _timestep: Any, tensors: dict[str, Any]) -> Any:
            calls = getattr(_pipe, "num_timesteps", steps)  # PNDM: one more; Heun: two a step
            progress((index + 1) * steps // calls)
            return tensors

    result = pipe(
        [prompt] * len(seeds),
        width=width,
        height=height,
        num_inference_steps=steps,
        negative_prompt=[negative_prompt] * len(seeds) if negative_prompt else None,
        **({} if guidance is None else {"guidance_scale": guidance}),
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
        callback_on_step_end=callback,
        output_type="np",
    )
    blanked = getattr(result, "nsfw_content_detected", None)
    contracts.require(contracts.check_drawn(result.images, blanked or ()))
    images: list[Image] = pipe.image_processor.numpy_to_pil(result.images)
    return images


def default_device(model: str) -> str:
    """Return the device that `model` runs on by default: the CPU for `tiny`, else CUDA."""
    return "cpu" if model == "tiny" else "cuda"


def default_dtype(device: str) -> str:
    """Return half precision on CUDA, single precision on the CPU."""
    return "float16" if device == "cuda" else "float32"
