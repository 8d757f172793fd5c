"""Calls of full-size pipelines in half precision on fake CUDA tensors: devices and types alone.

The arguments are architectures; prints one line of JSON.
"""

import json
import sys
from contextlib import suppress
from typing import Any

import diffusers
import torch
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily

from pipeline.stable_diffusion import components, diffusion, models
from pipeline.stable_diffusion.architectures import ARCHITECTURES


def keep_numbers_on_the_host(scheduler: Any) -> None:
    """Let a scheduler read its schedule as numbers of Python: fake tensors have no values."""
    real = scheduler.set_timesteps

    def set_timesteps(*arguments: Any, device: Any = None, **named: Any) -> None:
        with unset_fake_temporarily():
            real(*arguments, **named)
            if hasattr(scheduler, "sigmas"):  # Euler
                scheduler.sigmas = scheduler.sigmas.tolist()
                scheduler.set_begin_index(0)
            else:
                scheduler.timesteps = scheduler.timesteps.tolist()

    scheduler.set_timesteps = set_timesteps


def placed(tensor: torch.Tensor) -> str:
    return f"{tensor.device} {tensor.dtype} {tuple(tensor.shape)}"


def called(label: str) -> dict[str, Any]:
    """What one call gives, where the parts are, and whether a wrong type or device is found."""
    name, mode = f"arch:{label}", FakeTensorMode(allow_non_fake_inputs=True)
    answer: dict[str, Any] = {}
    with mode:
        pipe = models.load(models.resolve(name), "cuda", "float16")
    pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)
    keep_numbers_on_the_host(pipe.scheduler)
    generator = torch.Generator().manual_seed(0)
    with mode, torch.no_grad():
        latents = pipe(
            diffusion.PROMPT, num_inference_steps=2, output_type="latent", generator=generator
        ).images
        answer["latents"] = placed(latents)
        vae = pipe.vae
        if label == "sdxl":  # whose pipeline decodes in float32
            config = {"vae": ARCHITECTURES[label].components["vae"]}
            vae = components.build(name, config, "cuda", "float32")["vae"]
        answer["image"] = placed(vae.decode(latents.to(vae.dtype)).sample)
        states = torch.empty(2, 77, pipe.unet.config.cross_attention_dim, device="cuda")
        for fault, wrong in {"type": states, "device": states.half().cpu()}.items():
            answer[fault] = "not found"
            conditions = {
                "text_embeds": torch.empty(2, 1280, device="cuda", dtype=torch.float16),
                "time_ids": torch.empty(2, 6, device="cuda", dtype=torch.float16),
            }
            with suppress(RuntimeError):
                pipe.unet(torch.cat([latents] * 2), 1, wrong, added_cond_kwargs=conditions)
                continue
            answer[fault] = "found"
    answer["parts"] = sorted(
        {
            f"{part.device} {part.dtype}"
            for part in pipe.components.values()
            if hasattr(part, "dtype")
        }
    )
    return answer


def main(*labels: str) -> None:
    torch.cuda.current_device = lambda: 0
    torch.cuda.get_rng_state = lambda device=0: torch.get_rng_state()
    torch.cuda.set_rng_state = lambda state, device=0: None
    diffusers.DiffusionPipeline.to = lambda self, *_, **__: self  # its parts are made there
    print(json.dumps({label: called(label) for label in labels}))


main(*sys.argv[1:])
