"""A Flux model in this process: loading it, running it where a batch lies, and what must hold."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import contracts
from pipeline.contracts import SIZE, Violation
from pipeline.errors import ContractError, PipelineError, UnavailableError
from pipeline.flux import julia, network

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = [
    "Model",
    "call_function",
    "check_alone",
    "check_repeated",
    "check_unchanged",
    "in_memory",
    "load",
    "output_size",
    "scoring_bytes",
    "split_name",
]

REPEATS = 1e-4
"""How far scores of one image may lie apart between two calls, relative to their size."""


@cache
def load(
    channels: int, device: str = "cpu", model: str = "", weights: str = "", buffered: bool = False
) -> "Model":
    """Return what `pipeline.flux.forward.load` does, without trying a user's model first."""
    scorer = julia.start().FluxScores
    if device == "cuda" and (absent := julia.cuda_missing()) is not None:
        raise UnavailableError("--device cuda", absent)
    if model:
        julia_model = call_function(model)
        classes, _ = output_size(julia_model, model, channels, 2)
    else:
        path = weights or str(network.weights_path(channels))
        with julia.gist(f"--flux-weights {path}", f"weights for {channels} channels"):
            julia_model = scorer.build(scorer.load_weights(path))
            classes = int(scorer.output_size(julia_model, channels, 2)[0])
    with julia.gist(f"--flux-model {model}" if model else "the network", f"weights on {device}"):
        julia_model = scorer.place(julia_model, device)
    if buffered:
        julia_model = scorer.Buffered(julia_model)
    return Model(julia_model, channels, classes, device)


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


def call_function(model: str) -> Any:
    """Return the model that a user's function gives."""
    file, name = split_name(model)
    with julia.gist(f"--flux-model {model}", "a function that returns a Flux model"):
        return julia.start().FluxScores.load_model(file, name)


def output_size(julia_model: Any, model: str, channels: int, count: int) -> tuple[int, int]:
    """Return (classes, count), the size of a user's model's output."""
    expected = f"a model that takes ({SIZE}, {SIZE}, {channels}, N), WHCN, to (classes, N)"
    with julia.gist(f"--flux-model {model}", expected):
        classes, images = julia.start().FluxScores.output_size(julia_model, channels, count)
    return int(classes), int(images)


def scoring_bytes(julia_model: Any, channels: int, count: int) -> int:
    """Return the bytes of a model, and of the most activations of `count` images at once."""
    return int(julia.start().FluxScores.scoring_bytes(julia_model, channels, count))


def check_unchanged(batch: Any, before: Any) -> list[Violation]:
    """Check that a model left a batch as it was `before`; numpy arrays or tensors."""
    if bool((batch == before).all()):
        return []
    remedy = "let the model work on a copy: x -> model(copy(x))"
    return [Violation("batch", "changed by the model", "a batch that stays as it is", remedy)]


def check_repeated(first: "np.ndarray", second: "np.ndarray") -> list[Violation]:
    """Check that two calls on one batch gave the same scores."""
    import numpy as np

    if np.allclose(first, second, rtol=REPEATS, atol=REPEATS, equal_nan=True):
        return []
    given = f"not repeatable, {np.abs(first - second).max():.3g} apart in two calls on one batch"
    remedy = "return Flux.testmode!(model), and draw no random numbers"
    return [Violation("scores", given, "the same scores", remedy)]


def check_alone(in_batch: "np.ndarray", alone: "np.ndarray") -> list[Violation]:
    """Check that images score the same alone as in a batch: batch norm that trains mixes them."""
    import numpy as np

    if np.allclose(in_batch, alone, rtol=REPEATS, atol=REPEATS, equal_nan=True):
        return []
    given = f"{np.abs(in_batch - alone).max():.3g} apart for an image alone and in a batch"
    remedy = "return Flux.testmode!(model), and let no layer mix images"
    return [Violation("scores", given, "the same scores", remedy)]


def in_memory(batch: "torch.Tensor | np.ndarray") -> "np.ndarray":
    """Return a batch as an array that Julia can read: in C order, aligned, on the CPU.

    It has the batch's own memory where that is so already. Raises `ContractError` for a tensor
    that has no such values.
    """
    import numpy as np

    values: Any = batch
    if hasattr(values, "data_ptr"):
        import torch

        if values.layout != torch.strided:
            raise ContractError(
                f"batch: layout {values.layout}", "a dense tensor", "call to_dense()"
            )
        if values.is_meta:
            raise ContractError("batch: on meta, without values", "on cpu or cuda", "make it there")
        values = values.detach().resolve_neg().cpu().numpy()
    array: np.ndarray = np.require(values, requirements=("C", "ALIGNED"))
    return array


@dataclass(frozen=True)
class Model:
    """A Flux model on a device, for batches (N, `channels`, 224, 224), float32, in C order.

    A batch's memory is read in place: NCHW in C order is WHCN in Julia's column-major order. A
    batch that is not contiguous or not aligned, or that lies on a GPU, is copied first.
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
        shape = ("N", self.channels, SIZE, SIZE)
        contracts.require(contracts.check_input(batch, shape, "float32"))
        array = in_memory(batch)  # its memory stays until the end
        with julia.gist("the Flux model", f"scores of a batch {tuple(batch.shape)}"):
            run = getattr(julia.start().FluxScores, function)
            return run(array.ctypes.data, array.shape[::-1], *arguments)

    def _scores(self, batch: "torch.Tensor | np.ndarray", scores: Any) -> "np.ndarray":
        """Return Julia's (classes, N) as (N, classes), the same memory, after its contract."""
        import numpy as np

        array: np.ndarray = np.asarray(scores).T
        shape = (len(batch), self.classes)
        contracts.require(contracts.check_array("scores", array, shape, "float32"))
        return array
