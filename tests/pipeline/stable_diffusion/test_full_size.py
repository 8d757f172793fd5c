"""Full-size pipelines without a GPU: devices and types on fake tensors, compiles on meta ones."""

import json

import pytest

from support.helpers import ROOT, fresh_python

SUITES = ROOT / "tests" / "suites"


@pytest.mark.parametrize(
    ("architecture", "latents", "image"),
    [
        ("sd15", (1, 4, 64, 64), "float16 (1, 3, 512, 512)"),
        ("sd21", (1, 4, 96, 96), "float16 (1, 3, 768, 768)"),
        ("sdxl", (1, 4, 128, 128), "float32 (1, 3, 1024, 1024)"),
    ],
)
def test_every_part_stays_on_the_device_in_half_precision(
    architecture: str, latents: tuple[int, ...], image: str
) -> None:
    done = fresh_python(str(SUITES / "fake_cuda.py"), architecture)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "latents": f"cuda:0 torch.float16 {latents}",
        "image": f"cuda:0 torch.{image}",
        "parts": ["cuda:0 torch.float16"],
        "type": "found",
        "device": "found",
    }


@pytest.mark.parametrize(
    ("architecture", "mode", "sizes", "compiles"),
    [
        ("sd15", "compile", (512, 768), 4),
        ("sd21", "compile", (768, 512), 4),
        ("sdxl", "compile", (1024, 768), 2),
        ("sd15", "graph", (512, 768), 1),
    ],
)
def test_a_size_compiles_each_shape_of_a_block_once_and_nothing_breaks_the_graph(
    architecture: str, mode: str, sizes: tuple[int, ...], compiles: int
) -> None:
    """Four steps a size; dynamo gives up at the eighth shape of one block."""
    arguments = (architecture, mode, *map(str, sizes))
    done = fresh_python(str(SUITES / "compile_counts.py"), *arguments)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"compiles": [compiles] * len(sizes), "breaks": 0}
