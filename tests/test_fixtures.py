"""What is committed in fixtures/ is what its scripts make: images, a tiny pipeline, weights."""

import importlib
import json
import os
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pipeline import contracts, pregenerated
from pipeline.errors import PipelineError
from pipeline.files import FIXTURES
from pipeline.flux import network
from pipeline.stable_diffusion import models
from support import warm
from support.helpers import ROOT

SEED = 2026  # of every script
CIRCUMSTANCES = {"_diffusers_version", "transformers_version", "local_files_only"}


# The pre-generated images.


@cache
def rendered(number: int) -> Any:
    from fixtures import render_images

    return render_images.render(number, SEED)


def test_three_images_stand_in_for_the_generated_ones() -> None:
    assert [path.name for path in pregenerated.paths()] == [
        "generated_image_1.png",
        "generated_image_2.png",
        "generated_image_3.png",
    ]
    assert pregenerated.preprocessed_name(2) == "preprocessed_image_2.png"


def test_the_notice_says_that_they_are_rendered() -> None:
    assert pregenerated.NOTICE == (
        "these are the pre-generated images of fixtures/: rendered, not diffused"
    )


@pytest.mark.parametrize("path", pregenerated.paths(), ids=lambda path: path.stem)
def test_a_pregenerated_image_holds_the_contract_and_says_how_it_was_made(path: Path) -> None:
    from PIL import Image

    from pipeline.stable_diffusion.diffusion import PROMPT

    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.info == {
            "Software": "fixtures/render_images.py",
            "Comment": "Rendered procedurally, not diffused; a stand-in image.",
            "Prompt": PROMPT,
            "Seed": str(SEED),
        }
        assert contracts.check_images([image], 1, (512, 512)) == []


def test_an_image_rendered_twice_has_the_same_bytes(tmp_path: Path) -> None:
    from fixtures import render_images

    first, second = tmp_path / "first.png", tmp_path / "second.png"
    render_images.save(rendered(1), first, SEED)
    render_images.save(render_images.render(1, SEED), second, SEED)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(tmp_path.iterdir()) == [first, second]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_rendered_image_is_within_one_level_of_the_committed_one(number: int) -> None:
    import numpy as np
    from PIL import Image

    with Image.open(pregenerated.paths()[number - 1]) as image:
        committed = np.asarray(image, np.int16)
    assert np.abs(np.asarray(rendered(number), np.int16) - committed).max() <= 1


@pytest.mark.parametrize("name", ["1024x1024.png", "512x512.jpg", "1024x1024.jpg"])
def test_a_larger_or_smaller_picture_made_again_is_the_committed_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np
    from PIL import Image

    from fixtures import render_images

    with Image.open(pregenerated.paths()[0]) as first:
        made = first.convert("RGB")
    if not name.startswith("512"):
        made = render_images.enlarge(made, 1024, 1024, SEED)
    again = tmp_path / name
    made.save(again, quality=render_images.QUALITY)
    with Image.open(again) as image, Image.open(FIXTURES / "images" / name) as committed:
        apart = np.abs(np.asarray(image, np.int16) - np.asarray(committed, np.int16))
    assert apart.max() <= 1


# The tiny pipeline.


def test_the_tiny_pipeline_is_small_and_holds_no_pickle() -> None:
    files = [path for path in models.TINY.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 5_000_000
    assert {path.suffix for path in files} == {".json", ".txt", ".safetensors"}


def test_the_tiny_pipeline_is_made_of_what_a_published_one_is_made_of() -> None:
    index = json.loads((models.TINY / "model_index.json").read_text())
    assert {name: value for name, value in index.items() if name not in CIRCUMSTANCES} == {
        "_class_name": "StableDiffusionPipeline",
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }


def test_the_tiny_tokenizer_knows_every_word_of_the_captions() -> None:
    from transformers import CLIPTokenizer

    from fixtures.scenes import captions

    tokenizer = CLIPTokenizer.from_pretrained(models.TINY / "tokenizer")
    for text in captions.every_caption():
        assert tokenizer.tokenize(text) == [f"{word}</w>" for word in text.split()]


def test_the_tiny_pipeline_has_the_parts_that_its_training_makes() -> None:
    from fixtures import make_tiny_pipeline as parts

    pipe = models.load(models.resolve("tiny"), "cpu", "float32")
    made = parts.make_unet(), parts.make_vae(), parts.make_text_encoder(pipe.tokenizer)
    for one, other in zip(made, (pipe.unet, pipe.vae, pipe.text_encoder), strict=True):
        shapes = [
            {name: each.shape for name, each in part.state_dict().items()} for part in (one, other)
        ]
        assert shapes[0] == shapes[1]
    own, trained = (
        dict(scheduler.config) for scheduler in (parts.make_scheduler(), pipe.scheduler)
    )
    assert {name: trained[name] for name in own if name[0] != "_"} == {
        name: value for name, value in own.items() if name[0] != "_"
    }


def test_the_tiny_tokenizer_reads_any_text() -> None:
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(models.TINY / "tokenizer")
    read = tokenizer("añoranza 夕焼け, 2026!").input_ids[1:-1]
    assert tokenizer.unk_token_id not in read
    assert "".join(tokenizer.decode(read).split()) == "añoranza夕焼け,2026!"


def test_the_tiny_pipeline_generates_the_same_bytes_offline_and_in_another_process(
    tmp_path: Path,
) -> None:
    from pipeline.stable_diffusion import diffusion

    (tmp_path / "draw.py").write_text(
        "from hashlib import sha256\n"
        "from huggingface_hub import constants\n"
        "from pipeline.stable_diffusion import diffusion\n"
        "assert (constants.HF_HUB_OFFLINE, constants.HF_HUB_CACHE) == (True, 'nowhere')\n"
        "[image] = diffusion.generate(count=1)\n"
        "print(image.size, image.mode, sha256(image.tobytes()).hexdigest())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **warm.BEFORE_IMPORTS}
    code, out, err = warm.start(tmp_path, "draw", environment=environment).wait()
    [image] = diffusion.generate(count=1)
    assert (code, err) == (0, "")
    assert out == f"(64, 64) RGB {sha256(image.tobytes()).hexdigest()}\n"


# The weights of the network that scores images.


@pytest.mark.parametrize("channels", [1, 3])
def test_the_network_is_right_on_pictures_that_it_was_not_trained_on(channels: int) -> None:
    from fixtures import train_flux

    assert train_flux.right_share(network.load(channels), channels, 64, count=100) >= 0.9


def test_a_scene_rendered_again_is_the_same_and_another_seed_gives_another() -> None:
    from fixtures.scenes import render

    first, again, other = (render.render(3, 2, 64, seed) for seed in (SEED, SEED, SEED + 1))
    assert first.shape == (2, 64, 64, 3)
    assert (first == again).all()
    assert (first != other).any(axis=(1, 2, 3)).all()
    assert (first[0] != first[1]).any()


@pytest.mark.parametrize(
    ("question", "line"),
    [
        ("scenes.render --out x --count 15", "--count 15: expected a multiple of 10, the number"),
        ("scenes.render --out x --count 0", "--count 0: expected a whole number of at least 1"),
        ("scenes.render --out x --size 0", "--size 0: expected a whole number of at least 1"),
        ("scenes.render --out x --seed -1", "--seed -1: expected 0 or more"),
        ("show_tiny --count 0", "--count 0: expected a whole number of at least 1"),
    ],
)
def test_a_wrong_number_is_refused_in_one_line(
    question: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, *arguments = question.split()
    module = importlib.import_module(f"fixtures.{name}")
    monkeypatch.setattr("sys.argv", [name, *arguments])
    with pytest.raises(PipelineError) as error:
        module.main()
    assert str(error.value).startswith(line)


def test_every_class_has_a_painter_and_captions_of_its_own() -> None:
    from fixtures.scenes import captions, render
    from pipeline.stable_diffusion.diffusion import PROMPT

    assert len(render.PAINTERS) == len(captions.CLASSES) == network.CLASSES
    texts = captions.every_caption()
    assert len(set(texts)) == len(texts)
    assert PROMPT in captions.PROMPTS
    assert set(captions.PROMPTS) <= set(texts)
