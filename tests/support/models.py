"""Folders and architectures that tests change: the tiny pipeline's files, and small XL parts."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.stable_diffusion.architectures import ARCHITECTURES, Architecture, ComponentConfig
from pipeline.stable_diffusion.models import TINY

INDEX = "model_index.json"
UNET, VAE, TEXT = "unet/config.json", "vae/config.json", "text_encoder/config.json"

Edit = Callable[[Path], Any]


def without_weights(folder: Path) -> Path:
    """Copy the tiny pipeline's configurations and vocabulary."""
    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return folder


def configure(file: str, **values: Any) -> Edit:
    """Change values of a JSON file."""

    def edit(folder: Path) -> None:
        config = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**config, **values}))

    return edit


def written(file: str, text: str) -> Edit:
    """Replace a file."""
    return lambda folder: (folder / file).write_text(text)


def removed(name: str) -> Edit:
    """Remove a file or a folder."""

    def edit(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return edit


def narrow(config: ComponentConfig, **values: Any) -> ComponentConfig:
    """Change values of a component's configuration."""
    return replace(config, config={**config.config, **values})


def small_xl() -> Architecture:
    """The architecture of XL with everything narrower: the same parts, the same builder."""
    xl = ARCHITECTURES["sdxl"]
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 4, "projection_dim": 32}
    parts = dict(xl.components)
    parts["unet"] = narrow(
        parts["unet"],
        sample_size=8,
        block_out_channels=(32, 32, 64),
        transformer_layers_per_block=1,
        attention_head_dim=4,
        cross_attention_dim=64,
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=32 + 6 * 8,
    )
    parts["vae"] = narrow(parts["vae"], block_out_channels=(32, 32, 32, 32))
    for name in ("text_encoder", "text_encoder_2"):
        parts[name] = narrow(parts[name], **text)
    return Architecture((64, 64), xl.pipeline, parts)
