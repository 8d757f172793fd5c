"""How many bytes of tensors live at once while torch runs something, on any device."""

from typing import Any
from weakref import finalize

__all__ = ["tracker"]


def tracker(device: str) -> Any:
    """Return a context in which the storages that torch makes on `device` are followed.

    Its `now` are the bytes of those that are alive, `peak` the most that there were. A storage
    counts from the operation that returns it until Python and torch let go of it; what an operation
    takes and gives back inside itself is not seen. Works on the meta device, where storages have a
    size and no memory.
    """
    from torch import Tensor
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Tracker(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.now = self.peak = 0
            self._known: set[int] = set()

        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
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

    return Tracker()
