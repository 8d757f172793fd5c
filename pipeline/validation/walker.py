"""The walk over a pipeline of Stable Diffusion 1.5, 2.1 or XL, component by component."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline import contracts
from pipeline.arguments import Size, nearest_sizes, size_label
from pipeline.contracts import Spec, Violation
from pipeline.stable_diffusion import diffusion
from pipeline.stable_diffusion.components import Components
from pipeline.validation.boundaries import Boundaries, Boundary, BrokenError, Tensor
from pipeline.validation.tally import Cost, bytes_of, tally

if TYPE_CHECKING:
    import torch

__all__ = ["Walk", "Walker"]

MOST_TOKENS = 100_000

TIME_IDS = 6
"""XL's numbers of size and cropping: original, top left, target, two each."""


@dataclass(frozen=True)
class Walk:
    """The boundaries that were reached, in order; only the last can be broken."""

    boundaries: tuple[Boundary, ...]
    size: Size
    cost: Cost | None
    """None where a boundary is broken before the image is decoded."""
    tensors: tuple[Tensor, ...] = ()

    @property
    def violations(self) -> list[Violation]:
        """The violation of the broken boundary, if there is one."""
        return [crossed.violation for crossed in self.boundaries if crossed.violation]


class Walker:
    """One walk: the boundaries so far, and the input of the next component."""

    denoiser = "UNet"
    """What the network of a step is called."""

    def __init__(self, parts: Components, size: Size, batch: int, dtype: str) -> None:
        """Start with the sizes that the question names, `dtype` a torch name."""
        self._parts, self._size, self._batch, self._dtype = parts, size, batch, dtype
        self._boundaries = Boundaries(
            {
                "N": batch,
                "copies": 2 if parts.guided else 1,
                "W": size[0],
                "H": size[1],
                "scale": parts.scale,
                "latent_C": parts.decoder.config.latent_channels,
            }
        )
        self._dims = self._boundaries.dims
        self._flops: dict[str, int] = {}
        self._peaks: dict[str, int] = {}
        self._tally = tally("meta")
        self._ids: list[torch.Tensor] = []
        self._tensors: list[Tensor] = []
        self._prompt: Any = None
        self._pooled: Any = None
        self._latents: Any = None

    def walk(self) -> Walk:
        """Cross every boundary, until one is broken."""
        import torch

        total = None
        stages = {"text": self._encode, "step": self._denoise, "decode": self._decode}
        with suppress(BrokenError), torch.inference_mode():
            self._hold_size()
            self._tokenize()
            for name, stage in stages.items():
                self._run(name, stage)
            total = self._cost()
        return Walk(
            tuple(self._boundaries.crossed), self._size, total, tuple(dict.fromkeys(self._tensors))
        )

    def _record(self, component: str, is_input: bool, **tensors: Any) -> None:
        for name, tensor in tensors.items():
            dtype, shape = contracts.dtype_of(tensor), tuple(tensor.shape)
            self._tensors.append(Tensor(component, name, is_input, dtype, shape))

    # The stages, in the order of the pipeline.

    def _hold_size(self) -> None:
        given, multiple = size_label(self._size), self._parts.multiple
        expected, violation = f"sides divisible by {multiple}", None
        if self._size[0] % multiple or self._size[1] % multiple:
            violation = Violation("size", given, expected, nearest_sizes(self._size, multiple))
        self._boundaries.note("size", expected, given, violation)

    def _tokenize(self) -> None:
        pairs = zip(self._parts.tokenizers, self._parts.text_encoders, strict=True)
        for number, (tokenizer, encoder) in enumerate(pairs, 1):
            spec = replace(
                contracts.TOKEN_IDS,
                dtypes=("int64",),
                boundary="token ids" if number == 1 else f"token ids {number}",
                high=encoder.get_input_embeddings().num_embeddings - 1,
            )
            self._dims.pop("tokens", None)  # each tokenizer has its own
            length = self._length(number, tokenizer)
            if length > MOST_TOKENS:  # every prompt is padded to as many
                given, expected = f"{length} tokens", f"at most {MOST_TOKENS}"
                violation = Violation(spec.boundary, given, expected, "shorten model_max_length")
                self._boundaries.note(spec.boundary, expected, given, violation)
            with self._boundaries.calling(spec):
                ids = tokenizer(
                    diffusion.PROMPT,
                    padding="max_length",
                    max_length=length,
                    truncation=True,
                    return_tensors="pt",
                ).input_ids
            violations = contracts.check(ids, spec, {"N": 1})
            most = getattr(encoder.config, "max_position_embeddings", None)
            if most is not None and ids.shape[1] > most:
                expected, remedy = f"at most {most}, the text encoder's", "shorten model_max_length"
                given = f"{ids.shape[1]} tokens"
                violations.append(Violation(spec.boundary, given, expected, remedy))
            self._ids.append(ids.to("meta").expand(self._batch, -1))
            self._boundaries.hold(self._ids[-1], spec, *violations)

    def _length(self, number: int, tokenizer: Any) -> int:
        """Return the tokens that every prompt is padded to, for the tokenizer of that number."""
        return int(tokenizer.model_max_length)

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
        width, violations = _text_width(self._parts.unet), []
        if width is not None:
            self._dims["text_width"] = width
            if width != prompt.shape[-1]:
                given = f"width {prompt.shape[-1]}"
                expected = f"{width}, the UNet's cross-attention"
                remedy = "take text encoder and UNet from one model"
                violations.append(Violation(spec.boundary, given, expected, remedy))
        self._boundaries.hold(prompt, spec, *violations)
        self._prompt, self._pooled = prompt, pooled

    def _embed(self) -> Any:
        """Return the embeddings of one prompt an image, and XL's pooled text."""
        import torch

        if not self._parts.is_xl:
            states = self._parts.text_encoders[0](self._ids[0])[0]
            self._record("text_encoder", True, input_ids=self._ids[0])
            self._record("text_encoder", False, last_hidden_state=states)
            return states, None
        states, pooled = [], None
        for number, encoder in enumerate(self._parts.text_encoders):
            name = "text_encoder" if number == 0 else f"text_encoder_{number + 1}"
            output = encoder(self._ids[number], output_hidden_states=True)
            self._record(name, True, input_ids=self._ids[number])
            self._record(name, False, hidden_states=output.hidden_states[-2])
            if output[0].ndim == 2:
                self._record(name, False, text_embeds=output[0])
                pooled = output[0] if pooled is None else pooled
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
        violations = []
        if config.in_channels != self._dims["latent_C"]:
            given = f"{config.in_channels} channels, the UNet's"
            expected = f"{self._dims['latent_C']}, the VAE's latent_channels"
            remedy = "take UNet and VAE from one text-to-image model"
            violations.append(Violation(spec.boundary, given, expected, remedy))
        self._boundaries.hold(latents, spec, *violations)
        spec = replace(
            contracts.UNET_OUTPUT, dtypes=(self._dtype,), source="check the UNet's configuration"
        )
        inputs = {
            "sample": torch.cat([latents] * copies),
            "timestep": torch.empty((), dtype=torch.int64, device="meta"),
            "encoder_hidden_states": self._prompt,
        }
        with self._boundaries.calling(spec):
            noise = parts.unet(**inputs, return_dict=False, **conditions)[0]
        self._boundaries.hold(noise, spec)
        inputs["timestep"] = inputs["timestep"].expand(len(inputs["sample"]))  # a server batches it
        self._record("unet", True, **inputs, **conditions.pop("added_cond_kwargs", {}))
        self._record("unet", True, **conditions)
        self._record("unet", False, out_sample=noise)
        if parts.guided:
            empty, prompt = noise.chunk(2)
            noise = empty + 7.5 * (prompt - empty)  # the same operations for any guidance
        self._latents = latents - noise

    def _conditions(self) -> dict[str, Any]:
        """Return what the UNet takes beside latents, time and text."""
        import torch

        unet, dtype = self._parts.unet, getattr(torch, self._dtype)
        conditions: dict[str, Any] = {}
        if not self._parts.guided:
            shape = (self._batch, unet.config.time_cond_proj_dim)
            conditions["timestep_cond"] = torch.empty(shape, dtype=dtype, device="meta")
        name = "added conditions"
        if self._parts.is_xl:
            times = torch.empty((len(self._prompt), TIME_IDS), dtype=dtype, device="meta")
            embedding = getattr(unet, "add_embedding", None)
            taken = getattr(getattr(embedding, "linear_1", None), "in_features", None)
            width = self._pooled.shape[1] + TIME_IDS * (unet.config.addition_time_embed_dim or 0)
            violations = []
            if width != taken:
                expected = f"{taken or 'none'}, the UNet's"
                given = f"width {width} of pooled text and {TIME_IDS} embedded numbers"
                remedy = "take text encoders and UNet from one XL model"
                violations.append(Violation(name, given, expected, remedy))
            spec = Spec(name, ("copies*N", "pooled"), (self._dtype,))
            self._boundaries.hold(self._pooled, spec, *violations)
            conditions["added_cond_kwargs"] = {"text_embeds": self._pooled, "time_ids": times}
        elif unet.config.addition_embed_type is not None:
            given, expected = "none from this pipeline", str(unet.config.addition_embed_type)
            violation = Violation(name, given, expected, "use a pipeline of the UNet's kind")
            self._boundaries.note(name, expected, given, violation)
        return conditions

    def _decode(self) -> None:
        vae = self._parts.decoder
        dtype = next(vae.parameters()).dtype
        spec = replace(contracts.DECODED, dtypes=(str(dtype).removeprefix("torch."),))
        with self._boundaries.calling(spec):
            latents = self._latents.to(dtype) / vae.config.scaling_factor
            sample = vae.decode(latents, return_dict=False)[0]
            image = (sample * 0.5 + 0.5).clamp(0, 1)
        self._boundaries.hold(image, spec)
        self._record("vae_decoder", True, latent_sample=latents)
        self._record("vae_decoder", False, sample=sample)

    def _run(self, name: str, stage: Callable[[], None]) -> None:
        """Run a stage; count its operations and its peak of activations."""
        self._tally.peak, before = self._tally.now, self._tally.flops
        with self._tally:
            stage()
        self._flops[name], self._peaks[name] = self._tally.flops - before, self._tally.peak

    def _cost(self) -> Cost:
        networks, decoder = self._parts.networks, self._parts.decoder
        weights = sum(map(bytes_of, networks.values()))
        peaks = {name: weights + peak for name, peak in self._peaks.items()}
        peaks["decode"] += bytes_of(decoder) - bytes_of(networks["vae"])
        stage = max(peaks, key=lambda name: peaks[name])
        return Cost(
            sum(tensor.numel() for part in networks.values() for tensor in part.parameters()),
            weights,
            self._flops["text"],
            self._flops["step"],
            self._flops["decode"],
            peaks[stage],
            stage,
            self.denoiser,
        )


def _text_width(unet: Any) -> int | None:
    """Return the width of text that the UNet's cross-attention takes; None where it does not say.

    Read from its layers: a UNet without cross-attention ignores `cross_attention_dim`.
    """
    if unet.encoder_hid_proj is not None:
        return getattr(unet.encoder_hid_proj, "in_features", None)
    attentions = (getattr(module, "attn2", None) for module in unet.modules())
    widths = {attention.to_k.in_features for attention in attentions if attention is not None}
    return widths.pop() if len(widths) == 1 else None
