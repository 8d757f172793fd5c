"""A Stable Diffusion on PyTorch's meta device: what it computes and needs, without its weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipeline import components, liveness
from pipeline.arguments import Size
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    import torch

    from pipeline.sd_models import Model

__all__ = ["Cost", "cost", "unet_calls"]


@dataclass(frozen=True)
class Cost:
    """What one call of a pipeline computes and needs, as its shapes say."""

    parameters: int
    """Of every network of the pipeline."""
    weights_bytes: int
    text_flops: int
    """Of the text encoders for the whole batch, the empty prompt of guidance included.

    A multiplication and an addition are two, as `torch.utils.flop_counter` counts: matrix products,
    convolutions and attention, nothing else."""
    step_flops: int
    """Of one call of the UNet on the whole batch, doubled where there is guidance."""
    decode_flops: int
    """Of the VAE's decoder for the whole batch."""
    peak_bytes: int
    """Weights and the largest set of activations that lives at once.

    Attention counts as fused: no matrix of scores is kept. Workspaces of convolutions, an
    allocator's fragments and the framework itself are left out."""
    peak_stage: str
    """Where that is: text, step or decode."""

    def flops(self, calls: int) -> int:
        """Return the operations of one whole batch whose loop calls the UNet `calls` times."""
        return self.text_flops + calls * self.step_flops + self.decode_flops


@lru_cache(maxsize=64)
def cost(model: "Model", size: Size | None, batch: int, dtype: str) -> Cost:
    """Return what `batch` images of `size` (None: the model's own) cost in `dtype` (a torch name).

    Nothing but configuration files is read. Raises as `components.read` and `components.build`, and
    `PipelineError` for what a component refuses.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    parts = _components(model, dtype)
    live = liveness.tracker("meta")
    flops, peaks = {}, {}
    state: dict[str, Any] = {}
    with torch.inference_mode():
        for stage, run in _STAGES.items():
            live.peak = live.now
            with FlopCounterMode(display=False) as counter, live:  # it takes attention apart
                try:
                    run(parts, size, batch, dtype, state)
                except (RuntimeError, ValueError, TypeError) as error:
                    given, expected = f"{model.name}, {stage}", f"shapes that fit ({error})"
                    raise PipelineError(given, expected, "check its configurations") from error
            flops[stage], peaks[stage] = counter.get_total_flops(), live.peak
    weights = sum(map(_bytes, parts.networks.values()))
    peaks = {stage: weights + peak for stage, peak in peaks.items()}
    if parts.decoder is not parts.networks["vae"]:
        peaks["decode"] += _bytes(parts.decoder) - _bytes(parts.networks["vae"])
    stage = max(peaks, key=lambda name: peaks[name])
    return Cost(
        sum(_parameters(network) for network in parts.networks.values()),
        weights,
        flops["text"],
        flops["step"],
        flops["decode"],
        peaks[stage],
        stage,
    )


def unet_calls(model: "Model", steps: int) -> int:
    """Return how often the model's scheduler calls the UNet for `steps`: PNDM does once more."""
    scheduler = _components(model, "float32").scheduler
    scheduler.set_timesteps(steps)
    return len(scheduler.timesteps)


@dataclass(frozen=True)
class Components:
    """A pipeline's components, its networks on the meta device."""

    pipeline: str
    networks: Mapping[str, Any]
    tokenizers: tuple[Any, ...]
    scheduler: Any
    decoder: Any
    """The VAE as it decodes: in float32 where float16 would overflow (`force_upcast`)."""

    @property
    def is_xl(self) -> bool:
        """Whether there are two text encoders and added conditions."""
        return self.pipeline == "StableDiffusionXLPipeline"

    @property
    def text_encoders(self) -> tuple[Any, ...]:
        """One, or the two of XL."""
        names = ("text_encoder", "text_encoder_2") if self.is_xl else ("text_encoder",)
        return tuple(self.networks[name] for name in names)

    @property
    def scale(self) -> int:
        """Pixels of an image a side for one of its latents."""
        return int(2 ** (len(self.decoder.config.block_out_channels) - 1))

    @property
    def guided(self) -> bool:
        """Whether the UNet runs on two copies of the batch, as classifier-free guidance does."""
        return self.networks["unet"].config.time_cond_proj_dim is None


@lru_cache(maxsize=4)
def _components(model: "Model", dtype: str) -> Components:
    import torch

    pipeline, parts = components.read(model)
    built = components.build(model.name, parts, "meta", dtype)
    networks = {name: part for name, part in built.items() if isinstance(part, torch.nn.Module)}
    decoder: Any = networks["vae"]
    is_xl = pipeline == "StableDiffusionXLPipeline"
    if is_xl and dtype == "float16" and decoder.config.force_upcast:
        decoder = components.build(model.name, {"vae": parts["vae"]}, "meta", "float32")["vae"]
    names = ("tokenizer", "tokenizer_2") if is_xl else ("tokenizer",)
    return Components(
        pipeline, networks, tuple(built[name] for name in names), built["scheduler"], decoder
    )


def _text(parts: Components, size: Size | None, batch: int, dtype: str, state: Any) -> None:
    encode = _encode_xl if parts.is_xl else _encode
    prompt, pooled = encode(parts, batch)
    if parts.guided:
        import torch

        # XL takes zeros for an empty prompt.
        empty, empty_pooled = (
            (torch.zeros_like(prompt), torch.zeros_like(pooled))
            if parts.is_xl
            else encode(parts, batch)
        )
        prompt = torch.cat([empty, prompt])
        pooled = torch.cat([empty_pooled, pooled]) if pooled is not None else None
    state["prompt"], state["pooled"] = prompt, pooled


def _ids(tokenizer: Any, batch: int) -> "torch.Tensor":
    import torch

    return torch.empty((batch, tokenizer.model_max_length), dtype=torch.int64, device="meta")


def _encode(parts: Components, batch: int) -> Any:
    return parts.text_encoders[0](_ids(parts.tokenizers[0], batch))[0], None


def _encode_xl(parts: Components, batch: int) -> Any:
    import torch

    states, pooled = [], None
    for tokenizer, encoder in zip(parts.tokenizers, parts.text_encoders, strict=True):
        output = encoder(_ids(tokenizer, batch), output_hidden_states=True)
        if pooled is None and output[0].ndim == 2:
            pooled = output[0]
        states.append(output.hidden_states[-2])
    return torch.cat(states, dim=-1), pooled


def _step(parts: Components, size: Size | None, batch: int, dtype: str, state: Any) -> None:
    import torch

    unet = parts.networks["unet"]
    side = unet.config.sample_size * parts.scale
    width, height = size or (side, side)
    shape = (batch, unet.config.in_channels, height // parts.scale, width // parts.scale)
    latents = torch.empty(shape, dtype=getattr(torch, dtype), device="meta")
    copies = 2 if parts.guided else 1
    conditions: dict[str, Any] = {}
    if parts.is_xl:
        time_ids = torch.empty((copies * batch, 6), dtype=latents.dtype, device="meta")
        conditions["added_cond_kwargs"] = {"text_embeds": state["pooled"], "time_ids": time_ids}
    if not parts.guided:
        width_of = (batch, unet.config.time_cond_proj_dim)
        conditions["timestep_cond"] = torch.empty(width_of, dtype=latents.dtype, device="meta")
    time = torch.empty((), dtype=torch.int64, device="meta")
    both = torch.cat([latents] * copies)
    noise = unet(
        both, time, encoder_hidden_states=state["prompt"], return_dict=False, **conditions
    )[0]
    if parts.guided:
        empty, prompt = noise.chunk(2)
        noise = empty + 7.5 * (prompt - empty)
    state["latents"] = latents - noise


def _decode(parts: Components, size: Size | None, batch: int, dtype: str, state: Any) -> None:
    vae = parts.decoder
    latents = state["latents"].to(vae.dtype) / vae.config.scaling_factor
    image = vae.decode(latents, return_dict=False)[0]
    state["image"] = (image * 0.5 + 0.5).clamp(0, 1)


_STAGES = {"text": _text, "step": _step, "decode": _decode}


def _parameters(network: Any) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _bytes(network: Any) -> int:
    """Return the bytes of parameters and buffers."""
    tensors = [*network.parameters(), *network.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
