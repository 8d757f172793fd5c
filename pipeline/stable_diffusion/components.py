"""The components of a Stable Diffusion: their configurations, and building them without weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline import availability
from pipeline.arguments import Size
from pipeline.errors import PipelineError, UnavailableError, one_line, with_article
from pipeline.stable_diffusion import configurations
from pipeline.stable_diffusion.architectures import ARCHITECTURES, ComponentConfig, Model
from pipeline.stable_diffusion.collector import paused

__all__ = [
    "Components",
    "bounded",
    "build",
    "class_of",
    "denoiser",
    "import_classes",
    "is_known",
    "knows",
    "on_meta",
    "quiet",
    "read",
]

CONFIGURATIONS = ("*.json", "*/*.json", "*/*.txt", "*/*.model")
"""Files of a hub id that hold configurations and vocabularies, no weights."""

_TEXT_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
_TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3")
_XL, _SD3 = "StableDiffusionXLPipeline", "StableDiffusion3Pipeline"
_ENCODER_COUNTS = {"StableDiffusionPipeline": 1, _XL: 2, _SD3: 3}
"""The pipelines that are known, and how many text encoders each has."""
_BASES = {
    "unet": ("UNet2DConditionModel",),
    "transformer": ("SD3Transformer2DModel",),
    "vae": ("AutoencoderKL", "AutoencoderTiny", "AsymmetricAutoencoderKL"),
    "scheduler": ("SchedulerMixin",),
    **dict.fromkeys(_TEXT_ENCODERS, ("PreTrainedModel",)),
    **dict.fromkeys(_TOKENIZERS, ("PreTrainedTokenizerBase",)),
}
"""The components that a call needs, and the classes of which each must be, or inherit from, one."""

MOST_MODULES = 20_000
"""Modules of one network: XL's UNet has 1 930. Building millions of them takes hours."""


@dataclass(frozen=True)
class Components:
    """The components of a pipeline, with its networks on the meta device."""

    kind: Any
    """The pipeline's class in diffusers."""
    zeros_for_empty: bool
    """Whether zeros replace the embeddings of an empty prompt, as in XL."""
    networks: Mapping[str, Any]
    text_encoders: tuple[Any, ...]
    tokenizers: tuple[Any, ...]
    unet: Any
    """The network of every step; of Stable Diffusion 3 its transformer."""
    decoder: Any
    """The VAE as it decodes: in float32 where float16 would overflow in XL (`force_upcast`)."""
    scheduler: Any

    @property
    def is_xl(self) -> bool:
        """Whether there are two text encoders and added conditions."""
        return str(self.kind.__name__) == _XL

    @property
    def is_mmdit(self) -> bool:
        """Whether a transformer reads latents and text as one sequence."""
        return str(self.kind.__name__) == _SD3

    @property
    def scale(self) -> int:
        """Pixels a side of the image for one latent."""
        return int(2 ** (len(self.decoder.config.block_out_channels) - 1))

    @property
    def multiple(self) -> int:
        """What each side of an image must be divisible by; diffusers demands 8 at least."""
        return max(8, self.scale * getattr(self.unet.config, "patch_size", 1))

    @property
    def guided(self) -> bool:
        """Whether the UNet runs on two copies of the batch, for classifier-free guidance.

        It does not where the UNet takes the guidance scale as an input.
        """
        return getattr(self.unet.config, "time_cond_proj_dim", None) is None

    @property
    def default_size(self) -> Size | None:
        """The size that the pipeline draws by default; None where its UNet names none."""
        sides = self.unet.config.sample_size
        if sides is None:
            return None
        height, width = (sides, sides) if isinstance(sides, int) else sides
        return width * self.scale, height * self.scale


@lru_cache(maxsize=4)
@paused()
def on_meta(model: Model, dtype: str) -> Components:
    """Return the components of `model` in `dtype` (a torch name), without weights.

    Raises as `read` and `build`, and `PipelineError` for another kind of pipeline, or one that
    lacks a component.
    """
    import diffusers
    import torch

    index, configs = read(model)
    kind = str(index.get("_class_name"))
    if kind not in _ENCODER_COUNTS:
        expected = with_article(f"{' or '.join(_ENCODER_COUNTS)}, not {kind}")
        raise PipelineError(f"--sd-model {model.name}", expected, "choose another model")
    without_t5 = kind == _SD3 and index.get("text_encoder_3") == [None, None]
    count = _ENCODER_COUNTS[kind] - without_t5
    encoders, tokenizers = _TEXT_ENCODERS[:count], _TOKENIZERS[:count]
    denoiser = "transformer" if kind == _SD3 else "unet"
    needed = (denoiser, "vae", "scheduler", *encoders, *tokenizers)
    for name in needed:
        if name not in configs:
            expected = f"{with_article(name)} in model_index.json"
            raise PipelineError(f"--sd-model {model.name}", expected, "copy the folder again")
        inherited = {base.__name__ for base in class_of(model.name, name, configs[name]).__mro__}
        if inherited.isdisjoint(_BASES[name]):
            given, expected = f"--sd-model {model.name}, {name}", " or ".join(_BASES[name])
            raise PipelineError(given, with_article(expected), "choose another model")
    built = build(model.name, {name: configs[name] for name in needed}, "meta", dtype)
    configurations.check_sample_size(model.name, denoiser, built[denoiser].config.sample_size)
    for name in tokenizers:
        configurations.check_vocabulary(model.name, name, built[name])
    for name in configs.keys() - set(needed):  # such as a safety checker: it counts in the weights
        with suppress(PipelineError):
            built |= build(model.name, {name: configs[name]}, "meta", dtype)
    is_xl = kind == _XL
    decoder = built["vae"]
    if is_xl and dtype == "float16" and decoder.config.force_upcast:
        decoder = build(model.name, {"vae": configs["vae"]}, "meta", "float32")["vae"]
    return Components(
        getattr(diffusers, kind),
        is_xl and bool(index.get("force_zeros_for_empty_prompt", True)),
        {name: part for name, part in built.items() if isinstance(part, torch.nn.Module)},
        tuple(built[name] for name in encoders),
        tuple(built[name] for name in tokenizers),
        built[needed[0]],
        decoder,
        built["scheduler"],
    )


def is_known(model: Model) -> bool:
    """Say whether `on_meta` knows this kind of pipeline; raises as `read`."""
    return knows(str(read(model)[0].get("_class_name")))


def knows(kind: str) -> bool:
    """Say whether `on_meta` knows pipelines of this class of diffusers."""
    return kind in _ENCODER_COUNTS


def denoiser(pipe: Any) -> tuple[str, Any]:
    """Return the network that a pipeline calls at every step, and its kind.

    Raises `PipelineError` for a pipeline that has neither.
    """
    for kind in ("UNet", "transformer"):
        network = getattr(pipe, kind.lower(), None)
        if network is not None:
            return kind, network
    name = type(pipe).__name__
    raise PipelineError(name, "a pipeline with a UNet or a transformer", "choose another model")


def read(model: Model) -> tuple[dict[str, Any], dict[str, ComponentConfig]]:
    """Return a model's index and the components that it names, from configuration files alone.

    Downloads those of a hub id where they are not cached. Leaves out what a call does not need and
    cannot be read, such as a feature extractor. Raises `UnavailableError` where the download
    cannot be done, `PipelineError` for a file that is missing or damaged.
    """
    if model.name.startswith("arch:"):
        architecture = ARCHITECTURES[model.label]
        return {"_class_name": architecture.pipeline}, dict(architecture.components)
    folder = model.folder or _download(model.name)
    configs = {}
    try:
        index = configurations.load(model.name, folder, "model_index.json")
        for name, entry in index.items():
            if isinstance(entry, list) and not name.startswith("_") and entry[:1] != [None]:
                try:
                    configs[name] = _component(model.name, folder, name, entry)
                except PipelineError:
                    if name in _BASES:
                        raise
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
    classes = {part: class_of(name, part, config) for part, config in configs.items()}
    built = {}
    for part, config in configs.items():
        before = torch.get_default_dtype()
        try:
            if issubclass(classes[part], torch.nn.Module):
                torch.set_default_dtype(getattr(torch, dtype))
                with torch.device(device), bounded():
                    built[part] = _construct(classes[part], config).eval()  # as from_pretrained
            else:
                built[part] = _construct(classes[part], config)
        except Exception as error:  # a class may raise anything for a configuration it refuses
            if device != "meta":  # memory may have run out
                raise
            why, given = one_line(error), f"--sd-model {name}, {part}"
            expected = f"a configuration that {config.class_name} can be built from ({why})"
            raise PipelineError(given, expected, "check its config.json") from error
        finally:
            torch.set_default_dtype(before)
    return built


def import_classes(model: Model) -> None:
    """Import what `model` is built with; raises as `read` and `build`."""
    quiet()
    for name, config in read(model)[1].items():
        if name in _BASES:
            class_of(model.name, name, config)


@contextmanager
def bounded() -> Iterator[None]:
    """Raise ValueError where a network gets more than `MOST_MODULES` modules while it is built."""
    from torch.nn.modules.module import register_module_module_registration_hook

    count = 0

    def counted(*_: Any) -> None:
        nonlocal count
        count += 1
        if count > MOST_MODULES:
            raise ValueError(f"it has more than {MOST_MODULES} modules")

    handle = register_module_module_registration_hook(counted)
    try:
        yield
    finally:
        handle.remove()


@paused()
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
    settings = configurations.without_dtypes(config.config)
    configurations.check_numbers(settings)
    if hasattr(component, "config_class"):  # transformers
        return component(component.config_class.from_dict(settings))
    return component.from_config(settings)


@paused()
def class_of(name: str, part: str, config: ComponentConfig) -> Any:
    """Return the class of a component of the model `name`, renamed as diffusers renames it.

    Raises `PipelineError` for one that diffusers and transformers do not have.
    """
    from diffusers import pipelines
    from diffusers.pipelines.pipeline_loading_utils import simple_get_class_obj

    component = None
    if config.library in ("diffusers", "transformers") or hasattr(pipelines, config.library):
        with suppress(AttributeError, ImportError):
            component = simple_get_class_obj(config.library, config.class_name)
    if not isinstance(component, type):
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
    return ComponentConfig(library, class_name, configurations.load(name, folder, f"{part}/{file}"))


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
