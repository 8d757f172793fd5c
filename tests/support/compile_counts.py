"""How often torch.compile traces a UNet of full width, on meta tensors: no arithmetic.

It has one layer a block; where it is one graph (mode `graph`) its first and last level alone.
"""

from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from bench.workloads import modes
from pipeline.stable_diffusion import components
from pipeline.stable_diffusion.architectures import ARCHITECTURES
from pipeline.stable_diffusion.collector import paused
from support.models import one_layer, two_levels

STEPS = 4
"""Dynamo compiles a value that changes anew in the second step, and as any value in the third."""


class Counter:
    """A backend of torch.compile that makes no code: its function returns empty tensors."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, traced: Any, inputs: Sequence[Any]) -> Any:
        import torch

        self.graphs += 1
        [output] = (node for node in traced.graph.nodes if node.op == "output")
        results = [node.meta["example_value"] for node in output.args[0]]
        like = [(result.shape, result.stride(), result.dtype) for result in results]
        return lambda *_: [
            torch.empty_strided(shape, strides, dtype=dtype, device="meta")
            for shape, strides, dtype in like
        ]


def counted(mode: str, sizes: dict[str, list[int]], patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Compiles of each size of each architecture in all its steps, and graph breaks."""
    import torch

    counter = Counter()
    patch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    patch.setattr(modes, "_has_triton", lambda: True)
    patch.setattr(modes, "_capture", lambda call: (lambda: None, call()))
    try:
        with paused():  # tracing makes many objects, and searching them takes a fifth of its time
            return {name: _counted(name, mode, sizes[name], counter) for name in sizes}
    finally:
        torch.compiler.reset()


def _counted(
    architecture: str, mode: str, sizes: Sequence[int], counter: Counter
) -> dict[str, Any]:
    import torch
    from torch._dynamo.utils import counters

    counters.clear()
    compiles = []
    for size in sizes:
        pipe = _pipe_of(architecture, mode)
        modes.apply(pipe, mode)
        before = counter.graphs
        for _ in range(STEPS):
            with torch.no_grad():
                pipe.unet(**_arguments_of(pipe.unet, size), return_dict=False)
        compiles.append(counter.graphs - before)
    return {"compiles": compiles, "breaks": sum(counters["graph_break"].values())}


def _pipe_of(architecture: str, mode: str) -> Any:
    """The two networks that a mode changes."""
    parts = ARCHITECTURES[architecture].components
    smaller = one_layer if mode == "compile" else two_levels
    chosen = {"unet": smaller(parts["unet"]), "vae": parts["vae"]}
    built = components.build(f"arch:{architecture}", chosen, "meta", "float16")
    return SimpleNamespace(**built, device=SimpleNamespace(type="cuda"))


def _arguments_of(unet: Any, side: int) -> dict[str, Any]:
    """What a pipeline with guidance gives the UNet for one image."""
    import torch

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
