"""Flux in a process of its own, on the CPU with a real Julia: `answer`."""

import os
import signal
from typing import Any

import torch

from pipeline.errors import PipelineError
from pipeline.flux import apart, network
from pipeline.flux import forward as flux


def line_of(action: Any) -> str:
    try:
        action()
    except PipelineError as error:
        return str(error)
    return "nothing was refused"


answer: dict[str, Any] = {}
model = apart.load(3, "cpu")
here = flux.load(3)
answer["classes"] = model.classes
for count in (1, 8, 2):  # the memory grows, and is used again
    images = torch.rand((count, 3, 224, 224), generator=torch.Generator().manual_seed(count))
    before = images.clone()
    scores = model(images)
    inside, seconds = model.timed(images)
    answer[f"batch {count}"] = {
        "apart": float(abs(scores - network.forward(images)).max()),
        "from this process": float(abs(scores - here(images)).max()),
        "timed": [float(abs(inside - scores).max()), seconds],
        "allocated": [model.allocated(images), here.allocated(images)],
        "bridge": [list(model.bridge(images).shape), bool(model.bridge(images).any())],
        "unchanged": bool((images == before).all()),
    }
apart.reclaim("cpu")
answer["refused"] = {
    "channels": line_of(lambda: apart.load(2, "cpu")),
    "weights": line_of(lambda: apart.load(3, "cpu", weights="absent.safetensors")),
    "batch": line_of(lambda: model(images[:, :1])),
}
(process,) = apart._RUNNING or [apart._process()]
os.kill(process._popen.pid, signal.SIGSEGV)
answer["crash"] = line_of(lambda: model(images))
answer["afterwards"] = float(abs(model(images) - scores).max())
(process,) = apart._RUNNING
apart.end()
answer["ended"] = process._popen.poll()
