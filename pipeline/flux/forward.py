"""Forward: batch → scores, by Flux.jl (the Julia library, not the FLUX.1 image model)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import availability, contracts
from pipeline.contracts import SIZE
from pipeline.errors import PipelineError, UnavailableError
from pipeline.flux import julia, network

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["Model", "forward", "load", "output_shape", "split_name"]


def forward(
    batch: "torch.Tensor | np.ndarray",
    device: str = "cpu",
    model: str = "",
    weights: str | Path = "",
) -> "np.ndarray":
    """Return the scores (N, classes), float32, of a batch (N, C, 224, 224), float32 in [0, 1].

    `device` is `cpu`, or `cuda` for CUDA.jl; `model` and `weights` as in `load`. Raises
    `UnavailableError` without Julia, Flux or the device, `ContractError` for a batch of another
    type or shape, and `PipelineError` as `load` does.
    """
    channels = batch.shape[1] if len(batch.shape) == 4 else 3  # the model refuses the rest
    return load(channels, device, model, str(weights))(batch)


@cache
def load(channels: int, device: str = "cpu", model: str = "", weights: str = "") -> "Model":
    """Return the Flux model for images of `channels`, on `device`; the same one for the same call.

    `model` names a Julia function that returns a Flux model, as `FILE.jl:function`; without one
    it is the network of `network.py`, with the `weights` of a safetensors file, by default the
    fixture's. The size of its output is asked for before it runs. Raises `UnavailableError` as
    `forward`, and `PipelineError`, with what Julia says, for a file, function, model or weights
    that do not fit.
    """
    scorer = julia.start().FluxScores
    if device == "cuda" and (absent := availability.cuda() or julia.cuda_missing()) is not None:
        raise UnavailableError("--device cuda", absent)
    if model and weights:
        raise PipelineError("--flux-model and --flux-weights", "one of them", "leave one out")
    if model:
        julia_model = _call_function(model)
        classes, _ = _output_size(julia_model, model, channels, 2)
    else:
        path = weights or str(network.weights_path(channels))
        with julia.gist(f"--flux-weights {path}", f"weights for {channels} channels"):
            julia_model = scorer.build(scorer.load_weights(path))
            classes = int(scorer.output_size(julia_model, channels, 2)[0])
    return Model(scorer.move(julia_model, device), channels, classes, device)


def output_shape(model: str = "") -> Callable[[int, int], tuple[int, int]]:
    """Return a function of channels and N that gives the shape (N, classes) of the scores.

    It asks `Flux.outputsize`: nothing runs and no weights are read. `model` as in `load`. The
    function raises `PipelineError` for images that the model does not take; this raises
    `UnavailableError` without Julia.
    """
    scorer = julia.start().FluxScores
    users = _call_function(model) if model else None

    def shape(channels: int, count: int) -> tuple[int, int]:
        julia_model = users if model else scorer.build(network.blank_weights(channels))
        classes, images = _output_size(julia_model, model, channels, count)
        return images, classes

    return shape


def split_name(model: str) -> tuple[str, str]:
    """Split `FILE.jl:function`; the function is `model` where none is named.

    Raises `PipelineError` for a name that has no Julia file in it, or one that does not exist.
    """
    file, colon, name = model.rpartition(":")
    if not colon or not file.endswith(".jl"):
        file, name = model, "model"
    if not file.endswith(".jl") or not name.isidentifier():
        raise PipelineError(f"--flux-model {model}", "FILE.jl or FILE.jl:function", "check it")
    if not Path(file).is_file():
        raise PipelineError(f"--flux-model {model}", "a file that exists", "check the path")
    return file, name


def _call_function(model: str) -> Any:
    """Return the model that a user's function gives."""
    file, name = split_name(model)
    with julia.gist(f"--flux-model {model}", "a function that returns a Flux model"):
        return julia.start().FluxScores.load_model(file, name)


def _output_size(julia_model: Any, model: str, channels: int, count: int) -> tuple[int, int]:
    """Return (classes, count), the size of a user's model's output."""
    expected = f"a model that takes ({SIZE}, {SIZE}, {channels}, N), WHCN, to (classes, N)"
    with julia.gist(f"--flux-model {model}", expected):
        classes, images = julia.start().FluxScores.output_size(julia_model, channels, count)
    return int(classes), int(images)


@dataclass(frozen=True)
class Model:
    """A Flux model on a device, for batches (N, `channels`, 224, 224), float32, in C order.

    A batch's memory is read in place: NCHW in C order is WHCN in Julia's column-major order.
    PyTorch's tensors on a GPU are read there. A batch that is not contiguous or not aligned, or
    that lies elsewhere, is copied first.
    """

    julia_model: Any
    channels: int
    classes: int
    device: str

    def __call__(self, batch: "torch.Tensor | np.ndarray") -> "np.ndarray":
        """Return the scores (N, classes), float32, on the CPU.

        Raises `ContractError` for a batch, or scores, of another type or shape, and `PipelineError`
        with what the model throws.
        """
        return self._scores(batch, self._run("scores_at", batch, self.device, self.julia_model))

    def timed(self, batch: "torch.Tensor | np.ndarray") -> "tuple[np.ndarray, float]":
        """Return the scores, and the seconds of the model alone by Julia's own clock."""
        scores, seconds = self._run("timed_at", batch, self.device, self.julia_model)
        return self._scores(batch, scores), float(seconds)

    def bridge(self, batch: "torch.Tensor | np.ndarray") -> "np.ndarray":
        """Take the batch into Julia and zeros (N, classes) back, without a model."""
        return self._scores(batch, self._run("bridge_at", batch, self.classes))

    def allocated(self, batch: "torch.Tensor | np.ndarray") -> int:
        """Return the bytes that Julia allocates for one forward."""
        return int(self._run("allocated_at", batch, self.device, self.julia_model))

    def _run(self, function: str, batch: "torch.Tensor | np.ndarray", *arguments: Any) -> Any:
        """Call a function of `FluxScores` on a batch in its own memory."""
        owner, address, memory = self._place(batch)  # the owner keeps the memory until the end
        dims = tuple(reversed(owner.shape))
        with julia.gist("the Flux model", f"scores of a batch {tuple(batch.shape)}"):
            run = getattr(julia.start().FluxScores, function)
            return run(address, dims, memory, *arguments)

    def _scores(self, batch: "torch.Tensor | np.ndarray", scores: Any) -> "np.ndarray":
        """Return Julia's (classes, N) as (N, classes), the same memory, after its contract."""
        import numpy as np

        array: np.ndarray = np.asarray(scores).T
        shape = (len(batch), self.classes)
        contracts.require(contracts.check_array("scores", array, shape, "float32"))
        return array

    def _place(self, batch: "torch.Tensor | np.ndarray") -> tuple[Any, int, str]:
        """Return who owns a batch's memory, its address, and which memory it is."""
        shape = ("N", self.channels, SIZE, SIZE)
        contracts.require(contracts.check_input(batch, shape, "float32"))
        if hasattr(batch, "data_ptr"):
            tensor: Any = batch
            tensor = tensor.contiguous()
            if not (tensor.is_cuda and self.device == "cuda"):
                tensor = tensor.cpu()
                return tensor, tensor.data_ptr(), "cpu"
            import torch

            stream = torch.cuda.current_stream(tensor.device)
            stream.synchronize()  # Julia's streams do not wait for torch's
            return tensor, tensor.data_ptr(), "cuda"
        import numpy as np

        array = np.require(batch, requirements=("C", "ALIGNED"))  # Julia refuses any other
        return array, array.ctypes.data, "cpu"
