"""What torch says of the simulated device: memory, streams, graphs, generators, the compiler."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils import _pytree as pytree

from simulated_cuda import NAME, UUID, profiler
from simulated_cuda.tensors import DEVICE, Functions, Operations

TOTAL_BYTES = 80 * 2**30
RESERVED_BEYOND = 2**20


class Stream:
    cuda_stream = 0

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def wait_stream(self, other: "Stream") -> None: ...

    def synchronize(self) -> None:
        DEVICE.wait()


MAIN = Stream()


class Graph:
    """A capture: its operations with the memory that they used."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.operations: list[Any] | None = None

    def replay(self) -> None:
        assert self.operations is not None, "replay before capture"
        DEVICE.pending += 1
        for operation, arguments, named, result in self.operations:
            again = operation(*arguments, **named)
            pairs = zip(pytree.tree_leaves(result), pytree.tree_leaves(again), strict=True)
            for target, source in pairs:
                if isinstance(target, torch.Tensor) and target.data_ptr() != source.data_ptr():
                    target.copy_(source)


class Capture:
    """`torch.cuda.graph`."""

    def __init__(self, graph: Graph, *_: Any, **__: Any) -> None:
        self._graph = graph

    def __enter__(self) -> None:
        DEVICE.wait()
        DEVICE.recording = []

    def __exit__(self, *_: Any) -> None:
        self._graph.operations, DEVICE.recording = DEVICE.recording, None


class Generator(torch.Generator):
    """A generator that says which device it is of; both draw on the CPU."""

    place: torch.device

    def __new__(cls, device: Any = "cpu") -> "Generator":
        generator = super().__new__(cls, "cpu")
        generator.place = torch.device(device)
        return generator

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self.place

    def manual_seed(self, seed: int) -> "Generator":
        super().manual_seed(seed)  # returns a generator that does not know its device
        return self


def properties(device: Any = None) -> SimpleNamespace:
    return SimpleNamespace(
        name=NAME, major=9, minor=0, uuid=UUID, multi_processor_count=132, total_memory=TOTAL_BYTES
    )


def reset_peak(device: Any = None) -> None:
    DEVICE.peak = DEVICE.live


def compiled(model: Any = None, **options: Any) -> Any:
    """`torch.compile`, which checks its options and compiles nothing: see test_compiles.py."""
    unknown = options.keys() - {"fullgraph", "dynamic", "backend", "mode", "options", "disable"}
    assert not unknown, unknown
    return model if model is not None else lambda function: function


def install() -> None:
    """Replace what asks for a real device; from now on tensors can be made on `cuda`."""
    for name, value in {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "synchronize": lambda device=None: DEVICE.wait(),
        "empty_cache": lambda: None,
        "reset_peak_memory_stats": reset_peak,
        "max_memory_allocated": lambda device=None: DEVICE.peak,
        "max_memory_reserved": lambda device=None: DEVICE.peak + RESERVED_BEYOND,
        "memory_allocated": lambda device=None: DEVICE.live,
        "mem_get_info": lambda device=None: (TOTAL_BYTES - DEVICE.live, TOTAL_BYTES),
        "get_rng_state": lambda device=0: torch.get_rng_state(),
        "set_rng_state": lambda state, device=0: None,
        "manual_seed": lambda seed: None,
        "manual_seed_all": lambda seed: None,
        "get_device_name": lambda device=None: NAME,
        "get_device_properties": properties,
        "get_device_capability": lambda device=None: (9, 0),
        "is_bf16_supported": lambda *_, **__: True,
        "Stream": Stream,
        "current_stream": lambda device=None: MAIN,
        "stream": lambda stream: nullcontext(),
        "CUDAGraph": Graph,
        "graph": Capture,
    }.items():
        setattr(torch.cuda, name, value)
    torch.Generator = Generator  # type: ignore[misc]
    torch.compile = compiled  # type: ignore[assignment]
    torch.nn.Module.compile = lambda self, *_, **__: None  # type: ignore[method-assign]
    torch.set_grad_enabled(False)
    profiler.install()
    Operations().__enter__()
    Functions().__enter__()
