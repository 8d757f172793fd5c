"""Weights of a folder: every tensor that its configurations name, or a line that names the rest."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError, plain
from pipeline.stable_diffusion import components
from pipeline.stable_diffusion.architectures import ComponentConfig

__all__ = ["load_networks", "variant_of"]

NAMED = 3
"""Tensors that a line names; it counts the others."""

_WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|model)(?:\.(?P<variant>[\w-]+?))?"
    r"(?:-\d{5}-of-\d{5})?\.safetensors"
)

logger = logging.getLogger(__name__)


def load_networks(
    name: str, folder: Path, configs: Mapping[str, ComponentConfig], dtype: Any
) -> dict[str, Any]:
    """Return the networks of the model `name` with their weights, in `dtype` (torch's), on the CPU.

    Tensors that the files have and the network does not are one line of a log. Raises
    `PipelineError` for tensors that are missing or of another shape, and what the libraries raise
    for files that they cannot read.
    """
    import torch

    networks = {}
    for part, config in configs.items():
        class_ = components.class_of(name, part, config)
        if issubclass(class_, torch.nn.Module):
            networks[part] = _load(f"--sd-model {name}, {part}", folder / part, class_, dtype)
    return networks


def variant_of(folder: Path) -> str | None:
    """Return the variant that a component's weights exist in alone, such as `fp16`; else None."""
    matches = [match for path in folder.iterdir() if (match := _WEIGHTS.fullmatch(path.name))]
    variants = {match["variant"] for match in matches}
    if not variants or None in variants:
        return None
    return "fp16" if "fp16" in variants else min(variants)


def _load(label: str, folder: Path, class_: Any, dtype: Any) -> Any:
    is_transformers = hasattr(class_, "config_class")
    options: dict[str, Any] = {"dtype" if is_transformers else "torch_dtype": dtype}
    variant = variant_of(folder)
    if variant is not None:
        options["variant"] = variant
    with components.bounded():
        network, info = class_.from_pretrained(
            folder,
            use_safetensors=True,
            low_cpu_mem_usage=False,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are named below
            **options,
        )
    buffers = {key for key, _ in network.named_buffers()}
    missing = sorted(info["missing_keys"])
    mismatched = sorted(
        f"{key} of shape {tuple(given)} instead of {tuple(needed)}"
        for key, given, needed in info["mismatched_keys"]
    )
    unexpected = sorted(key for key in info["unexpected_keys"] if key not in buffers)
    if missing or mismatched:
        faults = {" missing": missing, "": mismatched, " unexpected": unexpected}
        text = "; ".join(f"{_names(keys)}{fault}" for fault, keys in faults.items() if keys)
        expected = f"every tensor of its configuration in its weights ({text})"
        raise PipelineError(label, expected, "copy the folder again, or check its config.json")
    if unexpected:
        surplus = f"the weights have what the network does not: {_names(unexpected)}"
        logger.warning("%s", plain(f"{label}: {surplus}; check its config.json"))
    return network


def _names(keys: list[str]) -> str:
    """Return the first tensors by name, and how many others there are."""
    rest = len(keys) - NAMED
    return ", ".join(keys[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
