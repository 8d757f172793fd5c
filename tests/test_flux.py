"""Flux.jl scores as the PyTorch reference does, from the same weights."""

from typing import Any

import pytest

from helpers import hide_julia, with_julia
from pipeline import flux
from pipeline.errors import PipelineError, UnavailableError

CODE = """
from pipeline import flux, reference
from pipeline.errors import PipelineError
import numpy as np
import torch

answer = {}
for channels in (1, 3):
    images = torch.rand((4, channels, 224, 224), generator=torch.Generator().manual_seed(channels))
    for count in (1, 4):
        batch = images[:count]
        scores, expected = flux.forward(batch), reference.forward(batch)
        answer[f"{channels} channels, batch {count}"] = [
            list(scores.shape), str(scores.dtype), float(np.abs(scores - expected).max())
        ]
nhwc = images.contiguous(memory_format=torch.channels_last)
again = flux.forward(images)
answer["twice"] = bool(np.array_equal(scores, again))
answer["layout"] = float(np.abs(flux.forward(nhwc) - again).max())
answer["numpy"] = float(np.abs(flux.forward(images.numpy()) - again).max())
user = flux.forward(images, model="MODEL.jl:mean_colour")
answer["user"] = [list(user.shape), float(np.abs(user - images.numpy().mean((2, 3))).max())]

answer["refused"] = {}
for name, (batch, options) in {
    "type": (images.double(), {}),
    "side": (images[:, :, :100], {}),
    "image": (images[0], {}),
    "channels": (images[:, :2], {}),
    "empty": (images[:0], {}),
    "no weights": (images, {"weights": "nowhere.safetensors"}),
    "no file": (images, {"weights": "MODEL.jl"}),
    "no function": (images, {"model": "MODEL.jl:nothing_here"}),
    "throws": (images, {"model": "MODEL.jl:throws"}),
    "both": (images, {"model": "MODEL.jl", "weights": "nowhere.safetensors"}),
}.items():
    try:
        flux.forward(batch, **options)
    except PipelineError as error:
        answer["refused"][name] = str(error)
    except Exception as error:
        answer["refused"][name] = repr(error)
"""

MODEL = """
using Flux
mean_colour() = Flux.Chain(Flux.AdaptiveMeanPool((1, 1)), Flux.flatten)
throws() = error("no such luck")
"""

REFUSED = {
    "type": "batch: dtype float64: expected float32; convert it to float32",
    "side": "batch: shape (4, 3, 100, 224): expected shape (N, 3, 224, 224); "
    "preprocess the images first",
    "image": "batch: shape (3, 224, 224): expected shape (N, 3, 224, 224); "
    "preprocess the images first",
    "channels": "2 channels: expected 1 or 3; pass grayscale or RGB images",
    "no weights": "--flux-weights nowhere.safetensors: expected weights for 3 channels; "
    "weights nowhere.safetensors: there is no such file",
    "no file": "--flux-weights {file}: expected weights for 3 channels; "
    "weights {file}: not a whole safetensors file",
    "no function": "--flux-model {file}:nothing_here: expected a function that returns a Flux "
    "model; {file}: it defines no function called nothing_here",
    "throws": "--flux-model {file}:throws: expected a function that returns a Flux model; "
    "no such luck",
    "both": "--flux-model and --flux-weights: expected one of them; leave one out",
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Julia file with models of a user's own."""
    path = tmp_path_factory.mktemp("julia") / "mine.jl"
    path.write_text(MODEL)
    return str(path)


@pytest.fixture(scope="module")
def answers(file: str) -> dict[str, Any]:
    answers: dict[str, Any] = with_julia(CODE.replace("MODEL.jl", file))
    return answers


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 4])
def test_flux_agrees_with_the_reference(answers: dict[str, Any], channels: int, count: int) -> None:
    shape, dtype, apart = answers[f"{channels} channels, batch {count}"]
    assert (shape, dtype) == ([count, 10], "float32")
    assert apart < 1e-4


def test_flux_gives_the_same_scores_twice(answers: dict[str, Any]) -> None:
    assert answers["twice"] is True


@pytest.mark.parametrize("kind", ["layout", "numpy"])
def test_scores_depend_on_values_and_not_on_how_they_lie(
    answers: dict[str, Any], kind: str
) -> None:
    assert answers[kind] < 1e-6


def test_a_users_own_model_takes_the_batch_as_it_is(answers: dict[str, Any]) -> None:
    shape, apart = answers["user"]
    assert shape == [4, 3]
    assert apart < 1e-5


@pytest.mark.parametrize("name", REFUSED)
def test_what_flux_cannot_run_is_refused_with_one_line(
    answers: dict[str, Any], file: str, name: str
) -> None:
    assert answers["refused"][name] == REFUSED[name].format(file=file)


def test_no_image_at_all_is_refused_with_one_line(answers: dict[str, Any]) -> None:
    assert answers["refused"]["empty"].startswith("batch: shape (0, 3, 224, 224): expected ")


@pytest.mark.parametrize(("suffix", "name"), [(":mine", "mine"), ("", "model")])
def test_a_model_is_named_by_its_file_and_function(file: str, suffix: str, name: str) -> None:
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
    flux.load.cache_clear()
    with pytest.raises(UnavailableError) as refused:
        flux.forward(np.zeros((1, 3, 224, 224), np.float32))
    assert str(refused.value) == (
        "Flux.jl: expected Julia; no Julia: this test hides it; run another test"
    )
