"""What torch does while it runs something: bytes that live at once, and operations."""

from typing import Any
from weakref import finalize

__all__ = ["tally"]

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
"""What torch takes apart into products; nothing else that is not one itself has operations."""


def tally(device: str) -> Any:
    """Return a context that follows the tensors which torch makes on `device`.

    Its `now` are the bytes of storages that are alive, `peak` the most that there were. A storage
    counts from the operation that returns it until Python and torch let go of it; what an operation
    takes and gives back inside itself is not seen, so that attention counts as fused. `flops` are
    the operations as `torch.utils.flop_counter` counts them: two for a multiplication and an
    addition, in products of matrices, convolutions and attention alone. Storages on the meta device
    have a size and no memory. Enter it under `torch.inference_mode`: elsewhere torch takes
    attention apart before it is seen.
    """
    from torch import Tensor
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves
    from torch.utils.flop_counter import FlopCounterMode, flop_registry

    class Tally(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.now = self.peak = self.flops = 0
            self._known: set[int] = set()

        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            packet = function.overloadpacket
            if packet in flop_registry or packet.__name__ in PRODUCTS:
                with FlopCounterMode(display=False) as counter:
                    output = function(*args, **(kwargs or {}))
                self.flops += counter.get_total_flops()
            else:
                output = function(*args, **(kwargs or {}))
            for leaf in tree_leaves(output):
                if isinstance(leaf, Tensor) and leaf.device.type == device:
                    self._add(leaf.untyped_storage())
            return output

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
