"""Configurations are read and built, or refused with one line, without any weights."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline import availability
from pipeline.errors import Missing, PipelineError, UnavailableError
from pipeline.stable_diffusion import components, models
from support.models import (
    INDEX,
    TEXT,
    UNET,
    VAE,
    configure,
    emptied,
    marked,
    removed,
    without_weights,
    written,
)


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
    "a class of another library": (
        configure(INDEX, unet=["pipeline.files", "writing"]),
        r", unet: expected a class that exists, not pipeline\.files\.writing; "
        r"check model_index\.json",
    ),
    "a VAE of another kind": (
        configure(INDEX, vae=["diffusers", "UNet2DConditionModel"]),
        r", vae: expected an AutoencoderKL or AutoencoderTiny or AsymmetricAutoencoderKL; "
        r"choose another model",
    ),
    "an empty entry": (
        configure(INDEX, unet=[]),
        r", unet: expected a library and a class; check model_index\.json",
    ),
    "an entry of a number": (
        configure(INDEX, unet=["diffusers", 3]),
        r", unet: expected a library and a class; check model_index\.json",
    ),
    "an object instead of an entry": (
        configure(INDEX, unet={}),
        r": expected a unet in model_index\.json; copy the folder again",
    ),
    "a config as deep as a well": (
        written(UNET, "[" * 100_000 + "]" * 100_000),
        r": expected JSON in unet/config\.json \(it is nested too deeply\); copy the folder again",
    ),
    "an index as deep as a well": (
        written(INDEX, '{"a":' * 100_000 + "1" + "}" * 100_000),
        r": expected JSON in model_index\.json \(it is nested too deeply\); copy the folder again",
    ),
    "ten million layers a block": (
        configure(UNET, layers_per_block=10**7),
        r", unet: expected a configuration that UNet2DConditionModel can be built from "
        r"\(layers_per_block is 10000000, expected at most 1000\); check its config\.json",
    ),
    "ten million layers of one block": (
        configure(UNET, layers_per_block=[1, 10**7]),
        r", unet: expected a configuration that UNet2DConditionModel can be built from "
        r"\(layers_per_block is \[1, 10000000\], expected at most 1000\); check its config\.json",
    ),
    "a billion training steps": (
        configure("scheduler/scheduler_config.json", num_train_timesteps=10**9),
        r", scheduler: expected a configuration that DDIMScheduler can be built from "
        r"\(num_train_timesteps is 1000000000, expected at most 100000\); check its config\.json",
    ),
    "ten million hidden layers": (
        configure(TEXT, num_hidden_layers=10**7),
        r", text_encoder: expected a configuration that CLIPTextModel can be built from "
        r"\(num_hidden_layers is 10000000, expected at most 1000\); check its config\.json",
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
        r": expected a StableDiffusionPipeline or StableDiffusionXLPipeline or "
        r"StableDiffusion3Pipeline, not FluxPipeline; "
        r"choose another model",
    ),
    **{
        f"a sample_size of {value}": (
            configure(UNET, sample_size=value),
            r", unet: expected a sample_size of one or two whole numbers from 1, not .+; "
            r"check its config\.json",
        )
        for value in (0, -8, "64", 8.5, True, [], [8], [8, 0], [8, 8, 8], ["8", "8"], {"a": 1})
    },
    **{
        f"a byte order mark in {file}": (
            marked(file),
            rf": expected JSON in {re.escape(file)} without a byte order mark; "
            r"save it as plain UTF-8",
        )
        for file in (INDEX, UNET, TEXT, VAE)
    },
    "an empty tokenizer folder": (
        emptied("tokenizer"),
        r", tokenizer: expected a vocabulary in its folder, such as tokenizer\.json; "
        r"copy the folder again",
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


def test_a_network_that_grows_without_end_is_stopped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever number of the configuration it is: XL's UNet has 1 930 modules."""
    monkeypatch.setattr(components, "MOST_MODULES", 100)
    with pytest.raises(PipelineError, match=r"\(it has more than 100 modules\)"):
        components.on_meta(models.resolve(str(folder)), "float32")


OLD = {"feature_extractor_type": "CLIPFeatureExtractor", "size": 224}


@pytest.mark.parametrize(
    ("entry", "config"),
    [
        (["transformers", "CLIPFeatureExtractor"], OLD),
        (["transformers", "CLIPImageProcessor"], None),
        (["transformers", "NoSuchProcessor"], OLD),
        (["nowhere", "Nothing"], None),
        ([], None),
    ],
    ids=str,
)
def test_a_part_that_no_call_needs_refuses_nothing(
    folder: Path, entry: list[str], config: dict[str, Any] | None
) -> None:
    """SD 2.1 and many fine-tunes name CLIPFeatureExtractor, which transformers 5 dropped."""
    configure(INDEX, feature_extractor=entry)(folder)
    if config is not None:
        (folder / "feature_extractor").mkdir()
        written("feature_extractor/preprocessor_config.json", json.dumps(config))(folder)
    model = models.resolve(str(folder))
    components.import_classes(model)
    assert set(components.on_meta(model, "float32").networks) == {"text_encoder", "unet", "vae"}


@pytest.mark.parametrize("name", ["dtype", "torch_dtype"])
@pytest.mark.parametrize("file", [TEXT, UNET, VAE])
@pytest.mark.parametrize("stored", ["float16", "bfloat16"])
def test_a_stored_type_gives_way_to_the_asked_one(
    folder: Path, file: str, name: str, stored: str
) -> None:
    """The published configuration of XL stores float16 for its second text encoder."""
    import torch

    configure(file, **{name: stored})(folder)
    parts = components.on_meta(models.resolve(str(folder)), "float32")
    types = {tensor.dtype for network in parts.networks.values() for tensor in network.parameters()}
    assert types == {torch.float32}
