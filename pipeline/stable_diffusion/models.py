"""Which Stable Diffusion: a hub id, a folder, or a published architecture with seeded weights."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline import availability
from pipeline.errors import PipelineError, UnavailableError, one_line
from pipeline.files import FIXTURES
from pipeline.stable_diffusion import components, kinds, weights
from pipeline.stable_diffusion.architectures import ARCHITECTURES, Architecture, Model

__all__ = ["TINY", "Model", "bytes_of", "is_on_hub", "load", "resolve"]

SEED = 2026
TINY = FIXTURES / "tiny-sd"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def resolve(name: str) -> Model:
    """Return what `name` means: `tiny`, `arch:…`, a folder, or a hub id; nothing is loaded.

    Raises `PipelineError` for any other name, or a folder without `model_index.json`.
    """
    if name == "tiny":
        return Model(name, "tiny", "tiny, trained", (64, 64), 8, TINY)
    if name.startswith("arch:"):
        label = name.removeprefix("arch:")
        if label not in ARCHITECTURES:
            known = ", ".join(f"arch:{key}" for key in ARCHITECTURES)
            raise PipelineError(f"--sd-model {name}", f"one of {known}", "choose one of them")
        return Model(name, label, f"{label}, seeded random", ARCHITECTURES[label].size, 30)
    try:
        folder = Path(name).expanduser()
        exists = folder.exists()
    except (OSError, RuntimeError):  # the name is too long, or the user of `~user` does not exist
        exists = False
    if exists:
        if not (folder / "model_index.json").is_file():
            given, expected = f"--sd-model {name}", "a folder with a model_index.json"
            raise PipelineError(given, expected, "name the folder that save_pretrained wrote")
        label = folder.resolve().name
        return Model(name, label, f"folder {label}", None, 30, folder)
    if _HUB_ID.fullmatch(name):
        return Model(name, name, name, None, 30)
    expected = "tiny, arch:NAME, an existing folder, or a hub id such as owner/name"
    raise PipelineError(f"--sd-model {name}", expected, "check the spelling")


def is_on_hub(name: str) -> bool:
    """Say whether `name` is a hub id; raises as `resolve`."""
    return resolve(name).folder is None and not name.startswith("arch:")


def bytes_of(model: Model) -> int | None:
    """Return the bytes of a folder's weights, of one variant; None for no folder."""
    if model.folder is None:
        return None
    files = list(model.folder.glob("*/*.safetensors"))
    whole = [file for file in files if ".fp16." not in file.name]
    return sum(file.stat().st_size for file in whole or files)


def load(model: Model, device: str, dtype: str) -> Any:
    """Return the model's diffusers pipeline on `device` (`cpu`, `cuda`) in `dtype` (a torch name).

    Reads weights from safetensors alone and runs no remote code. Raises `UnavailableError` where a
    hub id is neither cached nor reachable; `PipelineError` where a folder cannot be loaded, has
    not all the weights, or holds another kind of pipeline than text-to-image.
    """
    components.quiet()
    if model.name.startswith("arch:"):
        pipe = _from_architecture(model, ARCHITECTURES[model.label], device, dtype)
    else:
        pipe = _from_pretrained(model, dtype)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def _from_pretrained(model: Model, dtype: str) -> Any:
    import torch
    from diffusers import DiffusionPipeline

    given = f"--sd-model {model.name}"
    if model.folder is None:
        absent = availability.weights(model.name)
        if absent is not None:
            raise UnavailableError(given, absent)
    try:
        folder = model.folder or _download(model.name)
        local = replace(model, folder=folder)
        index, configs = components.read(local)
        chosen = kinds.text_to_image(model.name, index.get("_class_name")) or DiffusionPipeline
        _require_folders(folder, index)
        kind = getattr(torch, dtype)
        left_out = {  # such as the T5 of SD 3: diffusers asks for it all the same
            name: None
            for name, entry in index.items()
            if isinstance(entry, list) and entry[:1] == [None]
        }
        return chosen.from_pretrained(
            folder,
            dtype=kind,
            use_safetensors=True,
            low_cpu_mem_usage=False,
            **left_out,
            **weights.load_networks(model.name, folder, configs, kind),
        )
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # diffusers and transformers may raise anything for a bad file
        absent = availability.rest_of(model.name) if model.folder is None else None
        if absent is not None:
            raise UnavailableError(given, absent) from error
        if isinstance(error, PipelineError):
            raise
        expected = f"a pipeline that diffusers can load ({one_line(error, 500)})"
        remedy = "check the folder or the id; weights must be safetensors"
        raise PipelineError(given, expected, remedy) from error


def _download(name: str) -> Path:
    """Download a hub id, in the variant that there is; return its folder in the cache."""
    from diffusers import DiffusionPipeline

    offline = availability.network() is not None

    def download(variant: str | None) -> Path:
        options = {"use_safetensors": True, "variant": variant, "local_files_only": offline}
        return Path(DiffusionPipeline.download(name, **options))

    try:
        return download(None)
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            return download("fp16")
        raise


def _require_folders(folder: Path, index: Mapping[str, Any]) -> None:
    """Raise ValueError for a component of the index without a folder, or with an empty one.

    diffusers loads a pipeline without its tokenizer's files, which then fails on the first prompt.
    """
    for part, entry in index.items():
        named = isinstance(entry, list) and entry[:1] != [None] and not part.startswith("_")
        if named and not (folder / part).is_dir():
            raise ValueError(f"it has no folder {part}")
        if named and not any((folder / part).iterdir()):
            raise ValueError(f"its folder {part} is empty")


def _from_architecture(model: Model, architecture: Architecture, device: str, dtype: str) -> Any:
    """Build every component with seeded weights, on the device itself."""
    import diffusers
    import torch

    seeded = []
    if device.startswith("cuda"):
        index = torch.device(device).index
        seeded = [torch.cuda.current_device() if index is None else index]
    with torch.random.fork_rng(devices=seeded):
        torch.manual_seed(SEED)
        built = components.build(model.name, architecture.components, device, dtype)
    return getattr(diffusers, architecture.pipeline)(
        **built, **_WITHOUT.get(architecture.pipeline, {})
    )


_WITHOUT: dict[str, dict[str, Any]] = {
    "StableDiffusionPipeline": {
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    },
    "StableDiffusionXLPipeline": {"add_watermarker": False},
}
"""What a pipeline would add to every image, and no architecture includes."""
