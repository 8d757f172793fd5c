"""Full-size pipelines without a GPU: devices and types on fake tensors, compiles on meta ones."""

import pytest

from support import compile_counts, fake_cuda

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's compiler, which changes quickly


@pytest.mark.parametrize(
    ("label", "latents", "image"),
    [
        ("sd15", "(1, 4, 64, 64)", "float16 (1, 3, 512, 512)"),
        ("sd21", "(1, 4, 96, 96)", "float16 (1, 3, 768, 768)"),
        ("sdxl", "(1, 4, 128, 128)", "float32 (1, 3, 1024, 1024)"),
    ],
)
def test_every_part_stays_on_the_device_in_half_precision(
    label: str, latents: str, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text encoders, UNet, scheduler steps and decode; a wrong type or device is an error."""
    assert fake_cuda.placed(label, monkeypatch) == {
        "latents": f"cuda:0 torch.float16 {latents}",
        "image": f"cuda:0 torch.{image}",
        "parts": ["cuda:0 torch.float16"],
        "type": "found",
        "device": "found",
    }


SIZES = {"sd15": [512, 768], "sd21": [768, 512], "sdxl": [1024, 768]}


@pytest.mark.parametrize(
    ("mode", "compiles"),
    [
        ("compile", {"sd15": [4, 4], "sd21": [4, 4], "sdxl": [2, 2]}),
        ("graph", {"sd15": [1, 1], "sd21": [1, 1], "sdxl": [1, 1]}),
    ],
)
def test_a_size_compiles_each_shape_of_a_block_once_and_nothing_breaks_the_graph(
    mode: str, compiles: dict[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dynamo gives up at the eighth shape of one block.

    The UNets have their full width and one layer a block, which leaves out repeated shapes alone:
    at full depth sd15 compiles as often, in both modes. For `graph` they have two levels.
    """
    assert compile_counts.counted(mode, SIZES, monkeypatch) == {
        name: {"compiles": compiles[name], "breaks": 0} for name in SIZES
    }
