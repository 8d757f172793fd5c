"""Every tensor of a configuration comes from the files, or a line names the ones that do not."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.stable_diffusion import diffusion, models, weights
from pipeline.stable_diffusion.models import TINY
from support.models import configure

FILES = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}

Tensors = dict[str, Any]


def edited(folder: Path, part: str, edit: Callable[[Tensors, str], object]) -> tuple[str, Path]:
    """A copy of the tiny pipeline with one tensor of `part` edited: its name, and the folder."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(TINY, folder)
    path = folder / part / FILES[part]
    tensors = load_file(path)
    key = sorted(tensors)[3]
    edit(tensors, key)
    save_file(tensors, path, metadata={"format": "pt"})
    return key.removeprefix("text_model."), folder


def refusal(folder: Path) -> str:
    with pytest.raises(PipelineError) as refused:
        models.load(models.resolve(str(folder)), "cpu", "float32")
    return str(refused.value).removeprefix(f"--sd-model {folder}, ")


@pytest.mark.parametrize("part", FILES)
def test_a_missing_tensor_is_named(tmp_path: Path, part: str) -> None:
    key, folder = edited(tmp_path / "model", part, lambda tensors, key: tensors.pop(key))
    assert refusal(folder) == (
        f"{part}: expected every tensor of its configuration in its weights ({key} missing); "
        "copy the folder again, or check its config.json"
    )


@pytest.mark.parametrize("part", FILES)
def test_a_renamed_tensor_is_named_twice(tmp_path: Path, part: str) -> None:
    def rename(tensors: Tensors, key: str) -> None:
        tensors[f"{key}_old"] = tensors.pop(key)

    key, folder = edited(tmp_path / "model", part, rename)
    line = refusal(folder)
    assert f"({key} missing; " in line
    assert line.count(f"{key}_old unexpected)") == 1


@pytest.mark.parametrize("part", FILES)
def test_a_tensor_of_another_shape_is_named_with_both(tmp_path: Path, part: str) -> None:
    import torch

    shapes: list[tuple[int, ...]] = []

    def reshape(tensors: Tensors, key: str) -> None:
        shapes.append(tuple(tensors[key].shape))
        tensors[key] = torch.zeros((3, *tensors[key].shape))

    key, folder = edited(tmp_path / "model", part, reshape)
    line = f"{key} of shape {(3, *shapes[0])} instead of {shapes[0]}"
    assert f" in its weights ({line}); copy the folder again" in refusal(folder)


def test_many_missing_tensors_are_counted(tmp_path: Path) -> None:
    key, folder = edited(tmp_path / "model", "vae", lambda tensors, key: None)
    configure("vae/config.json", layers_per_block=2)(folder)
    line = refusal(folder)
    assert line.startswith("vae: expected every tensor of its configuration in its weights (")
    assert " more missing)" in line
    assert key not in line


@pytest.mark.parametrize("part", FILES)
def test_a_tensor_that_no_network_takes_is_one_line_of_the_log(
    tmp_path: Path, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    def add(tensors: Tensors, key: str) -> None:
        tensors["surplus.weight"] = torch.zeros(3)

    _, folder = edited(tmp_path / "model", part, add)
    with caplog.at_level(logging.WARNING, "pipeline"):
        models.load(models.resolve(str(folder)), "cpu", "float32")
    assert [record.getMessage() for record in caplog.records] == [
        f"--sd-model {folder}, {part}: the weights have what the network does not: "
        "surplus.weight; check its config.json"
    ]


def test_a_buffer_that_old_files_hold_is_no_surplus(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`position_ids`, which transformers saved until 4.31: every published 1.5 has it."""
    import torch

    def add(tensors: Tensors, key: str) -> None:
        tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]

    _, folder = edited(tmp_path / "model", "text_encoder", add)
    models.load(models.resolve(str(folder)), "cpu", "float32")
    assert caplog.records == []


def rename_weights(folder: Path, variant: str) -> None:
    for path in folder.glob("*/*.safetensors"):
        path.rename(path.with_name(f"{path.stem}.{variant}.safetensors"))


@pytest.mark.parametrize("variant", ["fp16", "non_ema"])
def test_a_folder_with_one_variant_alone_draws_as_the_plain_one(
    tmp_path: Path, variant: str
) -> None:
    shutil.copytree(TINY, tmp_path / "model")
    rename_weights(tmp_path / "model", variant)
    one, other = (
        diffusion.generate(count=1, steps=1, model=model, device="cpu")[0].tobytes()
        for model in ("tiny", str(tmp_path / "model"))
    )
    assert one == other


@pytest.mark.parametrize(
    ("names", "variant"),
    [
        (["model.safetensors"], None),
        (["model.fp16.safetensors"], "fp16"),
        (["model.safetensors", "model.fp16.safetensors"], None),
        (["model.bf16.safetensors", "model.fp16.safetensors"], "fp16"),
        (["model.non_ema.safetensors"], "non_ema"),
        (["diffusion_pytorch_model.fp16-00001-of-00002.safetensors"], "fp16"),
        (["diffusion_pytorch_model-00001-of-00002.safetensors"], None),
        (["config.json"], None),
    ],
)
def test_a_variant_is_read_from_the_names_of_files(
    tmp_path: Path, names: list[str], variant: str | None
) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert weights.variant_of(tmp_path) == variant
