"""Calls of pipelines of full width in half precision on fake CUDA tensors: devices and types alone.

The UNet has two levels, each block one layer, each text encoder two: more repeat the same code.
"""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from pipeline.stable_diffusion import components, diffusion, models
from pipeline.stable_diffusion.architectures import ARCHITECTURES, Architecture
from support.models import narrow, two_levels


def placed(label: str, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What one call gives, where the parts are, and whether a wrong type or device is found."""
    import diffusers
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    patch.setattr(torch.cuda, "current_device", lambda: 0)
    patch.setattr(torch.cuda, "get_rng_state", lambda device=0: torch.get_rng_state())
    patch.setattr(torch.cuda, "set_rng_state", lambda state, device=0: None)
    patch.setattr(diffusers.DiffusionPipeline, "to", lambda self, *_, **__: self)  # made there
    patch.setitem(ARCHITECTURES, label, _shallow(ARCHITECTURES[label]))
    name, mode = f"arch:{label}", FakeTensorMode(allow_non_fake_inputs=True)
    answer: dict[str, Any] = {}
    with mode:
        pipe = models.load(models.resolve(name), "cuda", "float16")
    pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)
    _keep_numbers_on_the_host(pipe.scheduler)
    generator = torch.Generator().manual_seed(0)
    with mode, torch.no_grad():
        latents = pipe(
            diffusion.PROMPT, num_inference_steps=2, output_type="latent", generator=generator
        ).images
        answer["latents"] = _place(latents)
        vae = pipe.vae
        if label == "sdxl":  # whose pipeline decodes in float32
            config = {"vae": ARCHITECTURES[label].components["vae"]}
            vae = components.build(name, config, "cuda", "float32")["vae"]
        answer["image"] = _place(vae.decode(latents.to(vae.dtype)).sample)
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
    parts = (part for part in pipe.components.values() if hasattr(part, "dtype"))
    answer["parts"] = sorted({f"{part.device} {part.dtype}" for part in parts})
    return answer


def _shallow(architecture: Architecture) -> Architecture:
    parts = dict(architecture.components)
    parts["unet"] = two_levels(parts["unet"])
    parts["vae"] = narrow(parts["vae"], layers_per_block=1)
    for name in parts.keys() & {"text_encoder", "text_encoder_2"}:
        parts[name] = narrow(parts[name], num_hidden_layers=2)
    return replace(architecture, components=parts)


def _keep_numbers_on_the_host(scheduler: Any) -> None:
    """Let a scheduler read its schedule as numbers of Python: fake tensors have no values."""
    from torch._subclasses.fake_tensor import unset_fake_temporarily

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


def _place(tensor: Any) -> str:
    return f"{tensor.device} {tensor.dtype} {tuple(tensor.shape)}"
