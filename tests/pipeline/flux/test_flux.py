"""Flux.jl scores as the PyTorch reference does, from the same weights, where the batch lies."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ContractError, PipelineError, UnavailableError
from pipeline.flux import forward as flux
from pipeline.flux import julia, network
from pipeline.flux import model as models
from support.helpers import HIDDEN, SUITES, hide_julia, with_julia

MODELS = {
    "mine.jl": """
        using Flux, Statistics
        mean_colour() = Chain(AdaptiveMeanPool((1, 1)), Flux.flatten)
        four() = Chain(Conv((3, 3), 3 => 2), GlobalMeanPool(), Flux.flatten, Dense(2 => 4))
        throws() = error("no such luck")
        gray() = Chain(Conv((3, 3), 1 => 2), GlobalMeanPool(), Flux.flatten)
        maps() = Conv((3, 3), 3 => 2)
        mixes() = images -> sum(Flux.flatten(images); dims=2)
        number() = 7
        two() = images -> (Flux.flatten(images), Flux.flatten(images))
        smooth() = Chain(Upsample(:bilinear; size=(8, 8)), GlobalMeanPool(), Flux.flatten)
        writes() = Chain(images -> (images .+= 1), GlobalMeanPool(), Flux.flatten)
        drops() = Flux.trainmode!(Chain(Dropout(0.5), GlobalMeanPool(), Flux.flatten))
        trains() = Flux.trainmode!(Chain(BatchNorm(3), GlobalMaxPool(), Flux.flatten))
        const calls = Ref(0)
        counts() = images -> Flux.flatten(mean(images; dims=(1, 2))) .+ Float32(calls[] += 1)
        endless(n) = endless(n + 1) + 1
        recurses() = Chain(images -> endless(1), Flux.flatten)
        leaves() = exit(3)
        later() = Chain(
            GlobalMeanPool(),
            Flux.flatten,
            images -> eltype(images) == Float32 ? error("out of luck") : images,
        )
    """,
    "syntax.jl": "model() = Chain(\n",
    "package.jl": "using NoSuchPackage\n",
    "broken.jl": 'error("it broke while it was read")\n',
}

PREFIX = "--flux-weights {folder}/{name}.safetensors: expected weights for 3 channels; "
WEIGHTS = {  # the rest of what is wrong with weights is tested in julia/test
    "missing key": "weights: no dense.bias; "
    "expected conv.weight, conv.bias, dense.weight, dense.bias",
    "truncated": "weights {folder}/truncated.safetensors: not a whole safetensors file",
    "nowhere": "weights {folder}/nowhere.safetensors: there is no such file",
}

FUNCTION = "--flux-model {folder}/{name}: expected a function that returns a Flux model; "
SHAPE = (
    "--flux-model {folder}/{name}: expected a model that takes (224, 224, 3, N), WHCN, "
    "to (classes, N); "
)
USERS = {
    "mine.jl:nothing_here": FUNCTION
    + "{folder}/mine.jl: it defines no function called nothing_here",
    "mine.jl": FUNCTION + "{folder}/mine.jl: it defines no function called model",
    "mine.jl:one": FUNCTION + "{folder}/mine.jl: it defines no function called one",
    "mine.jl:Chain": FUNCTION + "{folder}/mine.jl: it defines no function called Chain",
    "mine.jl:throws": FUNCTION + "no such luck",
    "broken.jl": FUNCTION + "LoadError: it broke while it was read",
    "mine.jl:gray": SHAPE + "DimensionMismatch: layer Conv((3, 3), 1 => 2) expects "
    "size(input, 3) == 1, but got 224×224×3×2 Array{{Float32, 4}}",
    "mine.jl:two": SHAPE + "the model gives a tuple of 2; expected one array",
    "mine.jl:maps": SHAPE + "the model gives size (222, 222, 2, 2); expected (classes, 2)",
    "mine.jl:mixes": SHAPE + "the model gives size (150528, 1); expected (classes, 2)",
    "mine.jl:later": "the Flux model: expected scores of a batch (4, 3, 224, 224); out of luck",
    "nowhere.jl": "--flux-model {folder}/nowhere.jl: expected a file that exists; check the path",
    "mine.py": "--flux-model {folder}/mine.py: expected FILE.jl or FILE.jl:function; check it",
}
TRIED = {
    "mine.jl:recurses": "expected a model that runs; it crashed Julia (SIGSEGV): look for a "
    "function that calls itself for ever",
    "mine.jl:leaves": "expected a model that runs; it ended Julia with exit code 3: remove its "
    "exit()",
    "mine.jl:writes": "batch: changed by the model: expected a batch that stays as it is; let the "
    "model work on a copy: x -> model(copy(x))",
    "mine.jl:drops": "expected the same scores; return Flux.testmode!(model), and draw no random "
    "numbers",
    "mine.jl:trains": "apart for an image alone and in a batch: expected the same scores; return "
    "Flux.testmode!(model), and let no layer mix images",
    "mine.jl:counts": "scores: not repeatable, 1 apart in two calls on one batch: expected the "
    "same scores; return Flux.testmode!(model), and draw no random numbers",
}
"""What a child finds out about a model, by how its line ends."""

IN_JULIAS_WORDS = {
    "syntax.jl": FUNCTION + "LoadError: ParseError: # Error @ {folder}/syntax.jl:",
    "package.jl": FUNCTION + "LoadError: ArgumentError: Package NoSuchPackage not found",
    "mine.jl:number": SHAPE + "MethodError: objects of type Int64 are not callable",
}
"""How these lines begin: what follows is what the Julia that runs says, and differs by version."""

OTHERS = {
    "channels": "2 channels: expected 1 or 3; pass grayscale or RGB images",
    "gray": "--flux-weights {folder}/1 plain.safetensors: expected weights for 3 channels; "
    "DimensionMismatch: layer Conv((3, 3), 1 => 16, relu, pad=1) expects size(input, 3) == 1, "
    "but got 224×224×3×2 Array{{Float32, 4}}",
    "both": "--flux-model and --flux-weights: expected one of them; leave one out",
}

REFUSED = {name: PREFIX + line for name, line in WEIGHTS.items()} | USERS | OTHERS


CHANGES: dict[str, Callable[[Any, Any], dict[str, Any]]] = {
    "plain": lambda kernel, grid: {},
    "flip": lambda kernel, grid: {"conv.weight": kernel[:, :, ::-1, ::-1]},
    "flip rows": lambda kernel, grid: {"conv.weight": kernel[:, :, ::-1]},
    "flip columns": lambda kernel, grid: {"conv.weight": kernel[:, :, :, ::-1]},
    "turn": lambda kernel, grid: {"conv.weight": kernel.swapaxes(2, 3)},
    "rows last": lambda kernel, grid: {"dense.weight": grid.swapaxes(2, 3).reshape(10, 784)},
    "grid last": lambda kernel, grid: {"dense.weight": grid.transpose(0, 2, 3, 1).reshape(10, 784)},
}
"""Weights as a fault in the layout would turn them, by its name."""


def write_weights(folder: Path) -> None:
    """Write weights that differ from the fixture's in one thing each."""
    import numpy as np
    from safetensors.numpy import save_file

    def save(name: str, weights: dict[str, Any]) -> None:
        arrays = {key: np.ascontiguousarray(array) for key, array in weights.items()}
        save_file(arrays, folder / f"{name}.safetensors")

    for channels in (1, 3):
        rgb = network.load_weights(channels)
        kernel, dense = rgb["conv.weight"], rgb["dense.weight"]
        grid = dense.reshape(10, 16, 7, 7)
        for name, change in CHANGES.items():
            save(f"{channels} {name}", rgb | change(kernel, grid))
    save("missing key", {key: array for key, array in rgb.items() if key != "dense.bias"})
    whole = (folder / "3 plain.safetensors").read_bytes()
    (folder / "truncated.safetensors").write_bytes(whole[:-1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models and weights of a user's own."""
    folder = tmp_path_factory.mktemp("mine")
    for name, text in MODELS.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def answers(folder: Path) -> dict[str, Any]:
    """What a real Flux makes of good and bad batches, weights and models."""
    write_weights(folder)
    names = {"weights": list(WEIGHTS), "models": [*USERS, *IN_JULIAS_WORDS], "tried": list(TRIED)}
    suite = (SUITES / "flux_answers.py").read_text(encoding="utf-8")
    answers: dict[str, Any] = with_julia(suite, FOLDER=str(folder), REFUSED=json.dumps(names))
    return answers


every_batch = pytest.mark.parametrize(
    "batch", [f"{channels} channels, batch {count}" for channels in (1, 3) for count in (1, 8, 32)]
)


@every_batch
def test_flux_agrees_with_the_reference(answers: dict[str, Any], batch: str) -> None:
    scores = answers[batch]
    assert scores["shape"] == [int(batch.rpartition(" ")[2]), 10]
    assert scores["dtype"] == "float32"
    assert scores["apart"] < 1e-4


@pytest.mark.parametrize("channels", [1, 3])
def test_a_fault_in_kernel_or_flattening_order_changes_the_scores(
    answers: dict[str, Any], channels: int
) -> None:
    """Weights turned as the fault would turn them score otherwise, far beyond the tolerance."""
    apart = {name: answers[f"{channels} {name}"] for name in CHANGES}
    assert apart.pop("plain") < 1e-4
    assert min(apart.values()) > 1e-3


@every_batch
def test_a_batch_is_read_where_it_lies(answers: dict[str, Any], batch: str) -> None:
    from_python, in_julia = answers[batch]["allocated"]
    assert answers[batch]["in place"] is True
    assert from_python <= in_julia + 1000


def test_scores_depend_on_values_and_not_on_their_layout(answers: dict[str, Any]) -> None:
    assert len(answers["layouts"]) == 8
    assert {name for name, apart in answers["layouts"].items() if apart >= 1e-6} == set()


@every_batch
def test_a_timed_forward_gives_its_seconds_and_the_same_scores(
    answers: dict[str, Any], batch: str
) -> None:
    seconds, apart = answers[batch]["timed"]
    assert seconds > 0
    assert apart < 1e-6


@every_batch
def test_the_bridge_alone_gives_zeros_of_the_scores_shape(
    answers: dict[str, Any], batch: str
) -> None:
    assert answers[batch]["bridge"] == [answers[batch]["shape"], "float32", False]


def test_a_users_own_model_takes_the_batch_as_it_is(answers: dict[str, Any]) -> None:
    shape, apart = answers["mean"]
    assert shape == [4, 3]
    assert apart < 1e-3  # 50 176 float32 added up one by one


def test_a_layer_that_outputsize_cannot_follow_is_run_instead(answers: dict[str, Any]) -> None:
    assert answers["smooth"] == [3, [4, 3]]


@every_batch
def test_kept_buffers_give_the_same_scores_and_allocate_less(
    answers: dict[str, Any], batch: str
) -> None:
    assert answers[batch]["buffered"] < 1e-5
    assert answers[batch]["buffered allocates"] < answers[batch]["allocated"][0] / 10


def test_a_users_own_model_has_as_many_classes_as_it_gives(answers: dict[str, Any]) -> None:
    assert answers["four"] == [4, [4, 4], [4, 4]]


@pytest.mark.parametrize("name", REFUSED)
def test_what_flux_cannot_run_is_refused_with_one_line(
    answers: dict[str, Any], folder: Path, name: str
) -> None:
    assert answers["refused"][name] == REFUSED[name].format(folder=folder, name=name)


@pytest.mark.parametrize("name", TRIED)
def test_what_a_model_does_to_julia_is_found_in_a_child(answers: dict[str, Any], name: str) -> None:
    assert answers["refused"][name].endswith(TRIED[name])
    assert len(answers["refused"][name].splitlines()) == 1


@pytest.mark.parametrize("name", IN_JULIAS_WORDS)
def test_what_julia_says_of_a_users_file_is_one_line(
    answers: dict[str, Any], folder: Path, name: str
) -> None:
    line = answers["refused"][name]
    assert line.startswith(IN_JULIAS_WORDS[name].format(folder=folder, name=name))
    assert len(line.splitlines()) == 1
    assert "Stacktrace" not in line


# A batch is looked at before Julia is: here it would fail the test.

IMAGES = "expected shape (N, 3, 224, 224); preprocess the images first"
FLOAT32 = "expected float32; convert it to float32"
BATCHES = {
    "float64 tensor": (lambda images: images.double(), f"dtype float64: {FLOAT32}"),
    "float64 array": (lambda images: images.numpy().astype("f8"), f"dtype float64: {FLOAT32}"),
    "float16 tensor": (lambda images: images.half(), f"dtype float16: {FLOAT32}"),
    "float16 array": (lambda images: images.numpy().astype("f2"), f"dtype float16: {FLOAT32}"),
    "bfloat16": (lambda images: images.bfloat16(), f"dtype bfloat16: {FLOAT32}"),
    "levels": (lambda images: images.byte(), f"dtype uint8: {FLOAT32}"),
    "big-endian": (lambda images: images.numpy().astype(">f4"), f"dtype >f4: {FLOAT32}"),
    "width": (lambda images: images[..., :223], f"shape (2, 3, 224, 223): {IMAGES}"),
    "height": (lambda images: images.numpy()[:, :, 1:], f"shape (2, 3, 223, 224): {IMAGES}"),
    "one image": (lambda images: images[0], f"shape (3, 224, 224): {IMAGES}"),
    "NHWC": (lambda images: images.permute(0, 2, 3, 1), f"shape (2, 224, 224, 3): {IMAGES}"),
    "gray": (lambda images: images[:, :1], f"shape (2, 1, 224, 224): {IMAGES}"),
    "empty": (lambda images: images[:0], f"shape (0, 3, 224, 224): {IMAGES}"),
    "list": (
        lambda images: images.tolist(),
        "of type list: expected a tensor or an array; preprocess the images first",
    ),
}


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("method", ["__call__", "timed", "bridge", "allocated"])
def test_a_batch_of_another_shape_or_type_never_reaches_julia(
    monkeypatch: pytest.MonkeyPatch, method: str, name: str
) -> None:
    import torch

    monkeypatch.setattr(julia, "_start", lambda: pytest.fail("Julia was started"))
    make, line = BATCHES[name]
    with pytest.raises(ContractError) as refused:
        getattr(flux.Model(None, 3, 10, "cpu"), method)(make(torch.zeros((2, 3, 224, 224))))
    assert str(refused.value) == f"batch: {line}"


def test_what_has_no_memory_to_read_is_refused() -> None:
    import torch

    batch = torch.zeros((1, 3, 224, 224))
    for other, line in {
        batch.to("meta"): "on meta, without values: expected on cpu or cuda; make it there",
        batch.to_sparse(): "layout torch.sparse_coo: expected a dense tensor; call to_dense()",
    }.items():
        with pytest.raises(ContractError) as refused:
            models.in_memory(other)
        assert str(refused.value) == f"batch: {line}"


@pytest.mark.parametrize("view", ["grad", "negative"])
def test_a_tensors_view_is_read_by_its_values(view: str) -> None:
    import torch

    batch = torch.rand((1, 3, 224, 224))
    seen = batch.requires_grad_() if view == "grad" else torch._neg_view(-batch)
    assert models.in_memory(seen).tolist() == batch.tolist()


def test_a_device_that_flux_has_not_is_refused() -> None:
    with pytest.raises(PipelineError) as refused:
        flux.load(3, "xla")
    assert str(refused.value) == "device 'xla': expected cpu or cuda; change the device"


@pytest.mark.parametrize(
    ("device", "model"), [("cuda", ""), ("cpu", "mine.jl")], ids=["device", "model"]
)
def test_buffers_are_kept_for_the_own_network_on_the_cpu_alone(device: str, model: str) -> None:
    with pytest.raises(PipelineError) as refused:
        flux.load(3, device, model, buffered=True)
    assert str(refused.value) == (
        f"buffers for {model or device}: expected the network of this project on the CPU; "
        "leave them out"
    )


@pytest.mark.parametrize(("suffix", "name"), [(":mine", "mine"), ("", "model")])
def test_a_model_is_named_by_its_file_and_function(folder: Path, suffix: str, name: str) -> None:
    file = str(folder / "mine.jl")
    assert flux.split_name(file + suffix) == (file, name)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("mine.py:model", "FILE.jl or FILE.jl:function; check it"),
        ("mine.jl:", "FILE.jl or FILE.jl:function; check it"),
        ("mine.jl:exit()", "FILE.jl or FILE.jl:function; check it"),
        ("nowhere.jl:model", "a file that exists; check the path"),
    ],
)
def test_another_name_of_a_model_is_refused(model: str, expected: str) -> None:
    with pytest.raises(PipelineError) as refused:
        flux.split_name(model)
    assert str(refused.value) == f"--flux-model {model}: expected {expected}"


def test_without_julia_forward_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    hide_julia(monkeypatch)
    models.load.cache_clear()
    with pytest.raises(UnavailableError) as refused:
        flux.forward(np.zeros((1, 3, 224, 224), np.float32))
    assert str(refused.value) == f"Flux.jl: expected Julia; {HIDDEN}"
