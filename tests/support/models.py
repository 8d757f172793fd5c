"""Folders and architectures that tests change: the tiny pipeline's files, and small XL parts."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from inspect import signature
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


def marked(file: str) -> Edit:
    """Begin a file with a byte order mark."""
    return lambda folder: (folder / file).write_bytes(
        b"\xef\xbb\xbf" + (folder / file).read_bytes()
    )


def emptied(name: str) -> Edit:
    """Remove the files of a folder."""
    return lambda folder: [path.unlink() for path in (folder / name).iterdir()]


def narrow(config: ComponentConfig, **values: Any) -> ComponentConfig:
    """Change values of a component's configuration."""
    return replace(config, config={**config.config, **values})


def one_layer(unet: ComponentConfig) -> ComponentConfig:
    """One layer a block, and one transformer block a layer: more repeat the code and the shapes."""
    return narrow(unet, layers_per_block=1, transformer_layers_per_block=1)


def two_levels(unet: ComponentConfig) -> ComponentConfig:
    """The first and the last level alone, with one layer a block: all kinds of blocks."""
    from diffusers import UNet2DConditionModel

    lists = ("block_out_channels", "down_block_types", "up_block_types", "attention_head_dim")
    defaults = signature(UNet2DConditionModel).parameters
    values = {name: unet.config.get(name, defaults[name].default) for name in lists}
    ends = {name: (of[0], of[-1]) for name, of in values.items() if isinstance(of, tuple)}
    return narrow(one_layer(unet), **ends)


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


def tiny_sd3(folder: Path) -> Path:
    """Write a Stable Diffusion 3 of 1 MB, without its T5."""
    from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline
    from transformers import CLIPTextModelWithProjection

    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=64,
        caption_projection_dim=32,
        pooled_projection_dim=64,
    )
    encoders = {
        name: CLIPTextModelWithProjection(clip_config()).eval()
        for name in ("text_encoder", "text_encoder_2")
    }
    pipe = StableDiffusion3Pipeline(
        transformer=transformer,
        **encoders,
        **_shared(tokenizers=2),
        text_encoder_3=None,
        tokenizer_3=None,
    )
    pipe.save_pretrained(folder / "sd3")
    return folder / "sd3"


def tiny_flux(folder: Path) -> Path:
    """Write a FLUX.1 of 1 MB."""
    from diffusers import FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextModel

    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
    )
    shared = _shared(tokenizers=2)
    pipe = FluxPipeline(
        transformer=transformer,
        text_encoder=CLIPTextModel(clip_config()).eval(),
        text_encoder_2=_t5(),
        **shared,
    )
    pipe.save_pretrained(folder / "flux")
    return folder / "flux"


def tiny_pixart(folder: Path) -> Path:
    """Write a PixArt-Σ of 1 MB."""
    from diffusers import DDIMScheduler, PixArtSigmaPipeline, PixArtTransformer2DModel

    transformer = PixArtTransformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=8,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=8,
        caption_channels=32,
        cross_attention_dim=16,
        use_additional_conditions=False,
    )
    pipe = PixArtSigmaPipeline(
        transformer=transformer,
        text_encoder=_t5(),
        **_shared(tokenizers=1) | {"scheduler": DDIMScheduler()},
    )
    pipe.save_pretrained(folder / "pixart")
    return folder / "pixart"


def tiny_sana(folder: Path) -> Path:
    """Write a Sana of 1 MB, with an autoencoder and a text encoder of its own kinds."""
    from diffusers import AutoencoderDC, SanaPipeline, SanaTransformer2DModel
    from transformers import Gemma2Config, Gemma2Model

    transformer = SanaTransformer2DModel(
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=4,
        num_cross_attention_heads=2,
        cross_attention_head_dim=4,
        cross_attention_dim=8,
        caption_channels=8,
        sample_size=32,
    )
    blocks, widths = ("ResBlock", "EfficientViTBlock"), (8, 8)
    vae = AutoencoderDC(
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=blocks,
        decoder_block_types=blocks,
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        scaling_factor=0.41407,
    )
    gemma = Gemma2Config(
        vocab_size=1000,
        hidden_size=8,
        head_dim=16,
        intermediate_size=64,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_hidden_layers=1,
    )
    shared = _shared(tokenizers=1) | {"vae": vae.eval()}
    pipe = SanaPipeline(transformer=transformer, text_encoder=Gemma2Model(gemma).eval(), **shared)
    pipe.save_pretrained(folder / "sana")
    return folder / "sana"


def tiny_kandinsky(folder: Path) -> Path:
    """Write a Kandinsky 3 of 1 MB, of which the decoder is called movq."""
    from diffusers import DDPMScheduler, Kandinsky3Pipeline, Kandinsky3UNet, VQModel

    unet = Kandinsky3UNet(
        time_embedding_dim=4,
        groups=2,
        attention_head_dim=4,
        layers_per_block=3,
        block_out_channels=(8, 16),
        cross_attention_dim=4,
        encoder_hid_dim=32,
    )
    movq = VQModel(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32,) * 4,
        latent_channels=4,
        norm_num_groups=4,
        norm_type="spatial",
        num_vq_embeddings=12,
        vq_embed_dim=4,
    )
    pipe = Kandinsky3Pipeline(
        unet=unet,
        movq=movq.eval(),
        scheduler=DDPMScheduler(),
        text_encoder=_t5(),
        tokenizer=_shared(tokenizers=1)["tokenizer"],
    )
    pipe.save_pretrained(folder / "kandinsky")
    return folder / "kandinsky"


def tiny_pixels(folder: Path) -> Path:
    """Write a DeepFloyd IF of 1 MB: it draws pixels, without a VAE."""
    from diffusers import DDPMScheduler, IFPipeline, UNet2DConditionModel

    unet = UNet2DConditionModel(
        sample_size=32,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        in_channels=3,
        out_channels=6,
        cross_attention_dim=32,
        encoder_hid_dim=32,
        attention_head_dim=8,
        addition_embed_type="text",
        addition_embed_type_num_heads=2,
    )
    pipe = IFPipeline(
        unet=unet,
        scheduler=DDPMScheduler(variance_type="learned_range"),
        text_encoder=_t5(),
        tokenizer=_shared(tokenizers=1)["tokenizer"],
        **dict.fromkeys(("safety_checker", "feature_extractor", "watermarker")),
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder / "pixels")
    return folder / "pixels"


def clip_config() -> Any:
    """A small text encoder's configuration, for the tiny pipeline's tokenizer."""
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=1000,
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=3,
        num_attention_heads=4,
        projection_dim=32,
    )


def _t5() -> Any:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(vocab_size=1000, d_model=32, d_ff=37, d_kv=8, num_layers=1, num_heads=4)
    return T5EncoderModel(config).eval()


def _shared(tokenizers: int) -> dict[str, Any]:
    """What the newer pipelines have in common: a VAE, a scheduler, the tiny tokenizer."""
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler
    from transformers import CLIPTokenizer

    vae = AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        shift_factor=0.0609,
        scaling_factor=1.5035,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    names = [f"tokenizer_{number}" if number > 1 else "tokenizer" for number in (1, 2, 3)]
    tokenizer = CLIPTokenizer.from_pretrained(TINY / "tokenizer")
    return {
        "vae": vae.eval(),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
        **dict.fromkeys(names[:tokenizers], tokenizer),
    }
