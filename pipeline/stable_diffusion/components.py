"""The components of a Stable Diffusion: their configurations, and building them without weights."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline import availability
from pipeline.arguments import Size
from pipeline.errors import PipelineError, UnavailableError
from pipeline.stable_diffusion.architectures import ARCHITECTURES, ComponentConfig, Model

__all__ = ["Components", "build", "import_classes", "is_known", "on_meta", "quiet", "read"]

CONFIGURATIONS = ("*.json", "*/*.json", "*/*.txt", "*/*.model")
"""Files of a hub id that hold configurations and vocabularies, no weights."""

_TEXT_ENCODERS = ("text_encoder", "text_encoder_2")
_TOKENIZERS = ("tokenizer", "tokenizer_2")
_ENCODER_COUNTS = {"StableDiffusionPipeline": 1, "StableDiffusionXLPipeline": 2}
"""The pipelines that are known, and how many text encoders each has."""
_BASES = {
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
    "scheduler": "SchedulerMixin",
    **dict.fromkeys(_TEXT_ENCODERS, "PreTrainedModel"),
    **dict.fromkeys(_TOKENIZERS, "PreTrainedTokenizerBase"),
}
"""The class that each component must be, or inherit from."""


@dataclass(frozen=True)
class Components:
    """The components of a pipeline, with its networks on the meta device."""

    zeros_for_empty: bool
    """Whether zeros replace the embeddings of an empty prompt, as in XL."""
    networks: Mapping[str, Any]
    text_encoders: tuple[Any, ...]
    tokenizers: tuple[Any, ...]
    unet: Any
    decoder: Any
    """The VAE as it decodes: in float32 where float16 would overflow in XL (`force_upcast`)."""
    scheduler: Any

    @property
    def is_xl(self) -> bool:
        """Whether there are two text encoders and added conditions."""
        return len(self.text_encoders) > 1

    @property
    def scale(self) -> int:
        """Pixels a side of the image for one latent."""
        return int(2 ** (len(self.decoder.config.block_out_channels) - 1))

    @property
    def multiple(self) -> int:
        """What each side of an image must be divisible by; diffusers demands 8 at least."""
        return max(8, self.scale)

    @property
    def guided(self) -> bool:
        """Whether the UNet runs on two copies of the batch, for classifier-free guidance.

        It does not where the UNet takes the guidance scale as an input.
        """
        return self.unet.config.time_cond_proj_dim is None

    @property
    def default_size(self) -> Size | None:
        """The size that the pipeline draws by default; None where its UNet names none."""
        sides = self.unet.config.sample_size
        if sides is None:
            return None
        height, width = (sides, sides) if isinstance(sides, int) else sides
        return width * self.scale, height * self.scale


@lru_cache(maxsize=4)
def on_meta(model: Model, dtype: str) -> Components:
    """Return the components of `model` in `dtype` (a torch name), without weights.

    Raises as `read` and `build`, and `PipelineError` for another kind of pipeline, or one that
    lacks a component.
    """
    import torch

    index, configs = read(model)
    kind = str(index.get("_class_name"))
    if kind not in _ENCODER_COUNTS:
        expected = f"a {' or '.join(_ENCODER_COUNTS)}, not {kind}"
        raise PipelineError(f"--sd-model {model.name}", expected, "choose another model")
    count = _ENCODER_COUNTS[kind]
    encoders, tokenizers = _TEXT_ENCODERS[:count], _TOKENIZERS[:count]
    for name in ("unet", "vae", "scheduler", *encoders, *tokenizers):
        if name not in configs:
            expected = f"a {name} in model_index.json"
            raise PipelineError(f"--sd-model {model.name}", expected, "copy the folder again")
        bases = _class(model.name, name, configs[name]).__mro__
        if _BASES[name] not in (base.__name__ for base in bases):
            given, expected = f"--sd-model {model.name}, {name}", f"a {_BASES[name]}"
            raise PipelineError(given, expected, "choose another model")
    built = build(model.name, configs, "meta", dtype)
    is_xl = count > 1
    decoder = built["vae"]
    if is_xl and dtype == "float16" and decoder.config.force_upcast:
        decoder = build(model.name, {"vae": configs["vae"]}, "meta", "float32")["vae"]
    return Components(
        is_xl and bool(index.get("force_zeros_for_empty_prompt", True)),
        {name: part for name, part in built.items() if isinstance(part, torch.nn.Module)},
        tuple(built[name] for name in encoders),
        tuple(built[name] for name in tokenizers),
        built["unet"],
        decoder,
        built["scheduler"],
    )


def is_known(model: Model) -> bool:
    """Say whether `on_meta` knows this kind of pipeline; raises as `read`."""
    return str(read(model)[0].get("_class_name")) in _ENCODER_COUNTS


def read(model: Model) -> tuple[dict[str, Any], dict[str, ComponentConfig]]:
    """Return a model's index and the components that it names, from configuration files alone.

    Downloads those of a hub id where they are not cached. Raises `UnavailableError` where that
    cannot be done, `PipelineError` for a file that is missing or damaged.
    """
    if model.name.startswith("arch:"):
        architecture = ARCHITECTURES[model.label]
        return {"_class_name": architecture.pipeline}, dict(architecture.components)
    folder = model.folder or _download(model.name)
    try:
        index = _load(model.name, folder, "model_index.json")
        configs = {
            name: _component(model.name, folder, name, entry)
            for name, entry in index.items()
            if isinstance(entry, list) and not name.startswith("_") and entry[:1] != [None]
        }
    except PipelineError as error:
        absent = availability.rest_of(model.name) if model.folder is None else None
        if absent is not None:
            raise UnavailableError(f"--sd-model {model.name}", absent) from error
        raise
    return index, configs


def build(
    name: str, configs: Mapping[str, ComponentConfig], device: str, dtype: str
) -> dict[str, Any]:
    """Build components of the model `name` on `device`, which may be `meta`, in `dtype`.

    Networks get random weights; tokenizers and schedulers stay on the CPU. Raises `PipelineError`
    for a class that does not exist and, on `meta`, for one that refuses its configuration.
    """
    import torch

    quiet()
    classes = {part: _class(name, part, config) for part, config in configs.items()}
    built = {}
    for part, config in configs.items():
        before = torch.get_default_dtype()
        try:
            if issubclass(classes[part], torch.nn.Module):
                torch.set_default_dtype(getattr(torch, dtype))
                with torch.device(device):
                    built[part] = _construct(classes[part], config).eval()  # as from_pretrained
            else:
                built[part] = _construct(classes[part], config)
        except Exception as error:  # a class may raise anything for a configuration it refuses
            if device != "meta":  # memory may have run out
                raise
            expected = f"a configuration that {config.class_name} can be built from ({error})"
            given = f"--sd-model {name}, {part}"
            raise PipelineError(given, expected, "check its config.json") from error
        finally:
            torch.set_default_dtype(before)
    return built


def import_classes(model: Model) -> None:
    """Import what `model` is built with; raises as `read` and `build`."""
    quiet()
    for name, config in read(model)[1].items():
        _class(model.name, name, config)


def quiet() -> None:
    """Silence the logs of diffusers and transformers: whatever matters is raised."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity(logging.CRITICAL)
        logging.disable_progress_bar()


def _construct(component: Any, config: ComponentConfig) -> Any:
    if config.folder is not None:
        return component.from_pretrained(config.folder)
    if hasattr(component, "config_class"):  # transformers
        return component(component.config_class.from_dict(dict(config.config)))
    return component.from_config(dict(config.config))


def _class(name: str, part: str, config: ComponentConfig) -> Any:
    import diffusers
    import transformers

    libraries = {"diffusers": diffusers, "transformers": transformers}
    library = libraries.get(config.library) or getattr(diffusers.pipelines, config.library, None)
    component = getattr(library, config.class_name, None)
    if component is None:
        expected = f"a class that exists, not {config.library}.{config.class_name}"
        raise PipelineError(f"--sd-model {name}, {part}", expected, "check model_index.json")
    return component


def _component(name: str, folder: Path, part: str, entry: list[Any]) -> ComponentConfig:
    """Read the configuration of one entry of the index, a library and a class."""
    if len(entry) != 2 or not all(isinstance(word, str) for word in entry):
        given, expected = f"--sd-model {name}, {part}", "a library and a class"
        raise PipelineError(given, expected, "check model_index.json")
    library, class_name = entry
    if class_name.endswith(("Tokenizer", "TokenizerFast", "Processor", "FeatureExtractor")):
        if not (folder / part).is_dir():
            raise PipelineError(f"--sd-model {name}", f"a folder {part}", "copy it again")
        return ComponentConfig(library, class_name, folder=folder / part)
    file = "scheduler_config.json" if class_name.endswith("Scheduler") else "config.json"
    return ComponentConfig(library, class_name, _load(name, folder, f"{part}/{file}"))


def _load(name: str, folder: Path, file: str) -> dict[str, Any]:
    """Read a JSON object from one of the model's files."""
    expected = f"a JSON object in {file}"
    cause: Exception | None = None
    try:
        content = json.loads((folder / file).read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    except (OSError, ValueError) as error:  # ValueError: not JSON, or not UTF-8
        cause, expected = error, f"JSON in {file} ({error})"
        if isinstance(error, OSError):
            expected = f"a file {file} ({error.strerror})"
    raise PipelineError(f"--sd-model {name}", expected, "copy the folder again") from cause


def _download(name: str) -> Path:
    """Download the configurations of a hub id, no weights; return their folder in the cache."""
    from huggingface_hub import snapshot_download

    absent = availability.weights(name)
    if absent is not None:
        raise UnavailableError(f"--sd-model {name}", absent)
    offline = availability.network() is not None
    try:
        return Path(
            snapshot_download(name, allow_patterns=list(CONFIGURATIONS), local_files_only=offline)
        )
    except (OSError, ValueError) as error:  # huggingface_hub raises these two
        expected = f"a model of the hub ({error})"
        raise PipelineError(f"--sd-model {name}", expected, "check the id") from error
