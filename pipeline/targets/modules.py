"""Components as modules with named inputs and plain outputs, as exporters want them."""

from collections.abc import Sequence
from typing import Any

__all__ = ["of"]


def of(component: str, network: Any, outputs: Sequence[str]) -> Any:
    """Return a module around `network` that gives the `outputs` of `component` alone.

    Its inputs have the names of the contract. The guards of an exported program use them, which
    they cannot where a module takes any keyword.
    """
    import torch

    class Component(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

    class TextEncoder(Component):
        def forward(self, input_ids: Any) -> Any:
            output = self.network(input_ids, output_hidden_states="hidden_states" in outputs)
            states = output.hidden_states[-2] if "hidden_states" in outputs else output[0]
            return (states, output[0]) if "text_embeds" in outputs else states

    class UNet(Component):
        def forward(
            self,
            sample: Any,
            timestep: Any,
            encoder_hidden_states: Any,
            text_embeds: Any = None,
            time_ids: Any = None,
            timestep_cond: Any = None,
        ) -> Any:
            xl = {"text_embeds": text_embeds, "time_ids": time_ids}
            return self.network(
                sample,
                timestep,
                encoder_hidden_states,
                timestep_cond=timestep_cond,
                added_cond_kwargs=None if text_embeds is None else xl,
                return_dict=False,
            )[0]

    class Transformer(Component):
        def forward(
            self,
            hidden_states: Any,
            timestep: Any,
            encoder_hidden_states: Any,
            pooled_projections: Any,
        ) -> Any:
            return self.network(
                hidden_states=hidden_states,
                timestep=timestep,
                encoder_hidden_states=encoder_hidden_states,
                pooled_projections=pooled_projections,
                return_dict=False,
            )[0]

    class Decoder(Component):
        def forward(self, latent_sample: Any) -> Any:
            return self.network.decode(latent_sample, return_dict=False)[0]

    kinds = {"unet": UNet, "transformer": Transformer, "vae_decoder": Decoder}
    return kinds.get(component, TextEncoder)()
