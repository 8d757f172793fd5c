"""Which Stable Diffusion a name means, and that it loads safely or is refused with one line."""

import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import availability, contracts
from pipeline.errors import Missing, PipelineError, UnavailableError
from pipeline.stable_diffusion import components, diffusion, models
from pipeline.stable_diffusion.architectures import (
    ARCHITECTURES,
    Architecture,
    ComponentConfig,
    Model,
)
from pipeline.stable_diffusion.models import TINY
from support.models import INDEX, TEXT, UNET, Edit, configure, removed, small_xl, written

UNET_WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize(
    "model",
    [
        Model("tiny", "tiny", "tiny, trained", (64, 64), 8, TINY),
        Model("arch:sd15", "sd15", "sd15, seeded random", (512, 512), 30),
        Model("arch:sd21", "sd21", "sd21, seeded random", (768, 768), 30),
        Model("arch:sdxl", "sdxl", "sdxl, seeded random", (1024, 1024), 30),
        Model("owner/name-1.5_b", "owner/name-1.5_b", "owner/name-1.5_b", None, 30),
    ],
    ids=lambda model: model.name,
)
def test_a_name_means_a_model(model: Model) -> None:
    assert models.resolve(model.name) == model


def test_a_folder_is_labelled_by_its_own_name_alone(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "model_index.json").touch()
    name = str(folder / ".." / "mine")
    assert models.resolve(name) == Model(
        name, "mine", "folder mine", None, 30, folder / ".." / "mine"
    )


def test_a_folder_that_exists_comes_before_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    (tmp_path / "owner" / "name" / "model_index.json").touch()
    monkeypatch.chdir(tmp_path)
    assert models.resolve("owner/name").folder == Path("owner/name")


UNKNOWN = "tiny, arch:NAME, an existing folder, or a hub id such as owner/name; check the spelling"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "arch:sd99",
            "one of arch:sd15, arch:sd21, arch:sdxl, arch:sd35-medium; choose one of them",
        ),
        ("arch:", "one of arch:sd15, arch:sd21, arch:sdxl, arch:sd35-medium; choose one of them"),
        *(
            (name, UNKNOWN)
            for name in ("nonsense", "Tiny", "owner/", "/name", "a/b/c", "a b/c", "~nobody-here")
        ),
    ],
    ids=lambda text: text[:12],
)
def test_another_name_is_refused(name: str, expected: str) -> None:
    with pytest.raises(PipelineError) as refused:
        models.resolve(name)
    assert str(refused.value) == f"--sd-model {name}: expected {expected}"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit of 255 characters a name")
def test_a_name_that_is_too_long_is_refused() -> None:
    name = "a serene sunset over a futuristic city " * 10
    with pytest.raises(PipelineError, match=r"^--sd-model .*; check the spelling$"):
        models.resolve(name)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_folder_without_an_index_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    path.mkdir() if kind == "folder" else path.touch()
    with pytest.raises(PipelineError) as refused:
        models.resolve(str(path))
    assert str(refused.value) == (
        f"--sd-model {path}: expected a folder with a model_index.json; "
        "name the folder that save_pretrained wrote"
    )


# Loading.


def load(model: Model, dtype: str = "float32") -> Any:
    return models.load(model, "cpu", dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_pipeline_loads_whole_and_in_its_type(dtype: str) -> None:
    import torch

    pipe = load(models.resolve("tiny"), dtype)
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


def damage(edit: Edit, folder: Path) -> Model:
    shutil.copytree(TINY, folder)
    edit(folder)
    return models.resolve(str(folder))


def cut(file: str) -> Edit:
    return lambda folder: (folder / file).write_bytes((TINY / file).read_bytes()[:5000])


def pickle(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / UNET_WEIGHTS), (folder / UNET_WEIGHTS).with_suffix(".bin"))
    (folder / UNET_WEIGHTS).unlink()


UNREADABLE = r": expected a pipeline that diffusers can load \(.+\); check the folder or the id; .+"

DAMAGED: dict[str, tuple[Edit, str]] = {
    "pickled weights": (pickle, UNREADABLE),
    "no weights": (removed(UNET_WEIGHTS), UNREADABLE),
    "truncated unet": (cut(UNET_WEIGHTS), UNREADABLE),
    "truncated text encoder": (cut("text_encoder/model.safetensors"), UNREADABLE),
    "no unet": (removed("unet"), r": expected a file unet/config\.json \(.+\); .+"),
    "no tokenizer": (removed("tokenizer"), r": expected a folder tokenizer; copy it again"),
    "an empty tokenizer": (
        lambda folder: [path.unlink() for path in (folder / "tokenizer").iterdir()],
        UNREADABLE,
    ),
    "empty index": (written(INDEX, ""), r": expected JSON in model_index\.json .+"),
    "index of nothing": (written(INDEX, "{}"), UNREADABLE),
    "an empty entry": (configure(INDEX, unet=[]), r", unet: expected a library and a class; .+"),
    "unknown class": (configure(INDEX, _class_name="Nope"), UNREADABLE),
    "another pipeline": (
        configure(INDEX, _class_name="StableDiffusionUpscalePipeline"),
        r": expected a text-to-image pipeline, not StableDiffusionUpscalePipeline, which .+",
    ),
    "other unet": (
        configure(UNET, block_out_channels=[8, 16]),
        r", unet: expected every tensor of its configuration in its weights \(.+\); .+",
    ),
    "other text encoder": (
        configure(TEXT, hidden_size=64),
        r", text_encoder: expected every tensor of its configuration in its weights \(.+\); .+",
    ),
    "a deep file that is read late": (
        written("tokenizer/tokenizer_config.json", "[" * 100_000 + "]" * 100_000),
        UNREADABLE,
    ),
}


@pytest.mark.parametrize(("edit", "line"), DAMAGED.values(), ids=DAMAGED)
def test_a_folder_that_cannot_be_loaded_is_refused_with_one_line(
    tmp_path: Path, said: list[str], edit: Edit, line: str
) -> None:
    model = damage(edit, tmp_path / "model")
    with pytest.raises(PipelineError) as refused:
        load(model)
    assert re.fullmatch(rf"--sd-model {re.escape(model.name)}{line}", str(refused.value))
    assert said == []


def test_code_in_a_folder_never_runs(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    model = damage(configure(INDEX, _class_name=["pipeline", "Mine"]), tmp_path / "model")
    (tmp_path / "model" / "pipeline.py").write_text(f"open({str(ran)!r}, 'w')\nclass Mine: pass\n")
    with pytest.raises(PipelineError, match="custom code"):
        load(model)
    assert not ran.exists()


def test_a_hub_id_that_cannot_be_had_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Missing("weights", "weights", "no weights: this test hides them", "run another test")
    monkeypatch.setattr(availability, "weights", lambda name: missing)
    with pytest.raises(UnavailableError) as refused:
        load(models.resolve("owner/name"))
    assert str(refused.value) == (
        "--sd-model owner/name: expected weights; "
        "no weights: this test hides them; run another test"
    )


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of `owner/name` in a cache of its own, where the hub cannot be reached."""
    from huggingface_hub import constants

    unreachable = Missing("network", "the model hub", "this test hides the hub", "run another test")
    monkeypatch.setattr(availability, "network", lambda: unreachable)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    kept = tmp_path / "models--owner--name"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("abc")
    return Path(shutil.copytree(TINY, kept / "snapshots" / "abc"))


@pytest.mark.parametrize("missing", [UNET, UNET_WEIGHTS, "scheduler"])
def test_a_hub_id_that_is_half_downloaded_is_unavailable_without_the_hub(
    cached: Path, missing: str
) -> None:
    removed(missing)(cached)
    with pytest.raises(UnavailableError) as refused:
        load(models.resolve("owner/name"))
    assert refused.value.missing.need == "weights"
    assert str(refused.value.missing) == (
        "no weights: owner/name is only partly in the local cache and this test hides the hub; "
        "download the rest on a machine with a network, and pass the folder as --sd-model"
    )


@pytest.mark.usefixtures("cached")
def test_a_hub_id_that_is_in_the_cache_needs_no_hub() -> None:
    assert load(models.resolve("owner/name")).unet.config.sample_size == 8


# Architectures.


@pytest.mark.parametrize("label", ARCHITECTURES)
def test_an_architecture_has_as_many_parameters_as_the_published_one(label: str) -> None:
    """1.5 is counted on https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5.

    The others' are the lengths that public programs allocate for the published weights of
    stabilityai/stable-diffusion-2-1 and stabilityai/stable-diffusion-xl-base-1.0. The
    transformer of 3.5 has 4.94 GB in bfloat16 on the hub: these, and 384 x 384 positions.
    """
    parts = ARCHITECTURES[label].components
    built = components.build(label, parts, "meta", "float32")
    clip_l, vae = 123_060_480, 83_653_863
    assert {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in built.items()
        if hasattr(part, "parameters")
    } == {
        "sd15": {"unet": 859_520_964, "vae": vae, "text_encoder": clip_l},
        "sd21": {"unet": 865_910_724, "vae": vae, "text_encoder": 340_387_840},
        "sdxl": {
            "unet": 2_567_463_684,
            "vae": vae,
            "text_encoder": clip_l,
            "text_encoder_2": 694_659_840,
        },
        "sd35-medium": {
            "transformer": 2_243_171_520,
            "vae": 83_819_683,
            "text_encoder": clip_l + 768 * 768,
            "text_encoder_2": 694_659_840,
            "text_encoder_3": 4_762_310_656,
        },
    }[label]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Model:
    """An architecture that builds in no time: the tiny pipeline's."""
    index, parts = components.read(models.resolve("tiny"))
    made = Architecture((64, 64), index["_class_name"], parts)
    monkeypatch.setitem(ARCHITECTURES, "small", made)
    return models.resolve("arch:small")


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
    small: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def construct(component: Any, config: ComponentConfig) -> Any:
        raise MemoryError

    monkeypatch.setattr(components, "_construct", construct)
    with pytest.raises(MemoryError):
        load(small, "float16")
    assert torch.get_default_dtype() == torch.float32


def test_the_parts_of_xl_make_a_pipeline_that_generates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "small-xl", small_xl())
    pipe = load(models.resolve("arch:small-xl"))
    assert type(pipe).__name__ == "StableDiffusionXLPipeline"
    (image,) = diffusion.sample(pipe, "a city", [0], (64, 72), 2)
    assert image.size == (64, 72)
    assert contracts.check_images([image], 1, (64, 72)) == []
