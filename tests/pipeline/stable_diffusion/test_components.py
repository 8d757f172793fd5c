"""Configurations are read and built, or refused with one line, without any weights."""

import re
import shutil
from pathlib import Path

import pytest

from pipeline import availability
from pipeline.errors import Missing, PipelineError, UnavailableError
from pipeline.stable_diffusion import components, models
from support.models import INDEX, TEXT, UNET, VAE, configure, removed, without_weights, written


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return without_weights(tmp_path / "model")


BAD = {
    "missing config": (
        removed(UNET),
        r": expected a file unet/config\.json \(No such file or directory\); copy the folder again",
    ),
    "malformed config": (
        written(VAE, "{"),
        r": expected JSON in vae/config\.json \(.+\); copy the folder again",
    ),
    "config of nothing": (
        written(UNET, "[]"),
        r": expected a JSON object in unet/config\.json; copy the folder again",
    ),
    "malformed index": (
        written(INDEX, "…"),
        r": expected JSON in model_index\.json \(.+\); copy the folder again",
    ),
    "no such class": (
        configure(INDEX, unet=["diffusers", "UNet9D"]),
        r", unet: expected a class that exists, not diffusers\.UNet9D; check model_index\.json",
    ),
    "no such library": (
        configure(INDEX, unet=["os", "system"]),
        r", unet: expected a class that exists, not os\.system; check model_index\.json",
    ),
    "a class of another kind": (
        configure(INDEX, unet=["diffusers", "AutoencoderKL"]),
        r", unet: expected a UNet2DConditionModel; choose another model",
    ),
    "half an entry": (
        configure(INDEX, unet=["diffusers"]),
        r", unet: expected a library and a class; check model_index\.json",
    ),
    "no unet": (
        configure(INDEX, unet=[None, None]),
        r": expected a unet in model_index\.json; copy the folder again",
    ),
    "another pipeline": (
        configure(INDEX, _class_name="FluxPipeline"),
        r": expected a StableDiffusionPipeline or StableDiffusionXLPipeline, not FluxPipeline; "
        r"choose another model",
    ),
    "no tokenizer": (
        removed("tokenizer"),
        r": expected a folder tokenizer; copy it again",
    ),
    "a config that the class refuses": (
        configure(UNET, block_out_channels=[8, 16, 32]),
        r", unet: expected a configuration that UNet2DConditionModel can be built from \(.+\); "
        r"check its config\.json",
    ),
    "a type that the class refuses": (
        configure(TEXT, hidden_size="wide"),
        r", text_encoder: expected a configuration that CLIPTextModel can be built from \(.+\); "
        r"check its config\.json",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_folder_that_makes_no_pipeline_is_refused_with_one_line(folder: Path, name: str) -> None:
    edit, line = BAD[name]
    edit(folder)
    with pytest.raises(PipelineError) as refused:
        components.on_meta(models.resolve(str(folder)), "float32")
    assert re.fullmatch(rf"--sd-model {re.escape(str(folder))}{line}", str(refused.value))


def test_networks_are_on_the_meta_device_in_their_type(folder: Path) -> None:
    import torch

    parts = components.on_meta(models.resolve(str(folder)), "bfloat16")
    assert set(parts.networks) == {"text_encoder", "unet", "vae"}
    for network in parts.networks.values():
        assert {tensor.device.type for tensor in network.parameters()} == {"meta"}
        assert {tensor.dtype for tensor in network.parameters()} == {torch.bfloat16}
        assert not network.training, "from_pretrained gives networks that do not train"
    assert (parts.scale, parts.multiple, parts.guided, parts.default_size) == (8, 8, True, (64, 64))
    assert torch.get_default_dtype() == torch.float32


def test_a_hub_id_that_cannot_be_had_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Missing("weights", "weights", "no weights: this test hides them", "run another test")
    monkeypatch.setattr(availability, "weights", lambda name: missing)
    with pytest.raises(UnavailableError) as refused:
        components.read(models.resolve("owner/name"))
    assert str(refused.value) == (
        "--sd-model owner/name: expected weights; "
        "no weights: this test hides them; run another test"
    )


def test_a_hub_id_in_the_cache_is_read_there(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache laid out as the hub's client does; nothing is downloaded."""
    from huggingface_hub import constants

    cached = tmp_path / "hub" / "models--owner--name"
    commit = "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(folder, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    offline = Missing("network", "the model hub", "this test hides it", "run another test")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(availability, "network", lambda: offline)
    model = models.resolve("owner/name")
    index, parts = components.read(model)
    assert index["_class_name"] == "StableDiffusionPipeline"
    assert parts["unet"].config["cross_attention_dim"] == 32
    assert parts["tokenizer"].folder == cached / "snapshots" / commit / "tokenizer"
