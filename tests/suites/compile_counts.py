"""How often torch.compile traces a UNet of full width, on meta tensors: no arithmetic.

Each block has one layer, and each attention one transformer block: more of them repeat the same
code on the same shapes. Arguments: a mode, and `architecture:size,size` for each architecture;
prints one line of JSON.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch._dynamo.testing import CompileCounter
from torch._dynamo.utils import counters

from bench.workloads import modes
from pipeline.stable_diffusion import components
from pipeline.stable_diffusion.architectures import ARCHITECTURES

STEPS = 4
COUNTER = CompileCounter()


def arguments_of(unet: Any, side: int) -> dict[str, Any]:
    """What a pipeline with guidance gives the UNet for one image."""
    meta = partial(torch.empty, device="meta", dtype=torch.float16)
    tokens, width = 77, unet.config.cross_attention_dim
    arguments = {
        "sample": meta(2, 4, side // 8, side // 8),
        "timestep": torch.empty((), device="meta", dtype=torch.int64),
        "encoder_hidden_states": meta(2, tokens, width),
    }
    if unet.config.addition_embed_type:
        ids = {"text_embeds": meta(2, 1280), "time_ids": meta(2, 6)}
        arguments["added_cond_kwargs"] = ids
    return arguments


def pipe_of(architecture: str) -> Any:
    """The two networks that a mode changes."""
    parts = dict(ARCHITECTURES[architecture].components)
    shallow = {"layers_per_block": 1, "transformer_layers_per_block": 1}
    parts["unet"] = replace(parts["unet"], config={**parts["unet"].config, **shallow})
    parts = {name: parts[name] for name in ("unet", "vae")}
    built = components.build(f"arch:{architecture}", parts, "meta", "float16")
    return SimpleNamespace(**built, device=SimpleNamespace(type="cuda"))


def counted(architecture: str, mode: str, sizes: Sequence[int]) -> dict[str, Any]:
    """Compiles of each size in all its steps, and graph breaks."""
    counters.clear()
    compiles = []
    for size in sizes:
        pipe = pipe_of(architecture)
        modes.apply(pipe, mode)
        before = COUNTER.frame_count
        for _ in range(STEPS):
            with torch.no_grad():
                pipe.unet(**arguments_of(pipe.unet, size), return_dict=False)
        compiles.append(COUNTER.frame_count - before)
    return {"compiles": compiles, "breaks": sum(counters["graph_break"].values())}


def main(mode: str, *texts: str) -> None:
    torch.compile = partial(torch.compile, backend=COUNTER)  # type: ignore[assignment]
    modes._has_triton = lambda: True
    modes._capture = lambda call: (lambda: None, call())
    asked = (text.split(":") for text in texts)
    sizes = {name: [int(size) for size in listed.split(",")] for name, listed in asked}
    print(json.dumps({name: counted(name, mode, sizes[name]) for name in sizes}))


main(*sys.argv[1:])
