"""Stable Diffusion 3 on the meta device: its own walk, which counts what a real call computes."""

from pathlib import Path

import pytest

from pipeline.stable_diffusion import components, diffusion, models
from pipeline.stable_diffusion.models import Model
from pipeline.validation import meta
from support.models import configure, tiny_sd3

CROSSED = [
    "size",
    "token ids",
    "token ids 2",
    "text embeddings",
    "pooled text",
    "latents",
    "transformer output",
    "decoded image",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sd3(tmp_path_factory.mktemp("mmdit"))


@pytest.fixture
def changed(folder: Path, tmp_path: Path) -> Path:
    """A copy of its configurations."""
    import shutil

    ignore = shutil.ignore_patterns("*.safetensors")
    return shutil.copytree(folder, tmp_path / "changed", ignore=ignore)


def model(folder: Path) -> Model:
    return models.resolve(str(folder))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_boundary_is_crossed_without_weights(folder: Path, dtype: str) -> None:
    walked = meta.walk(model(folder), (64, 32), 2, dtype)
    assert walked.violations == []
    assert [boundary.name for boundary in walked.boundaries] == CROSSED
    found = {boundary.name: boundary.found for boundary in walked.boundaries}
    assert found["text embeddings"] == f"(4, {77 + 256}, 64) {dtype}"
    assert found["pooled text"] == f"(4, 64) {dtype}"
    assert found["transformer output"] == f"(4, 4, 4, 8) {dtype}"
    assert found["decoded image"] == f"(2, 3, 32, 64) {dtype}"


def test_the_operations_are_those_of_a_real_call(folder: Path) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    cost = meta.cost(model(folder), (64, 64), 1, "float32")
    pipe = diffusion.load(str(folder), "cpu")
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH):  # the CPU's fused attention is not counted
        diffusion.sample(pipe, "river", [0], (64, 64), 2, guidance=7.0)
    assert cost.flops(meta.unet_calls(model(folder), 2)) == counter.get_total_flops()
    assert cost.denoiser == "transformer"
    networks = (part for part in pipe.components.values() if hasattr(part, "parameters"))
    assert cost.parameters == sum(p.numel() for part in networks for p in part.parameters())


def test_a_size_that_no_patch_divides_is_the_first_broken_boundary(changed: Path) -> None:
    configure("transformer/config.json", patch_size=2)(changed)
    walked = meta.walk(model(changed), (64, 40), 1, "float32")
    [violation] = walked.violations
    assert str(violation) == "size: 64x40, expected sides divisible by 16; try 64x32 or 64x48"


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {"pooled_projection_dim": 48},
            "pooled text: width 64, expected 48, the transformer's; "
            "take text encoders and transformer from one model",
        ),
        (
            {"in_channels": 8},
            "latents: 8 channels, the transformer's, expected 4, the VAE's latent_channels; "
            "take transformer and VAE from one text-to-image model",
        ),
    ],
)
def test_parts_of_two_models_break_a_boundary(
    changed: Path, values: dict[str, int], line: str
) -> None:
    configure("transformer/config.json", **values)(changed)
    [violation] = meta.walk(model(changed), (64, 64), 1, "float32").violations
    assert str(violation) == line


def test_the_default_size_is_that_of_the_transformer(folder: Path) -> None:
    assert components.on_meta(model(folder), "float32").default_size == (64, 64)


def test_the_medium_architecture_walks_through_three_text_encoders() -> None:
    walked = meta.walk(models.resolve("arch:sd35-medium"), (1024, 768), 1, "bfloat16")
    assert walked.violations == []
    found = {boundary.name: boundary.found for boundary in walked.boundaries}
    assert found["token ids 3"] == "(1, 256) int64"
    assert found["text embeddings"] == "(2, 333, 4096) bfloat16"
    assert found["pooled text"] == "(2, 2048) bfloat16"
    assert found["transformer output"] == "(2, 16, 96, 128) bfloat16"
