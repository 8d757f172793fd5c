"""Simulated tensors: every operation on them runs on the CPU, under a device's rules.

The rules are those of CUDA that code can break without a GPU noticing: operands on two devices, a
generator of the other device, a copy or a synchronisation while a graph is captured.
"""

import time
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
CUDA = torch.device("cuda", 0)

_COPIES = {aten._to_copy.default, aten.copy_.default, aten._copy_from.default}
_SYNCHRONISING = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten._unique2.default,
    aten.is_nonzero.default,
    aten.equal.default,
    aten.masked_select.default,
}
_INDEXING = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default}
_STRICT = {  # take no 0-dimensional tensor of the CPU either
    aten.cat.default,
    aten.stack.default,
    aten.convolution.default,
    aten.mm.default,
    aten.addmm.default,
    aten.bmm.default,
}


class Device:
    """The state of the one device."""

    def __init__(self) -> None:
        self.live = self.peak = 0
        """Bytes of its tensors."""
        self.pending = 0
        """Operations since the host last waited for the device."""
        self.copies: Counter[str] = Counter()
        """Copies between host and device, and other operations that the host waits for."""
        self.recording: list[Any] | None = None
        """Operations of the capture that is going on."""
        self.trace: list[tuple[str, int, int]] | None = None
        """Name, start and end in ns of each operation, while it is profiled."""
        self.fault: Callable[[Any, tuple[Any, ...]], None] = lambda operation, arguments: None
        """Raises where a test wants an operation to fail."""
        self._storages: set[int] = set()

    def hold(self, tensor: torch.Tensor) -> None:
        """Count the memory of a tensor until its storage is freed."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._storages:
            return
        self._storages.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._free, key, size)

    def wait(self, what: str = "synchronize") -> None:
        """Let the host wait until the device has finished."""
        if self.recording is not None:
            raise RuntimeError(
                f"CUDA error: operation not permitted when stream is capturing ({what})"
            )
        self.pending = 0

    def _free(self, key: int, size: int) -> None:
        self._storages.discard(key)
        self.live -= size


DEVICE = Device()


class Simulated(torch.Tensor):
    """A tensor of the simulated device; `content` is where it really is, on the CPU."""

    content: torch.Tensor

    @staticmethod
    def __new__(cls, content: torch.Tensor) -> "Simulated":
        tensor: Simulated = torch.Tensor._make_wrapper_subclass(
            cls,
            content.size(),
            strides=content.stride(),
            storage_offset=content.storage_offset(),
            dtype=content.dtype,
            layout=content.layout,
            device="meta",  # torch's C++ allocates nothing for it
        )
        tensor.content = content
        DEVICE.hold(content)
        return tensor

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(
        cls, operation: Any, types: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        return run(operation, arguments, named or {})

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return CUDA

    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)
    is_meta = property(lambda self: False)

    def get_device(self) -> int:
        return 0

    def __repr__(self, **_: Any) -> str:
        return f"Simulated({self.content!r}, device='cuda:0')"

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor "
            "to host memory first."
        )

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()


def is_cuda(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


def run(operation: Any, arguments: Any, named: Any, instead: Any = None) -> Any:
    """Run an operation on the contents, if it is the device's; `instead` is called for it."""
    name = str(operation)
    if "_has_compatible_shallow_copy_type" in name:
        return False
    leaves, structure = pytree.tree_flatten((arguments, named))
    ours = [leaf for leaf in leaves if isinstance(leaf, Simulated)]
    target = named.get("device")
    if ours and target is not None and torch.device(target).type == "meta":
        named = {**named, "device": CUDA}  # torch's C++ knows these tensors as meta
        target, (leaves, structure) = CUDA, pytree.tree_flatten((arguments, named))
    if name.startswith("image.decode_jpegs_cuda"):
        decoded = [torch.ops.image.decode_jpeg(data, arguments[1], False) for data in arguments[0]]
        return [Simulated(picture) for picture in decoded]
    if not ours and not is_cuda(target):
        return operation(*arguments, **named)
    on_device = is_cuda(target) if target is not None else bool(ours)
    _check(operation, name, leaves, ours, named, on_device, instead)
    DEVICE.fault(operation, arguments)
    _count(operation, name, arguments, ours, target)
    contents = {id(tensor.content): tensor for tensor in ours}
    of_host = {
        leaf.untyped_storage()._cdata
        for leaf in leaves
        if isinstance(leaf, torch.Tensor) and not isinstance(leaf, Simulated)
    }
    inner, inner_named = pytree.tree_unflatten(
        [leaf.content if isinstance(leaf, Simulated) else leaf for leaf in leaves], structure
    )
    if is_cuda(inner_named.get("device")):
        inner_named = {**inner_named, "device": torch.device("cpu")}
    if inner_named.get("pin_memory"):
        inner_named = {**inner_named, "pin_memory": False}
    call = instead or operation
    begun = time.perf_counter_ns()
    result = call(*inner, **inner_named)
    if DEVICE.trace is not None:
        DEVICE.trace.append((name, begun, time.perf_counter_ns()))
    if DEVICE.recording is not None:
        DEVICE.recording.append((call, inner, inner_named, result))
    if operation is aten.copy_.default:
        return arguments[0]

    def outer(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or isinstance(value, Simulated):
            return value
        if id(value) in contents:  # in place, or a view of all
            return contents[id(value)] if on_device else value.clone()
        if not on_device:
            return value
        shared = value.untyped_storage()._cdata in of_host  # a copy to the CPU may be no copy
        return Simulated(value.clone() if shared else value)

    return outer(result) if isinstance(result, torch.Tensor) else pytree.tree_map(outer, result)


def _check(
    operation: Any,
    name: str,
    leaves: list[Any],
    ours: list[Simulated],
    named: dict[str, Any],
    on_device: bool,
    instead: Any,
) -> None:
    """Raise as torch does for operands, or a generator, of another device."""
    place = "cuda" if on_device else "cpu"
    generator = named.get("generator")
    if generator is not None and generator.device.type != place:
        raise RuntimeError(
            f"Expected a '{place}' device type for generator but found '{generator.device.type}'"
        )
    if not ours or operation in _COPIES or name.startswith("aten.to.") or instead is not None:
        return
    of_host = [
        leaf
        for leaf in leaves
        if isinstance(leaf, torch.Tensor) and not isinstance(leaf, Simulated)
    ]
    if operation in _INDEXING:
        if not isinstance(leaves[0], Simulated):
            raise RuntimeError("indices should be on the same device as the indexed tensor (cpu)")
        return
    if any(tensor.dim() > 0 or operation in _STRICT for tensor in of_host):
        shapes = [tuple(tensor.shape) for tensor in of_host]
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"cuda:0 and cpu! (when calling {name}, shapes {shapes})"
        )


def _count(operation: Any, name: str, arguments: Any, ours: list[Simulated], target: Any) -> None:
    """Note the work, and whether the host waits for it."""
    moves = operation is aten._to_copy.default or name.startswith("aten.to.")
    crosses = moves and target is not None and is_cuda(target) != bool(ours)
    if operation is aten.copy_.default:
        crosses = len({isinstance(tensor, Simulated) for tensor in arguments[:2]}) == 2
    if crosses or operation in _SYNCHRONISING:
        DEVICE.wait(name)
        DEVICE.copies[name] += 1
    else:
        DEVICE.pending += 1


class Operations(TorchDispatchMode):
    """Creates on the device what names it; operations with its tensors get here as well."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here: else the first operation imports the compiler

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        return run(operation, arguments, named or {})


_attention = torch.nn.functional.scaled_dot_product_attention


class Functions(TorchFunctionMode):
    """Python's functions of torch, before its C++ asks for a real device."""

    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        named = dict(named or {})
        if getattr(function, "__name__", "") in ("to", "cuda") or "device" in named:
            arguments = tuple(_indexed(argument) for argument in arguments)
            named = {key: _indexed(value) for key, value in named.items()}
        drawn = function is torch.randn and named.get("generator") is not None
        drawn = drawn and is_cuda(named["generator"].device)  # which torch's C++ does not keep
        made = drawn or function in (torch.tensor, torch.as_tensor, torch.asarray)
        if made and is_cuda(named.get("device")):
            return function(*arguments, **{**named, "device": "cpu"}).to(CUDA)
        if function is _attention and any(isinstance(value, Simulated) for value in arguments):
            tensors = [
                leaf
                for leaf in pytree.tree_leaves((arguments, named))
                if isinstance(leaf, torch.Tensor)
            ]
            if {tensor.device.type for tensor in tensors} != {"cuda"}:
                raise RuntimeError("Expected query, key, value and mask on the same device")
            if len({tensor.dtype for tensor in tensors[:3]}) != 1:
                raise RuntimeError("Expected query, key, and value to have the same dtype")
            operation = aten.scaled_dot_product_attention.default
            return run(operation, arguments, named, instead=_attention)
        return function(*arguments, **named)


def _indexed(value: Any) -> Any:
    """Return cuda:0 for `cuda`, which stands for the current device."""
    named = value == "cuda" if isinstance(value, str) else None
    return CUDA if named or (isinstance(value, torch.device) and value.type == "cuda") else value
