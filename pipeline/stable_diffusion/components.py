"""The components of a Stable Diffusion: their configurations, and building them without weights."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import availability
from pipeline.arguments import Size
from pipeline.errors import PipelineError, UnavailableError
from pipeline.stable_diffusion.architectures import ARCHITECTURES, Part

if TYPE_CHECKING:
    from pipeline.stable_diffusion.models import Model

__all__ = ["Components", "build", "import_classes", "is_known", "on_meta", "quiet", "read"]

CONFIGURATIONS = ("*.json", "*/*.json", "*/*.txt", "*/*.model")
"""The files of a hub id that are no weights: configurations and vocabularies."""


_TEXT_ENCODERS = ("text_encoder", "text_encoder_2")
_TOKENIZERS = ("tokenizer", "tokenizer_2")
_PARTS = ("unet", "vae", "scheduler")
_KINDS = {"StableDiffusionPipeline": 1, "StableDiffusionXLPipeline": 2}
"""The pipelines that are known, and how many text encoders each has."""
_BASES = {
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
    "scheduler": "SchedulerMixin",
    "text_encoder": "PreTrainedModel",
    "text_encoder_2": "PreTrainedModel",
    "tokenizer": "PreTrainedTokenizerBase",
    "tokenizer_2": "PreTrainedTokenizerBase",
}
"""The class that each part must be, or come from."""


@dataclass(frozen=True)
class Components:
    """The components of a pipeline, its networks on the meta device."""

    is_xl: bool
    """Whether there are two text encoders and added conditions."""
    zeros_for_empty: bool
    """Whether zeros stand for the embeddings of an empty prompt, as XL has it."""
    networks: Mapping[str, Any]
    text_encoders: tuple[Any, ...]
    tokenizers: tuple[Any, ...]
    unet: Any
    decoder: Any
    """The VAE as it decodes: in float32 where XL would overflow in float16 (`force_upcast`)."""
    scheduler: Any

    @property
    def scale(self) -> int:
        """Pixels of an image a side for one latent."""
        return int(2 ** (len(self.decoder.config.block_out_channels) - 1))

    @property
    def multiple(self) -> int:
        """What a side of an image must be divisible by: diffusers insists on 8 at least."""
        return max(8, self.scale)

    @property
    def guided(self) -> bool:
        """Whether the UNet runs on two copies of the batch, for classifier-free guidance.

        It does not where the UNet takes the strength of guidance as an input.
        """
        return self.unet.config.time_cond_proj_dim is None

    @property
    def default_size(self) -> Size | None:
        """The size that the pipeline takes where none is asked for; None where it has none."""
        sides = self.unet.config.sample_size
        if sides is None:
            return None
        height, width = (sides, sides) if isinstance(sides, int) else sides
        return width * self.scale, height * self.scale


@lru_cache(maxsize=4)
def on_meta(model: "Model", dtype: str) -> Components:
    """Return the components of `model` in `dtype` (a torch name), without weights.

    Raises as `read` and `build`, and `PipelineError` for a pipeline of another kind, or one whose
    parts are not all there.
    """
    import torch

    index, parts = read(model)
    kind = str(index.get("_class_name"))
    if not is_known(model):
        expected = f"a {' or '.join(_KINDS)}, not {kind}"
        raise PipelineError(f"--sd-model {model.name}", expected, "choose another model")
    encoders, tokenizers = _TEXT_ENCODERS[: _KINDS[kind]], _TOKENIZERS[: _KINDS[kind]]
    for name in (*_PARTS, *encoders, *tokenizers):
        if name not in parts:
            expected = f"a {name} in model_index.json"
            raise PipelineError(f"--sd-model {model.name}", expected, "copy the folder again")
        bases = _class(model.name, name, parts[name]).__mro__
        if _BASES[name] not in (each.__name__ for each in bases):
            given, expected = f"--sd-model {model.name}, {name}", f"a {_BASES[name]}"
            raise PipelineError(given, expected, "choose another model")
    built = build(model.name, parts, "meta", dtype)
    is_xl = len(encoders) > 1
    decoder = built["vae"]
    if is_xl and dtype == "float16" and decoder.config.force_upcast:
        decoder = build(model.name, {"vae": parts["vae"]}, "meta", "float32")["vae"]
    return Components(
        is_xl,
        is_xl and bool(index.get("force_zeros_for_empty_prompt", True)),
        {name: part for name, part in built.items() if isinstance(part, torch.nn.Module)},
        tuple(built[name] for name in encoders),
        tuple(built[name] for name in tokenizers),
        built["unet"],
        decoder,
        built["scheduler"],
    )


def is_known(model: "Model") -> bool:
    """Say whether `on_meta` knows the kind of pipeline; raises as `read`."""
    return str(read(model)[0].get("_class_name")) in _KINDS


def read(model: "Model") -> tuple[dict[str, Any], dict[str, Part]]:
    """Return a model's index and the parts that it names, from configuration files alone.

    Those of a hub id are downloaded where they are not cached. Raises `UnavailableError` where they
    cannot be had, `PipelineError` for a file that is missing or holds something else.
    """
    if model.name.startswith("arch:"):
        architecture = ARCHITECTURES[model.label]
        return {"_class_name": architecture.pipeline}, dict(architecture.parts)
    folder = model.folder or _download(model.name)
    try:
        index = _load(model.name, folder, "model_index.json")
        parts = {
            name: _part(model.name, folder, name, value)
            for name, value in index.items()
            if isinstance(value, list) and not name.startswith("_") and value[:1] != [None]
        }
    except PipelineError as error:
        absent = availability.rest_of(model.name) if model.folder is None else None
        if absent is not None:
            raise UnavailableError(f"--sd-model {model.name}", absent) from error
        raise
    return index, parts


def build(name: str, parts: Mapping[str, Part], device: str, dtype: str) -> dict[str, Any]:
    """Return the components of the model `name` on `device`, which may be `meta`, in `dtype`.

    Networks get random weights; tokenizers and schedulers stay on the CPU. Raises `PipelineError`
    for a class that does not exist and, on `meta`, for one that refuses its configuration.
    """
    import torch

    quiet()
    classes = {part: _class(name, part, spec) for part, spec in parts.items()}
    built = {}
    for part, spec in parts.items():
        before = torch.get_default_dtype()
        try:
            if issubclass(classes[part], torch.nn.Module):
                torch.set_default_dtype(getattr(torch, dtype))
                with torch.device(device):
                    built[part] = _construct(classes[part], spec).eval()  # as from_pretrained
            else:
                built[part] = _construct(classes[part], spec)
        except Exception as error:  # a class raises what it likes for what it does not take
            if device != "meta":  # memory may have run out
                raise
            expected = f"a configuration that {spec.class_name} can be built from ({error})"
            given = f"--sd-model {name}, {part}"
            raise PipelineError(given, expected, "check its config.json") from error
        finally:
            torch.set_default_dtype(before)
    return built


def import_classes(model: "Model") -> None:
    """Import what `model` is built with; raises as `read` and `build`."""
    quiet()
    for name, part in read(model)[1].items():
        _class(model.name, name, part)


def quiet() -> None:
    """Let diffusers and transformers print nothing: what matters is raised."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity(logging.CRITICAL)
        logging.disable_progress_bar()


def _construct(made_by: Any, part: Part) -> Any:
    if part.folder is not None:
        return made_by.from_pretrained(part.folder)
    if hasattr(made_by, "config_class"):  # transformers
        return made_by(made_by.config_class.from_dict(dict(part.config)))
    return made_by.from_config(dict(part.config))


def _class(name: str, part: str, spec: Part) -> Any:
    import diffusers
    import transformers

    places = {"diffusers": diffusers, "transformers": transformers}
    place = places.get(spec.library) or getattr(diffusers.pipelines, spec.library, None)
    found = getattr(place, spec.class_name, None)
    if found is None:
        raise PipelineError(
            f"--sd-model {name}, {part}",
            f"a class that exists, not {spec.library}.{spec.class_name}",
            "check model_index.json",
        )
    return found


def _part(name: str, folder: Path, part: str, value: list[Any]) -> Part:
    if len(value) != 2 or not all(isinstance(word, str) for word in value):
        raise PipelineError(
            f"--sd-model {name}, {part}", "a library and a class", "check model_index.json"
        )
    library, class_name = value
    if class_name.endswith(("Tokenizer", "TokenizerFast", "Processor", "FeatureExtractor")):
        if not (folder / part).is_dir():
            raise PipelineError(f"--sd-model {name}", f"a folder {part}", "copy it again")
        return Part(library, class_name, folder=folder / part)
    file = "scheduler_config.json" if class_name.endswith("Scheduler") else "config.json"
    return Part(library, class_name, _load(name, folder, f"{part}/{file}"))


def _load(name: str, folder: Path, file: str) -> dict[str, Any]:
    """Read a JSON object from one of the model's files."""
    try:
        loaded = json.loads((folder / file).read_text(encoding="utf-8"))
    except OSError as error:
        expected = f"a file {file} ({error.strerror})"
        raise PipelineError(f"--sd-model {name}", expected, "copy the folder again") from error
    except ValueError as error:  # no JSON, no UTF-8
        expected = f"JSON in {file} ({error})"
        raise PipelineError(f"--sd-model {name}", expected, "copy the folder again") from error
    if not isinstance(loaded, dict):
        raise PipelineError(
            f"--sd-model {name}", f"a JSON object in {file}", "copy the folder again"
        )
    return loaded


def _download(name: str) -> Path:
    """Return the folder in the cache that has a hub id's configurations, and no weights of it."""
    from huggingface_hub import snapshot_download

    absent = availability.weights(name)
    if absent is not None:
        raise UnavailableError(f"--sd-model {name}", absent)
    try:
        return Path(
            snapshot_download(
                name,
                allow_patterns=list(CONFIGURATIONS),
                local_files_only=availability.network() is not None,
            )
        )
    except (OSError, ValueError) as error:  # huggingface_hub's errors are of these two kinds
        expected = f"a model of the hub ({error})"
        raise PipelineError(f"--sd-model {name}", expected, "check the id") from error
