"""A whole pipeline on PyTorch's meta device: shapes, operations and memory, without weights.

Components are called one by one in the order of the pipeline, since its own call reads values,
which nothing on the meta device has.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipeline import contracts
from pipeline.arguments import Size, nearest_sizes, size_label
from pipeline.contracts import Spec, Violation
from pipeline.errors import PipelineError
from pipeline.stable_diffusion import components, diffusion
from pipeline.stable_diffusion.components import Components
from pipeline.validation import tally
from pipeline.validation.boundaries import Boundaries, Boundary, BrokenError

if TYPE_CHECKING:
    import torch

    from pipeline.stable_diffusion.models import Model

__all__ = ["Cost", "Walk", "cost", "require", "unet_calls", "walk"]


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


@dataclass(frozen=True)
class Walk:
    """The boundaries that were reached, in order; the last one is broken or all hold."""

    boundaries: tuple[Boundary, ...]
    size: Size
    cost: Cost | None
    """None where a boundary is broken before the image is decoded."""

    @property
    def violations(self) -> list[Violation]:
        """What does not hold: nothing, or one thing."""
        return [each.violation for each in self.boundaries if each.violation is not None]


def cost(model: "Model", size: Size | None, batch: int, dtype: str) -> Cost:
    """Return what `batch` images of `size` (None: the model's own) cost in `dtype` (a torch name).

    Nothing but configuration files is read. Raises as `walk`, and `ContractError` where a boundary
    is broken.
    """
    walked = walk(model, size, batch, dtype)
    contracts.require(walked.violations)
    assert walked.cost is not None
    return walked.cost


def require(model: "Model", size: Size | None, batch: int, dtype: str) -> None:
    """Raise `ContractError` where a boundary would be broken; other kinds of pipeline pass."""
    if components.is_known(model):
        contracts.require(walk(model, size, batch, dtype).violations)


@lru_cache(maxsize=64)
def unet_calls(model: "Model", steps: int) -> int:
    """Return how often the model's scheduler calls the UNet for `steps`: PNDM does once more."""
    part = {"scheduler": components.read(model)[1]["scheduler"]}
    scheduler = components.build(model.name, part, "meta", "float32")["scheduler"]
    scheduler.set_timesteps(steps)
    return len(scheduler.timesteps)


@lru_cache(maxsize=64)
def walk(model: "Model", size: Size | None, batch: int, dtype: str) -> Walk:
    """Take `batch` prompts from token ids to decoded images, on the meta device.

    `size` None is the model's own, `dtype` a torch name. Raises as `components.on_meta`, and
    `PipelineError` where neither the question nor the model has a size.
    """
    parts = components.on_meta(model, dtype)
    chosen = size or parts.default_size
    if chosen is None:
        given, expected = f"--sd-model {model.name}", "a size: its unet has no sample_size"
        raise PipelineError(given, expected, "add --size")
    return _Walker(parts, chosen, batch, dtype).walk()


class _Walker:
    """One walk: the boundaries that it has met, and what the next component takes."""

    def __init__(self, parts: Components, size: Size, batch: int, dtype: str) -> None:
        self._parts = parts
        self._batch = batch
        self._dtype = dtype
        self._size = size
        self._boundaries = Boundaries(
            {
                "N": batch,
                "copies": 2 if parts.guided else 1,
                "W": self._size[0],
                "H": self._size[1],
                "scale": parts.scale,
                "latent_C": parts.decoder.config.latent_channels,
            }
        )
        self._dims = self._boundaries.dims
        self._flops: dict[str, int] = {}
        self._peaks: dict[str, int] = {}
        self._tally = tally.tally("meta")
        self._ids: list[torch.Tensor] = []
        self._prompt: Any = None
        self._pooled: Any = None
        self._latents: Any = None

    def walk(self) -> Walk:
        import torch

        counted = None
        try:
            with torch.inference_mode():
                self._hold_size()
                self._tokenize()
                for name, run in (
                    ("text", self._encode),
                    ("step", self._denoise),
                    ("decode", self._decode),
                ):
                    self._run(name, run)
            counted = self._cost()
        except BrokenError:
            pass
        return Walk(tuple(self._boundaries.crossed), self._size, counted)

    # The stages, in the order of the pipeline.

    def _hold_size(self) -> None:
        given, multiple = size_label(self._size), self._parts.multiple
        expected, violation = f"sides divisible by {multiple}", None
        if self._size[0] % multiple or self._size[1] % multiple:
            violation = Violation("size", given, expected, nearest_sizes(self._size, multiple))
        self._boundaries.note("size", expected, given, violation)

    def _tokenize(self) -> None:
        for number, tokenizer in enumerate(self._parts.tokenizers):
            encoder = self._parts.text_encoders[number]
            spec = replace(
                contracts.TOKEN_IDS,
                dtypes=("int64",),
                boundary="token ids" if number == 0 else f"token ids {number + 1}",
                high=encoder.get_input_embeddings().num_embeddings - 1,
            )
            self._dims.pop("tokens", None)  # each tokenizer has its own
            with self._boundaries.calling(spec):
                ids = tokenizer(
                    diffusion.PROMPT,
                    padding="max_length",
                    max_length=tokenizer.model_max_length,
                    truncation=True,
                    return_tensors="pt",
                ).input_ids
            found = contracts.check(ids, spec, {"N": 1})
            most = getattr(encoder.config, "max_position_embeddings", None)
            if most is not None and ids.shape[1] > most:
                wanted, remedy = f"at most {most}, the text encoder's", "shorten model_max_length"
                found.append(Violation(spec.boundary, f"{ids.shape[1]} tokens", wanted, remedy))
            self._ids.append(ids.to("meta").expand(self._batch, -1))
            self._boundaries.hold(self._ids[-1], spec, *found)

    def _encode(self) -> None:
        import torch

        spec = replace(contracts.TEXT_EMBEDDINGS, dtypes=(self._dtype,))
        with self._boundaries.calling(spec):
            prompt, pooled = self._embed()
            if self._parts.guided:
                if self._parts.zeros_for_empty:
                    empty = torch.zeros_like(prompt), torch.zeros_like(pooled)
                else:
                    empty = self._embed()
                prompt = torch.cat([empty[0], prompt])
                pooled = torch.cat([empty[1], pooled]) if self._parts.is_xl else None
        width, found = _text_width(self._parts.unet), []
        if width is not None:
            self._dims["text_width"] = width
            if width != prompt.shape[-1]:
                given, wanted = f"width {prompt.shape[-1]}", f"{width}, the UNet's cross-attention"
                remedy = "take text encoder and UNet from one model"
                found.append(Violation(spec.boundary, given, wanted, remedy))
        self._boundaries.hold(prompt, spec, *found)
        self._prompt, self._pooled = prompt, pooled

    def _embed(self) -> Any:
        """Return the embeddings of one prompt an image, and XL's pooled text."""
        import torch

        if not self._parts.is_xl:
            return self._parts.text_encoders[0](self._ids[0])[0], None
        states, pooled = [], None
        for ids, encoder in zip(self._ids, self._parts.text_encoders, strict=True):
            output = encoder(ids, output_hidden_states=True)
            if pooled is None and output[0].ndim == 2:
                pooled = output[0]
            states.append(output.hidden_states[-2])
        if pooled is None:
            raise ValueError("neither text encoder gives pooled text, as one with projection does")
        return torch.cat(states, dim=-1), pooled

    def _denoise(self) -> None:
        import torch

        parts, copies = self._parts, self._dims["copies"]
        config = parts.unet.config
        conditions = self._conditions()
        spec = replace(contracts.LATENTS, dtypes=(self._dtype,))
        height, width = (self._dims[side] // parts.scale for side in ("H", "W"))
        shape = (self._batch, config.in_channels, height, width)
        latents = torch.empty(shape, dtype=getattr(torch, self._dtype), device="meta")
        found = []
        if config.in_channels != self._dims["latent_C"]:
            given = f"{config.in_channels} channels, the UNet's"
            wanted = f"{self._dims['latent_C']}, the VAE's latent_channels"
            remedy = "take UNet and VAE from one text-to-image model"
            found.append(Violation(spec.boundary, given, wanted, remedy))
        self._boundaries.hold(latents, spec, *found)
        spec = replace(
            contracts.UNET_OUTPUT, dtypes=(self._dtype,), source="check the UNet's configuration"
        )
        with self._boundaries.calling(spec):
            noise = parts.unet(
                torch.cat([latents] * copies),
                torch.empty((), dtype=torch.int64, device="meta"),
                encoder_hidden_states=self._prompt,
                return_dict=False,
                **conditions,
            )[0]
        self._boundaries.hold(noise, spec)
        if parts.guided:
            empty, prompt = noise.chunk(2)
            noise = empty + 7.5 * (prompt - empty)  # any strength takes as much
        self._latents = latents - noise

    def _conditions(self) -> dict[str, Any]:
        """Return what the UNet takes beside latents, time and text."""
        import torch

        unet = self._parts.unet
        kind = getattr(torch, self._dtype)
        conditions: dict[str, Any] = {}
        if not self._parts.guided:
            strength = (self._batch, unet.config.time_cond_proj_dim)
            conditions["timestep_cond"] = torch.empty(strength, dtype=kind, device="meta")
        if self._parts.is_xl:
            times = torch.empty((len(self._prompt), TIME_IDS), dtype=kind, device="meta")
            spec = Spec("added conditions", ("copies*N", "pooled"), (self._dtype,))
            embedding = getattr(unet, "add_embedding", None)
            wanted = getattr(getattr(embedding, "linear_1", None), "in_features", None)
            width = self._pooled.shape[1] + TIME_IDS * (unet.config.addition_time_embed_dim or 0)
            found = []
            if width != wanted:
                expected = f"{wanted or 'none'}, the UNet's"
                given = f"width {width} of pooled text and {TIME_IDS} embedded numbers"
                remedy = "take text encoders and UNet from one XL model"
                found.append(Violation(spec.boundary, given, expected, remedy))
            self._boundaries.hold(self._pooled, spec, *found)
            conditions["added_cond_kwargs"] = {"text_embeds": self._pooled, "time_ids": times}
        elif unet.config.addition_embed_type is not None:
            given, expected = "none from this pipeline", str(unet.config.addition_embed_type)
            remedy = "use a pipeline of the UNet's kind"
            self._boundaries.note(
                "added conditions",
                expected,
                given,
                Violation("added conditions", given, expected, remedy),
            )
        return conditions

    def _decode(self) -> None:
        vae = self._parts.decoder
        kind = next(vae.parameters()).dtype
        spec = replace(contracts.DECODED, dtypes=(str(kind).removeprefix("torch."),))
        with self._boundaries.calling(spec):
            latents = self._latents.to(kind) / vae.config.scaling_factor
            image = vae.decode(latents, return_dict=False)[0]
            image = (image * 0.5 + 0.5).clamp(0, 1)
        self._boundaries.hold(image, spec)

    # What every stage is run with.

    def _run(self, name: str, stage: Callable[[], None]) -> None:
        """Run a stage, counting its operations and what lives meanwhile."""
        self._tally.peak, before = self._tally.now, self._tally.flops
        with self._tally:
            stage()
        self._flops[name], self._peaks[name] = self._tally.flops - before, self._tally.peak

    def _cost(self) -> Cost:
        parts = self._parts
        weights = sum(map(_bytes, parts.networks.values()))
        peaks = {name: weights + peak for name, peak in self._peaks.items()}
        peaks["decode"] += _bytes(parts.decoder) - _bytes(parts.networks["vae"])
        stage = max(peaks, key=lambda name: peaks[name])
        return Cost(
            sum(
                each.numel() for network in parts.networks.values() for each in network.parameters()
            ),
            weights,
            self._flops["text"],
            self._flops["step"],
            self._flops["decode"],
            peaks[stage],
            stage,
        )


TIME_IDS = 6
"""XL's numbers of size and cropping: original, top left, target, two each."""


def _text_width(unet: Any) -> int | None:
    """Return the width of text that the UNet's cross-attention takes; None where it does not say.

    Taken from its layers, since `cross_attention_dim` counts for nothing without them.
    """
    if unet.encoder_hid_proj is not None:
        return getattr(unet.encoder_hid_proj, "in_features", None)
    attentions = (getattr(module, "attn2", None) for module in unet.modules())
    widths = {attention.to_k.in_features for attention in attentions if attention is not None}
    return widths.pop() if len(widths) == 1 else None


def _bytes(network: Any) -> int:
    """Return the bytes of parameters and buffers."""
    tensors = [*network.parameters(), *network.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
