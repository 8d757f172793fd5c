"""How often torch.compile traces a full-size UNet, on the meta device: no memory, no arithmetic.

Arguments: architecture, mode, and sizes; prints one line of JSON.
"""

import json
import sys
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch._dynamo.testing import CompileCounter
from torch._dynamo.utils import counters

from bench.workloads import modes
from pipeline.stable_diffusion import components
from pipeline.stable_diffusion.architectures import ARCHITECTURES


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


def main(name: str, mode: str, *sizes: str) -> None:
    counter = CompileCounter()
    torch.compile = partial(torch.compile, backend=counter)  # type: ignore[assignment]
    modes._has_triton = lambda: True
    modes._capture = lambda call: (lambda: None, call())
    compiles = []
    for size in sizes:
        built = components.build(f"arch:{name}", ARCHITECTURES[name].components, "meta", "float16")
        unet = built["unet"]
        pipe = SimpleNamespace(unet=unet, vae=built["vae"], device=SimpleNamespace(type="cuda"))
        modes.apply(pipe, mode)
        before = counter.frame_count
        for _ in range(4):  # steps: all of the same shapes
            with torch.no_grad():
                unet(**arguments_of(unet, int(size)), return_dict=False)
        compiles.append(counter.frame_count - before)
    print(json.dumps({"compiles": compiles, "breaks": sum(counters["graph_break"].values())}))


main(*sys.argv[1:])
