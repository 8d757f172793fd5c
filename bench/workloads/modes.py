"""Modes: how a loaded pipeline runs its networks, and how much its pictures may change."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.contracts import Violation
from pipeline.errors import Missing, UnavailableError
from pipeline.stable_diffusion import components

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["EAGER", "MODES", "Graphed", "apply", "check_alike", "difference", "tolerance"]

EAGER = "eager"

MODES = (EAGER, "compile", "graph")
"""`eager`: as diffusers loads it. `compile`: the UNet's repeated blocks go through torch.compile.
`graph`: the whole UNet goes through torch.compile and is replayed as a CUDA graph. The last two
also use channels-last memory and fused attention projections."""

WARM_CALLS = 3
"""Calls before a capture: torch compiles, cuDNN chooses algorithms, memory is allocated."""

Tolerance = tuple[float, float]
"""Levels of 255: the largest difference of one value, and the mean of all."""

_TOLERANCES: dict[str, Tolerance] = {
    "float32": (2, 0.1),
    "float16": (32, 0.75),
    "bfloat16": (64, 3),
}
"""On the CPU `compile` changed the tiny pipeline's pixels by at most 1, 4, 30, in float32 by 0.0001
on average; other kernels changed float16 by 0.14, and bfloat16 differs from float32 by 0.9. A UNet
whose output is 10 % too large, or has 1 % of noise, is 14 off, 1.0 on average. No GPU was measured.
"""


def apply(pipe: Any, mode: str) -> None:
    """Make `pipe` run in `mode` from now on; its next call compiles.

    Raises `UnavailableError` for `graph` on the CPU, and for CUDA without Triton.
    """
    if mode == EAGER:
        return
    import torch

    _require(pipe.device.type, mode)
    torch.compiler.reset()  # compiled code of other shapes counts towards dynamo's limit
    _, network = components.denoiser(pipe)
    for part in (network, pipe.vae):
        part.to(memory_format=torch.channels_last)
        if hasattr(part, "fuse_qkv_projections"):
            part.fuse_qkv_projections()
    if mode == "compile":
        network.compile_repeated_blocks(fullgraph=True, dynamic=False)
    else:
        network.forward = Graphed(torch.compile(network.forward, fullgraph=True, dynamic=False))


def tolerance(dtype: str, device: str) -> Tolerance:
    """Return by how many levels of 255 a pixel may differ from eager's.

    On CUDA float32 convolutions run in TF32, which has the precision of float16.
    """
    return _TOLERANCES["float16" if (dtype, device) == ("float32", "cuda") else dtype]


def difference(images: "Sequence[Image]", others: "Sequence[Image]") -> Tolerance:
    """Return the largest and the mean difference of the levels of images of the same sizes."""
    import numpy as np

    pairs = zip(images, others, strict=True)
    off = [np.abs(np.subtract(*(np.asarray(image, np.int16) for image in pair))) for pair in pairs]
    return max(int(image.max()) for image in off), float(np.mean([image.mean() for image in off]))


def check_alike(off: Tolerance, limits: Tolerance) -> list[Violation]:
    """Check that a mode's pictures are eager's for the same noise, by their `difference`."""
    remedy = "the mode changes the picture: use eager, or --sd-dtype float32"
    return [
        Violation(
            "images", f"{levels:.3g} levels of 255 off eager's{of}", f"at most {limit}", remedy
        )
        for of, levels, limit in zip(("", " on average"), off, limits, strict=True)
        if levels > limit
    ]


class Graphed:
    """A function on device tensors that is captured once for each set of shapes, then replayed.

    A replay reads and writes the memory of its capture, so arguments are copied in and results are
    copied out.
    """

    def __init__(
        self, function: Callable[..., Any], capture: Callable[..., Any] | None = None
    ) -> None:
        """Take `capture`, which returns a call's replay and its output; the default is CUDA's."""
        self._function = function
        self._capture = capture or _capture
        self._captured: dict[Any, tuple[list[Any], Callable[[], None], Any]] = {}

    @property
    def captures(self) -> int:
        """How many sets of shapes were captured."""
        return len(self._captured)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return the function's result for these arguments."""
        import torch
        from torch.utils import _pytree as pytree

        leaves, shape = pytree.tree_flatten((arguments, named))
        key = (str(shape), *(_signature(leaf) for leaf in leaves))
        if key not in self._captured:
            device = next(leaf.device for leaf in leaves if isinstance(leaf, torch.Tensor))
            static = [
                leaf.to(device, copy=True) if isinstance(leaf, torch.Tensor) else leaf
                for leaf in leaves
            ]
            inputs, keywords = pytree.tree_unflatten(static, shape)
            captured = self._capture(lambda: self._function(*inputs, **keywords))
            self._captured[key] = (static, *captured)
        static, replay, output = self._captured[key]
        for target, leaf in zip(static, leaves, strict=True):
            if isinstance(leaf, torch.Tensor):
                target.copy_(leaf)
        replay()
        return pytree.tree_map_only(torch.Tensor, torch.clone, output)


def _signature(leaf: Any) -> Any:
    import torch

    if isinstance(leaf, torch.Tensor):
        return tuple(leaf.shape), leaf.dtype
    return leaf


def _capture(call: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    """Capture `call` as https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs says."""
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_CALLS):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = call()
    return graph.replay, output


def _require(device: str, mode: str) -> None:
    option = f"--sd-mode {mode}"
    if mode == "graph" and device != "cuda":
        reason, remedy = "no CUDA graph on the CPU", "add --sd-device cuda"
        raise UnavailableError(option, Missing("cuda", "a CUDA device", reason, remedy))
    if device == "cuda" and not _has_triton():
        reason, remedy = "no Triton, which torch.compile uses on CUDA", "pip install triton"
        raise UnavailableError(option, Missing("compiler", "Triton", reason, remedy))


def _has_triton() -> bool:
    from importlib.util import find_spec

    return find_spec("triton") is not None
