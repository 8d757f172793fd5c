"""Models and the published architectures: configurations of components, nothing loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.arguments import Size
from pipeline.files import FIXTURES

__all__ = ["ARCHITECTURES", "Architecture", "ComponentConfig", "Model"]


@dataclass(frozen=True)
class Model:
    """A Stable Diffusion that `--sd-model` can name, before anything is loaded."""

    name: str
    """What the user typed."""
    label: str
    """Its name in ids and tables."""
    weights: str
    """Which weights a number was measured on."""
    size: Size | None
    """Default width and height; None where only its configuration says it."""
    steps: int
    folder: Path | None = None


@dataclass(frozen=True)
class ComponentConfig:
    """One component of a pipeline before it is built, as `model_index.json` and its folder say."""

    library: str
    """`diffusers`, `transformers`, or a package of pipelines in diffusers."""
    class_name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the class; the class has defaults for the rest."""
    folder: Path | None = None
    """The vocabulary of a tokenizer."""


@dataclass(frozen=True)
class Architecture:
    """A pipeline of diffusers and its components, by the names of its constructor's arguments."""

    size: Size
    """Width and height that it was trained at, in pixels."""
    pipeline: str
    """The pipeline's class in diffusers."""
    components: Mapping[str, ComponentConfig]


_TOKENIZER = ComponentConfig(
    "transformers", "CLIPTokenizer", folder=FIXTURES / "tiny-sd" / "tokenizer"
)  # small, not the published one: random weights give token ids no meaning

_NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def _diffusers(class_name: str, **config: Any) -> ComponentConfig:
    return ComponentConfig("diffusers", class_name, config)


def _vae(sample_size: int, **others: Any) -> ComponentConfig:
    return _diffusers(
        "AutoencoderKL",
        sample_size=sample_size,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        **others,
    )


def _unet(**config: Any) -> ComponentConfig:
    return _diffusers("UNet2DConditionModel", **config)


def _text_encoder(
    class_name: str, width: int, layers: int, heads: int, projection: int, activation: str
) -> ComponentConfig:
    config = {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "projection_dim": projection,
        "hidden_act": activation,
    }
    return ComponentConfig("transformers", class_name, config)


_CLIP_L = _text_encoder("CLIPTextModel", 768, 12, 12, 768, "quick_gelu")

_SD15 = Architecture(
    (512, 512),
    "StableDiffusionPipeline",
    {
        "unet": _unet(sample_size=64, cross_attention_dim=768),
        "vae": _vae(512),
        "text_encoder": _CLIP_L,
        "tokenizer": _TOKENIZER,
        "scheduler": _diffusers(
            "PNDMScheduler", **_NOISE, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1
        ),
    },
)
"""Stable Diffusion 1.5: CompVis/stable-diffusion, configs/stable-diffusion/v1-inference.yaml.
Its text encoder is openai/clip-vit-large-patch14."""

_SD21 = Architecture(
    (768, 768),
    "StableDiffusionPipeline",
    {
        "unet": _unet(
            sample_size=96,
            attention_head_dim=(5, 10, 20, 20),
            cross_attention_dim=1024,
            use_linear_projection=True,
        ),
        "vae": _vae(768),
        "text_encoder": _text_encoder("CLIPTextModel", 1024, 23, 16, 512, "gelu"),
        "tokenizer": _TOKENIZER,
        "scheduler": _diffusers(
            "DDIMScheduler",
            **_NOISE,
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
            prediction_type="v_prediction",
        ),
    },
)
"""Stable Diffusion 2.1 at 768: Stability-AI/stablediffusion,
configs/stable-diffusion/v2-inference-v.yaml, where heads are 64 channels wide. Its text encoder is
OpenCLIP ViT-H/14 without the last of its 24 layers (issue 262 of that repository)."""

_SDXL = Architecture(
    (1024, 1024),
    "StableDiffusionXLPipeline",
    {
        "unet": _unet(
            sample_size=128,
            block_out_channels=(320, 640, 1280),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2, 10),
            attention_head_dim=(5, 10, 20),
            cross_attention_dim=2048,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
        ),
        "vae": _vae(1024, scaling_factor=0.13025, force_upcast=True),
        "text_encoder": _CLIP_L,
        "text_encoder_2": _text_encoder("CLIPTextModelWithProjection", 1280, 32, 20, 1280, "gelu"),
        "tokenizer": _TOKENIZER,
        "tokenizer_2": _TOKENIZER,
        "scheduler": _diffusers(
            "EulerDiscreteScheduler", **_NOISE, steps_offset=1, timestep_spacing="leading"
        ),
    },
)
"""Stable Diffusion XL base 1.0: Stability-AI/generative-models, configs/inference/sd_xl_base.yaml.
Its text encoders are that of 1.5 and OpenCLIP ViT-bigG/14. Its VAE overflows in float16, so
diffusers runs it in float32."""

_SD35_MEDIUM = Architecture(
    (1024, 1024),
    "StableDiffusion3Pipeline",
    {
        "transformer": _diffusers(
            "SD3Transformer2DModel",
            num_layers=24,
            num_attention_heads=24,
            caption_projection_dim=1536,
            pos_embed_max_size=384,
            dual_attention_layers=tuple(range(13)),
            qk_norm="rms_norm",
        ),
        "vae": _vae(
            1024,
            latent_channels=16,
            scaling_factor=1.5305,
            shift_factor=0.0609,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        "text_encoder": _text_encoder(
            "CLIPTextModelWithProjection", 768, 12, 12, 768, "quick_gelu"
        ),
        "text_encoder_2": _text_encoder("CLIPTextModelWithProjection", 1280, 32, 20, 1280, "gelu"),
        "text_encoder_3": ComponentConfig(
            "transformers",
            "T5EncoderModel",
            {
                "d_model": 4096,
                "d_ff": 10240,
                "d_kv": 64,
                "num_layers": 24,
                "num_heads": 64,
                "feed_forward_proj": "gated-gelu",
            },
        ),
        "tokenizer": _TOKENIZER,
        "tokenizer_2": _TOKENIZER,
        "tokenizer_3": _TOKENIZER,
        "scheduler": _diffusers("FlowMatchEulerDiscreteScheduler", shift=3.0),
    },
)
"""Stable Diffusion 3.5 Medium: Stability-AI/sd3.5, mmditx.py and sd3_infer.py. Its text
encoders are those of XL, both with projection, and T5 v1.1 XXL; its VAE has 16 channels."""

ARCHITECTURES = {"sd15": _SD15, "sd21": _SD21, "sdxl": _SDXL, "sd35-medium": _SD35_MEDIUM}
"""By name. A test compares their parameter counts with the published ones."""
