"""Which Stable Diffusion a name means, and that it loads safely or is refused with one line."""

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import availability, sd_models
from pipeline.availability import Missing
from pipeline.errors import PipelineError, UnavailableError
from pipeline.sd_models import TINY, Architecture, Model

UNET = "unet/diffusion_pytorch_model.safetensors"
PARTS = ("unet", "vae")


@pytest.mark.parametrize(
    "model",
    [
        Model("tiny", "tiny", "tiny, seeded random", (64, 64), 4, TINY),
        Model("arch:sd15", "sd15", "sd15, seeded random", (512, 512), 30),
        Model("owner/name-1.5_b", "owner/name-1.5_b", "owner/name-1.5_b", None, 30),
    ],
    ids=lambda model: model.name,
)
def test_a_name_means_a_model(model: Model) -> None:
    assert sd_models.resolve(model.name) == model


def test_a_folder_is_labelled_by_its_own_name_alone(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "model_index.json").touch()
    name = str(folder / ".." / "mine")
    assert sd_models.resolve(name) == Model(
        name, "mine", "folder mine", None, 30, folder / ".." / "mine"
    )


def test_a_folder_that_exists_comes_before_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    (tmp_path / "owner" / "name" / "model_index.json").touch()
    monkeypatch.chdir(tmp_path)
    assert sd_models.resolve("owner/name").folder == Path("owner/name")


UNKNOWN = "tiny, arch:NAME, an existing folder, or a hub id such as owner/name; check the spelling"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("arch:sd99", "one of arch:sd15; choose one of them"),
        ("arch:", "one of arch:sd15; choose one of them"),
        *(
            (name, UNKNOWN)
            for name in ("nonsense", "Tiny", "owner/", "/name", "a/b/c", "a b/c", "~nobody-here")
        ),
    ],
    ids=lambda text: text[:12],
)
def test_another_name_is_refused(name: str, expected: str) -> None:
    with pytest.raises(PipelineError) as refused:
        sd_models.resolve(name)
    assert str(refused.value) == f"--sd-model {name}: expected {expected}"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit of 255 characters a name")
def test_a_name_that_is_too_long_is_refused() -> None:
    name = "a serene sunset over a futuristic city " * 10
    with pytest.raises(PipelineError, match=r"^--sd-model .*; check the spelling$"):
        sd_models.resolve(name)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_folder_without_an_index_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    path.mkdir() if kind == "folder" else path.touch()
    with pytest.raises(PipelineError) as refused:
        sd_models.resolve(str(path))
    assert str(refused.value) == (
        f"--sd-model {path}: expected a folder with a model_index.json; "
        "name the folder that save_pretrained wrote"
    )


# Loading.


def load(model: Model, dtype: str = "float32") -> Any:
    return sd_models.load(model, "cpu", dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_pipeline_loads_whole_and_in_its_type(dtype: str) -> None:
    import torch

    pipe = load(sd_models.resolve("tiny"), dtype)
    assert type(pipe).__name__ == "StableDiffusionPipeline"
    assert {part.dtype for part in (pipe.unet, pipe.vae, pipe.text_encoder)} == {
        getattr(torch, dtype)
    }
    assert pipe.safety_checker is None


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the libraries log, which they print to standard error."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    for library in ("diffusers", "transformers"):
        logging.getLogger(library).addHandler(handler)
    yield lines
    for library in ("diffusers", "transformers"):
        logging.getLogger(library).removeHandler(handler)


def damage(edit: Callable[[Path], Any], folder: Path) -> Model:
    shutil.copytree(TINY, folder)
    edit(folder)
    return sd_models.resolve(str(folder))


def cut(file: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / file).write_bytes((TINY / file).read_bytes()[:5000])


def configure(file: str, **values: Any) -> Callable[[Path], Any]:
    def edit(folder: Path) -> None:
        config = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**config, **values}))

    return edit


def pickle(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / UNET), (folder / UNET).with_suffix(".bin"))
    (folder / UNET).unlink()


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(pickle, id="pickled weights"),
        pytest.param(lambda folder: (folder / UNET).unlink(), id="no weights"),
        pytest.param(cut(UNET), id="truncated unet"),
        pytest.param(cut("text_encoder/model.safetensors"), id="truncated text encoder"),
        pytest.param(lambda folder: shutil.rmtree(folder / "unet"), id="no unet"),
        pytest.param(lambda folder: shutil.rmtree(folder / "tokenizer"), id="no tokenizer"),
        pytest.param(lambda folder: (folder / "model_index.json").write_text(""), id="empty index"),
        pytest.param(
            lambda folder: (folder / "model_index.json").write_text("{}"), id="index of nothing"
        ),
        pytest.param(configure("model_index.json", _class_name="Nope"), id="unknown class"),
        pytest.param(configure("unet/config.json", block_out_channels=[8, 16]), id="other unet"),
        pytest.param(configure("text_encoder/config.json", hidden_size=64), id="other text"),
    ],
)
def test_a_folder_that_cannot_be_loaded_is_refused_with_one_line(
    tmp_path: Path, said: list[str], edit: Callable[[Path], Any]
) -> None:
    model = damage(edit, tmp_path / "model")
    with pytest.raises(PipelineError) as refused:
        load(model)
    assert re.fullmatch(
        rf"--sd-model {re.escape(model.name)}: expected a pipeline that diffusers can load "
        r"\(.+\); check the folder or the id; weights must be safetensors",
        str(refused.value),
    )
    assert said == []


def test_code_in_a_folder_never_runs(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    model = damage(
        configure("model_index.json", _class_name=["pipeline", "Mine"]), tmp_path / "model"
    )
    (tmp_path / "model" / "pipeline.py").write_text(f"open({str(ran)!r}, 'w')\nclass Mine: pass\n")
    with pytest.raises(PipelineError, match="custom code"):
        load(model)
    assert not ran.exists()


def test_a_hub_id_that_cannot_be_had_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Missing("weights", "weights", "no weights: this test hides them", "run another test")
    monkeypatch.setattr(availability, "weights", lambda name: missing)
    with pytest.raises(UnavailableError) as refused:
        load(sd_models.resolve("owner/name"))
    assert str(refused.value) == (
        "--sd-model owner/name: expected weights; "
        "no weights: this test hides them; run another test"
    )


# Architectures.


def test_sd15_has_as_many_parameters_as_the_published_one() -> None:
    """Counted on https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5."""
    import torch

    with torch.device("meta"):
        parts = sd_models.ARCHITECTURES["sd15"].build()
    assert {
        name: sum(parameter.numel() for parameter in parts[name].parameters())
        for name in ("unet", "vae", "text_encoder")
    } == {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Model:
    """An architecture that builds in no time: the tiny pipeline's."""

    def build() -> dict[str, Any]:
        from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
        from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

        unet, vae = (
            json.loads((TINY / part / "config.json").read_text()) for part in ("unet", "vae")
        )
        return {
            "unet": UNet2DConditionModel.from_config(unet),
            "vae": AutoencoderKL.from_config(vae),
            "text_encoder": CLIPTextModel(CLIPTextConfig.from_pretrained(TINY / "text_encoder")),
            "tokenizer": CLIPTokenizer.from_pretrained(TINY / "tokenizer"),
            "scheduler": DDIMScheduler.from_pretrained(TINY / "scheduler"),
        }

    monkeypatch.setitem(sd_models.ARCHITECTURES, "small", Architecture((64, 64), build))
    return sd_models.resolve("arch:small")


def test_an_architecture_has_the_same_random_weights_every_time(small: Model) -> None:
    import torch

    first, second = (load(small).unet.state_dict() for _ in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert first["conv_in.weight"].std() > 0


def test_building_an_architecture_leaves_torch_as_it_was(small: Model) -> None:
    import torch

    torch.manual_seed(7)
    expected = torch.rand(4)
    torch.manual_seed(7)
    pipe = load(small, "bfloat16")
    assert pipe.unet.dtype == torch.bfloat16
    assert torch.get_default_dtype() == torch.float32
    assert torch.equal(torch.rand(4), expected)


def test_an_architecture_that_fails_to_build_leaves_torch_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    def build() -> dict[str, Any]:
        raise MemoryError

    monkeypatch.setitem(sd_models.ARCHITECTURES, "large", Architecture((64, 64), build))
    with pytest.raises(MemoryError):
        load(sd_models.resolve("arch:large"), "float16")
    assert torch.get_default_dtype() == torch.float32
