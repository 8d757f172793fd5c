"""What a call computes and needs: operations, and bytes that are alive at once."""

from dataclasses import dataclass
from typing import Any
from weakref import finalize

__all__ = ["Cost", "bytes_of", "tally"]

PRODUCTS = {
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose2d",
    "einsum",
    "linear",
    "matmul",
    "scaled_dot_product_attention",
}
"""Functions that torch decomposes into products; any other has operations only if it is one."""


@dataclass(frozen=True)
class Cost:
    """What one call of a pipeline computes and needs, derived from its shapes.

    Operations are counted as by `torch.utils.flop_counter`: a multiplication and an addition are
    two; matrix products, convolutions and attention count, nothing else.
    """

    parameters: int
    """Of all networks of the pipeline."""
    weights_bytes: int
    text_flops: int
    """Of the text encoders for the whole batch, with the empty prompt of guidance."""
    step_flops: int
    """Of one call of the denoiser on the whole batch, doubled where there is guidance."""
    decode_flops: int
    """Of the VAE's decoder for the whole batch."""
    peak_bytes: int
    """Weights and the most activations that are alive at once.

    Attention counts as fused: it keeps no matrix of scores. Not counted: workspaces of
    convolutions, what an allocator wastes, and the framework itself."""
    peak_stage: str
    """Where the peak is: text, step or decode."""
    denoiser: str = "UNet"
    """What the network of a step is: a UNet or a transformer."""

    def flops(self, calls: int) -> int:
        """Return the operations of one whole batch whose loop calls the denoiser `calls` times."""
        return self.text_flops + calls * self.step_flops + self.decode_flops


def tally(device: str) -> Any:
    """Return a context that follows the tensors which torch makes on `device`.

    `now` is the bytes of storages that are alive, `peak` the most there have been. A storage counts
    from the operation that returns it until Python and torch free it. What an operation allocates
    and frees inside itself is not counted, so attention counts as fused. `flops` counts operations
    as `Cost` does. Storages on the meta device have a size and no memory. Enter it under
    `torch.inference_mode`: elsewhere torch decomposes attention first.
    """
    import torch
    from torch import Tensor
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves
    from torch.utils.flop_counter import FlopCounterMode, flop_registry

    def signature(value: Any) -> Any:
        """Return what the layout of an output can depend on: of a tensor its own layout."""
        if isinstance(value, Tensor):
            return value.shape, value.stride(), value.dtype, value.device
        if isinstance(value, dict):
            return signature(list(value.items()))
        if isinstance(value, list | tuple):
            return tuple(map(signature, value))
        return type(value), value

    class Tally(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.now = self.peak = self.flops = 0
            self._known: set[int] = set()
            self._layouts: dict[Any, tuple[dict[str, Any] | None, int]] = {}

        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            key = (function, signature(args), signature(kwargs or {}))
            layout, flops = self._layouts.get(key, (None, 0))
            if layout is not None:
                output = torch.empty_strided(**layout)
            else:
                output, flops = self._call(function, args, kwargs or {})
                if key not in self._layouts:
                    self._layouts[key] = self._layout(output, (args, kwargs)), flops
            self.flops += flops
            for leaf in tree_leaves(output):
                if isinstance(leaf, Tensor) and leaf.device.type == device:
                    self._add(leaf.untyped_storage())
            return output

        def _call(self, function: Any, args: Any, kwargs: Any) -> tuple[Any, int]:
            """Return the output of an operation, and how many it counts as."""
            packet = function.overloadpacket
            if packet not in flop_registry and packet.__name__ not in PRODUCTS:
                return function(*args, **kwargs), 0
            with FlopCounterMode(display=False) as counter:
                output = function(*args, **kwargs)
            return output, counter.get_total_flops()

        def _layout(self, output: Any, inputs: Any) -> dict[str, Any] | None:
            """Return what makes a tensor like `output`; None where that is not all it is.

            torch takes milliseconds for an operation on the meta device, and the layers of a
            network are alike: an operation on the same layouts is asked of torch once.
            """
            if device != "meta" or not isinstance(output, Tensor) or not output.is_meta:
                return None
            layout: dict[str, Any] = {
                "size": output.shape,
                "stride": output.stride(),
                "dtype": output.dtype,
                "device": output.device,
            }
            storage = output.untyped_storage()
            given = [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)]
            is_own = all(
                leaf.is_meta and leaf.untyped_storage()._cdata != storage._cdata for leaf in given
            )
            is_whole = torch.empty_strided(**layout).untyped_storage().nbytes() == storage.nbytes()
            return layout if is_own and is_whole else None

        def _add(self, storage: Any) -> None:
            if storage._cdata in self._known:
                return
            self._known.add(storage._cdata)
            size = storage.nbytes()
            self.now += size
            self.peak = max(self.peak, self.now)
            finalize(storage, self._forget, storage._cdata, size)

        def _forget(self, key: int, size: int) -> None:
            self._known.discard(key)
            self.now -= size

    return Tally()


def bytes_of(network: Any) -> int:
    """Return the bytes of a network's parameters and buffers."""
    tensors = [*network.parameters(), *network.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
