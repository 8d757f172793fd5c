"""Full-size pipelines without a GPU: devices and types on fake tensors, compiles on meta ones."""

import json
from typing import Any

import pytest

from support.helpers import ROOT, fresh_python

SUITES = ROOT / "tests" / "suites"


def answer_of(suite: str, *arguments: str) -> Any:
    done = fresh_python(str(SUITES / suite), *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_part_stays_on_the_device_in_half_precision() -> None:
    """Text encoders, UNet, scheduler steps and decode; a wrong type or device is an error."""
    placed = {
        "sd15": ("(1, 4, 64, 64)", "float16 (1, 3, 512, 512)"),
        "sd21": ("(1, 4, 96, 96)", "float16 (1, 3, 768, 768)"),
        "sdxl": ("(1, 4, 128, 128)", "float32 (1, 3, 1024, 1024)"),
    }
    assert answer_of("fake_cuda.py", *placed) == {
        name: {
            "latents": f"cuda:0 torch.float16 {latents}",
            "image": f"cuda:0 torch.{image}",
            "parts": ["cuda:0 torch.float16"],
            "type": "found",
            "device": "found",
        }
        for name, (latents, image) in placed.items()
    }


@pytest.mark.parametrize(
    ("mode", "sizes", "compiles"),
    [
        (
            "compile",
            {"sd15": [512, 768], "sd21": [768, 512], "sdxl": [1024, 768]},
            {"sd15": 4, "sd21": 4, "sdxl": 2},
        ),
        (
            "graph",
            {"sd15": [512, 768], "sd21": [768], "sdxl": [1024]},
            {"sd15": 1, "sd21": 1, "sdxl": 1},
        ),
    ],
)
def test_a_size_compiles_each_shape_of_a_block_once_and_nothing_breaks_the_graph(
    mode: str, sizes: dict[str, list[int]], compiles: dict[str, int]
) -> None:
    """Four steps a size; dynamo gives up at the eighth shape of one block.

    The UNets have their full width and one layer a block, which leaves out repeated shapes alone:
    at full depth sd15 compiles as often, in both modes.
    """
    asked = [f"{name}:{','.join(map(str, listed))}" for name, listed in sizes.items()]
    assert answer_of("compile_counts.py", mode, *asked) == {
        name: {"compiles": [compiles[name]] * len(listed), "breaks": 0}
        for name, listed in sizes.items()
    }
