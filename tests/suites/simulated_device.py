"""What the simulated device refuses, and how often a call copies or waits; prints JSON."""

import json
from collections.abc import Callable
from typing import Any

import torch

from bench.measuring import clock
from bench.workloads import modes
from pipeline import pregenerated
from pipeline.flux import network
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.stable_diffusion import diffusion
from simulated_cuda import plugin
from simulated_cuda.tensors import DEVICE


def refusal(call: Callable[[], Any]) -> str:
    try:
        call()
    except (AssertionError, RuntimeError, TypeError) as error:
        return str(error)
    return "allowed"


def captured(call: Callable[[], Any]) -> None:
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        call()


def refusals() -> dict[str, str]:
    plugin.pytest_configure(None)  # type: ignore[arg-type]
    ones = torch.ones(2, device="cuda")

    def read_early() -> None:
        ones.add(1)
        clock.Clock()()

    return {
        "another device": refusal(lambda: ones + torch.ones(2)),
        "its generator": refusal(
            lambda: torch.randn(2, device="cuda", generator=torch.Generator("cpu"))
        ),
        "numpy": refusal(lambda: ones.numpy()),
        "a copy in a capture": refusal(lambda: captured(lambda: ones.cpu())),
        "a wait in a capture": refusal(lambda: captured(torch.cuda.synchronize)),
        "a clock read early": refusal(read_early),
    }


def copies(call: Callable[[], Any]) -> int:
    """How often the host waits for the device inside a call that has been made before."""
    call()
    DEVICE.copies.clear()
    call()
    return sum(DEVICE.copies.values())


def drawing(pipe: Any, steps: int) -> int:
    return copies(lambda: diffusion.sample(pipe, diffusion.PROMPT, [0], (32, 32), steps))


def counts() -> dict[str, int]:
    images = [preprocessing.decode(path) for path in pregenerated.paths()]
    batch = preprocessing.preprocess(images)
    pipe = diffusion.load("tiny", "cuda")
    answer = {"eager": drawing(pipe, 2), "eager, a step more": drawing(pipe, 3)}
    modes.apply(pipe, "graph")
    return answer | {
        "graph": drawing(pipe, 2),
        "graph, a step more": drawing(pipe, 3),
        "preprocess": copies(lambda: preprocessing.preprocess(images, device="cuda")),
        "reference": copies(lambda: network.forward(batch, "cuda")),
    }


print(json.dumps({"refused": refusals(), "copies": counts()}))
