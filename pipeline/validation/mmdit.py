"""The walk over Stable Diffusion 3 and 3.5: three text encoders, and a transformer for the UNet."""

from dataclasses import replace
from typing import Any

from pipeline import contracts
from pipeline.contracts import Spec, Violation
from pipeline.validation.walker import Walker

__all__ = ["MMDiTWalker"]

T5_TOKENS = 256
"""diffusers' `max_sequence_length`; T5 itself has no limit."""


class MMDiTWalker(Walker):
    """Walk as `StableDiffusion3Pipeline` calls: pooled text of two CLIPs, a sequence of all three.

    Scaling Rectified Flow Transformers for High-Resolution Image Synthesis, arXiv:2403.03206.
    """

    denoiser = "transformer"

    def _length(self, number: int, tokenizer: Any) -> int:
        return T5_TOKENS if number == 3 else super()._length(number, tokenizer)

    def _encode(self) -> None:
        import torch

        spec = replace(contracts.TEXT_EMBEDDINGS, dtypes=(self._dtype,))
        self._dims.pop("tokens", None)  # those of all three, one after the other
        with self._boundaries.calling(spec):
            prompt, pooled = self._embed()
            empty = self._embed()
            prompt = torch.cat([empty[0], prompt])
            pooled = torch.cat([empty[1], pooled])
        width, violations = self._parts.unet.config.joint_attention_dim, []
        self._dims["text_width"] = width
        if width != prompt.shape[-1]:
            given, expected = f"width {prompt.shape[-1]}", f"{width}, the transformer's"
            remedy = "take text encoders and transformer from one model"
            violations.append(Violation(spec.boundary, given, expected, remedy))
        self._boundaries.hold(prompt, spec, *violations)
        self._prompt, self._pooled = prompt, pooled

    def _embed(self) -> Any:
        """Return the sequence of text that the transformer reads, and the pooled text."""
        import torch

        width = self._parts.unet.config.joint_attention_dim
        states, pooled = [], []
        for number, encoder in enumerate(self._parts.text_encoders[:2]):
            name = "text_encoder" if number == 0 else "text_encoder_2"
            output = encoder(self._ids[number], output_hidden_states=True)
            states.append(output.hidden_states[-2])
            pooled.append(output[0])
            self._record(name, True, input_ids=self._ids[number])
            self._record(name, False, hidden_states=states[-1], text_embeds=pooled[-1])
        clip = torch.cat(states, dim=-1)
        if len(self._parts.text_encoders) == 3:
            long = self._parts.text_encoders[2](self._ids[2])[0].to(clip.dtype)
            self._record("text_encoder_3", True, input_ids=self._ids[2])
            self._record("text_encoder_3", False, last_hidden_state=long)
        else:  # the model was saved without it
            long = clip.new_zeros((self._batch, T5_TOKENS, width))
        clip = torch.nn.functional.pad(clip, (0, long.shape[-1] - clip.shape[-1]))
        return torch.cat([clip, long], dim=-2), torch.cat(pooled, dim=-1)

    def _denoise(self) -> None:
        import torch

        parts, copies = self._parts, self._dims["copies"]
        config, dtype = parts.unet.config, getattr(torch, self._dtype)
        pooled, violations = Spec("pooled text", ("copies*N", "pooled"), (self._dtype,)), []
        if self._pooled.shape[-1] != config.pooled_projection_dim:
            expected = f"{config.pooled_projection_dim}, the transformer's"
            given = f"width {self._pooled.shape[-1]}"
            remedy = "take text encoders and transformer from one model"
            violations.append(Violation(pooled.boundary, given, expected, remedy))
        self._boundaries.hold(self._pooled, pooled, *violations)
        spec, violations = replace(contracts.LATENTS, dtypes=(self._dtype,)), []
        height, width = (self._dims[side] // parts.scale for side in ("H", "W"))
        shape = (self._batch, config.in_channels, height, width)
        latents = torch.empty(shape, dtype=dtype, device="meta")
        if config.in_channels != self._dims["latent_C"]:
            given = f"{config.in_channels} channels, the transformer's"
            expected = f"{self._dims['latent_C']}, the VAE's latent_channels"
            remedy = "take transformer and VAE from one text-to-image model"
            violations.append(Violation(spec.boundary, given, expected, remedy))
        self._boundaries.hold(latents, spec, *violations)
        source = "check the transformer's configuration"
        spec = replace(
            contracts.UNET_OUTPUT,
            boundary="transformer output",
            dtypes=(self._dtype,),
            source=source,
        )
        inputs = {
            "hidden_states": torch.cat([latents] * copies),
            "timestep": torch.empty((copies * self._batch,), dtype=dtype, device="meta"),
            "encoder_hidden_states": self._prompt,
            "pooled_projections": self._pooled,
        }
        with self._boundaries.calling(spec, "ask for a smaller size, or check what feeds it"):
            noise = parts.unet(**inputs, return_dict=False)[0]
        self._boundaries.hold(noise, spec)
        self._record("transformer", True, **inputs)
        self._record("transformer", False, out_hidden_states=noise)
        empty, prompt = noise.chunk(2)
        self._latents = latents - (empty + 7.0 * (prompt - empty))
