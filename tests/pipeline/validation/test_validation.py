"""`validate` says what happens before anything runs: its answers, against real tiny pipelines."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import contracts
from pipeline.arguments import Size
from pipeline.errors import PipelineError
from pipeline.flux import network as reference
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.stable_diffusion import diffusion, models
from pipeline.stable_diffusion.architectures import (
    ARCHITECTURES,
    Architecture,
    ComponentConfig,
    Model,
)
from pipeline.stable_diffusion.models import TINY
from pipeline.validation import answers, meta, table
from pipeline.validation.answers import Answer, Scorer
from support.helpers import ROOT, fresh_python, hide_julia, with_julia
from support.models import TEXT, UNET, VAE, configure, without_weights

REFERENCE = Scorer("the reference", reference.output_shape)
NUMBERS = count()


def answer(sd_model: str, scorer: Scorer = REFERENCE, **axes: str) -> Answer:
    (asked,) = answers.questions(sd_model, **axes)
    return answers.answer(asked, scorer)


@contextmanager
def architecture(pipeline: str, parts: dict[str, ComponentConfig]) -> Iterator[Model]:
    """An architecture for as long as the block lasts, under a name that no cache knows."""
    label = f"drawn{next(NUMBERS)}"
    ARCHITECTURES[label] = Architecture((64, 64), pipeline, parts)
    try:
        yield models.resolve(f"arch:{label}")
    finally:
        del ARCHITECTURES[label]


# What it says, and whether the real components run.


def mostly(good: Any, *others: Any) -> st.SearchStrategy[Any]:
    """Draw the good value in three of four cases, so that whole pipelines often hold."""
    return st.integers(0, 3).flatmap(
        lambda number: st.sampled_from(others) if number == 0 else st.just(good)
    )


SIDES = st.sampled_from([8, 16, 24, 40, 48, 56, 64]) | mostly(64, 4, 12, 20, 36, 63)


@st.composite
def pipelines(draw: st.DrawFn) -> tuple[str, dict[str, ComponentConfig]]:
    """A tiny pipeline, of one text encoder or two, in which any width may be another."""
    is_xl = draw(st.booleans())
    blocks = draw(mostly(4, 3, 5))
    latents = draw(mostly(4, 8))
    text, projection = draw(mostly(32, 16)), draw(mostly(16, 32))
    attends = draw(mostly(True, False))
    encoder = ComponentConfig(
        "transformers",
        "CLIPTextModel",
        {
            "hidden_size": text,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "projection_dim": projection,
            "vocab_size": draw(mostly(654, 600)),
            "max_position_embeddings": draw(mostly(77, 64, 90)),
        },
    )
    unet = {
        "sample_size": 8,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "attention_head_dim": 4,
        "in_channels": draw(mostly(latents, 4, 9)),
        "out_channels": draw(mostly(latents, 4, 8)),
        "cross_attention_dim": draw(mostly(text * (2 if is_xl else 1), 32, 48)),
        "down_block_types": ("CrossAttnDownBlock2D" if attends else "DownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D" if attends else "UpBlock2D"),
        "mid_block_type": "UNetMidBlock2DCrossAttn" if attends else "UNetMidBlock2D",
        "time_cond_proj_dim": draw(mostly(None, 8)),
    }
    if draw(mostly(is_xl, not is_xl)):
        unet |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + draw(mostly(projection, 24)),
        }
    vae = {
        "block_out_channels": (8,) * blocks,
        "norm_num_groups": 4,
        "down_block_types": ("DownEncoderBlock2D",) * blocks,
        "up_block_types": ("UpDecoderBlock2D",) * blocks,
        "latent_channels": latents,
        "out_channels": draw(mostly(3, 1, 4)),
        "sample_size": 64,
    }
    source = ARCHITECTURES["sdxl" if is_xl else "sd15"]
    parts = dict(source.components) | {
        "unet": ComponentConfig("diffusers", "UNet2DConditionModel", unet),
        "vae": ComponentConfig("diffusers", "AutoencoderKL", vae),
        "text_encoder": encoder,
    }
    if is_xl:
        projected = draw(mostly("CLIPTextModelWithProjection", "CLIPTextModel"))
        parts["text_encoder_2"] = replace(encoder, class_name=projected)
    return source.pipeline, parts


def ran(model: Model, size: Size, batch: int) -> bool:
    """Run the real components on the CPU: one step, and RGB images of the size asked for."""
    try:
        pipe = models.load(model, "cpu", "float32")
        images = diffusion.sample(pipe, diffusion.PROMPT, list(range(batch)), size, 1)
    except Exception:  # whatever a component raises: it did not run
        return False
    return not contracts.check_images(images, batch, size)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=pipelines(), width=SIDES, height=SIDES, batch=st.integers(1, 3))
def test_the_answer_is_whether_the_real_components_run(
    drawn: tuple[str, dict[str, ComponentConfig]], width: int, height: int, batch: int
) -> None:
    with architecture(*drawn) as model:
        violations = meta.walk(model, (width, height), batch, "float32").violations
        assert (violations == []) == ran(model, (width, height), batch), violations


# One fault a boundary, in a folder without weights.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return without_weights(tmp_path / "model")


FAULTS = {
    "size": (
        lambda folder: None,
        {"size": "513"},
        "size: 513x513, expected sides divisible by 8; try 512x512 or 520x520",
    ),
    "ids beyond the vocabulary": (
        configure(TEXT, vocab_size=600),
        {},
        "token ids: values from 320 to 930, expected finite values in [0, 599]; "
        "use the tokenizer that the text encoder was trained with",
    ),
    "more tokens than positions": (
        configure(TEXT, max_position_embeddings=64),
        {},
        "token ids: 77 tokens, expected at most 64, the text encoder's; shorten model_max_length",
    ),
    "tokens without end": (
        configure("tokenizer/tokenizer_config.json", model_max_length=10**9),
        {},
        "token ids: 1000000000 tokens, expected at most 100000; shorten model_max_length",
    ),
    "text width": (
        configure(UNET, cross_attention_dim=48),
        {"batch": "3"},
        "text embeddings: width 32, expected 48, the UNet's cross-attention; "
        "take text encoder and UNet from one model",
    ),
    "added conditions": (
        configure(
            UNET,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=80,
        ),
        {},
        "added conditions: none from this pipeline, expected text_time; "
        "use a pipeline of the UNet's kind",
    ),
    "latent channels": (
        configure(VAE, latent_channels=8),
        {},
        "latents: 4 channels, the UNet's, expected 8, the VAE's latent_channels; "
        "take UNet and VAE from one text-to-image model",
    ),
    "UNet output": (
        configure(UNET, out_channels=8),
        {"batch": "2", "size": "72x40"},
        "UNet output: shape (4, 8, 5, 9), expected shape (4, 4, 5, 9); "
        "check the UNet's configuration",
    ),
    "decoded image": (
        configure(VAE, out_channels=1),
        {},
        "decoded image: shape (1, 1, 64, 64), expected shape (1, 3, 64, 64); "
        "check the VAE's configuration",
    ),
    "memory": (
        lambda folder: None,
        {"size": "512", "memory": "540MB", "dtype": "float32"},
        "memory: an estimated 569.4 MB, expected at most 540 MB; "
        "try float16, or a smaller size or batch",
    ),
    "memory in half precision": (
        lambda folder: None,
        {"size": "512", "memory": "510MB", "dtype": "bfloat16"},
        "memory: an estimated 534.7 MB, expected at most 510 MB; try a smaller size or batch",
    ),
    "memory for weights": (
        lambda folder: None,
        {"memory": "600kB", "dtype": "float16"},
        "memory: an estimated 512.9 MB, expected at most 600 kB; "
        "try a smaller model: weights alone take 3.658 MB",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_at_its_boundary_and_named(folder: Path, fault: str) -> None:
    edit, axes, line = FAULTS[fault]
    edit(folder)
    found = answer(str(folder), **axes)
    assert [str(violation) for violation in found.violations] == [line]
    assert found.boundaries[-1].violation == found.violations[0]
    assert table.first_broken([found]) == f"does not hold: {line}"


def test_what_a_component_raises_is_named_at_the_boundary_it_was_to_reach(folder: Path) -> None:
    configure(UNET, class_embed_type="timestep")(folder)
    (violation,) = answer(str(folder)).violations
    assert str(violation) == (
        "UNet output: class_labels should be provided when num_class_embeds > 0, "
        "expected (2, 4, 8, 8) float16; check what feeds it"
    )


def test_a_preprocessed_batch_of_another_shape_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = preprocessing.Settings
    monkeypatch.setattr(preprocessing, "Settings", lambda grayscale: settings(256, grayscale))
    assert [str(each) for each in answer("tiny", channels="1").violations] == [
        "batch: shape (1, 1, 256, 256), expected shape (1, 1, 224, 224); "
        "check what was fed to this stage"
    ]


def test_scores_of_another_count_are_named() -> None:
    scorer = Scorer("this test", lambda channels, images: (images + 1, 10))
    assert [str(each) for each in answer("tiny", scorer, batch="2").violations] == [
        "scores: shape (3, 10), expected shape (2, classes); check what was fed to this stage"
    ]


def test_a_scorer_that_refuses_the_batch_breaks_the_last_boundary() -> None:
    def shape(channels: int, images: int) -> tuple[int, int]:
        raise PipelineError("--flux-model mine.jl", "a model that takes 3 channels", "it takes 1")

    assert [str(each) for each in answer("tiny", Scorer("this test", shape)).violations] == [
        "scores: --flux-model mine.jl, expected a model that takes 3 channels; it takes 1"
    ]


# Full-size architectures, and what is never touched.


@pytest.fixture(scope="module")
def untouched() -> Any:
    done = fresh_python(str(ROOT / "tests" / "suites" / "untouched_weights.py"))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_architecture_holds_at_two_sizes_and_no_weights_are_touched(untouched: Any) -> None:
    assert untouched["opened"] == []
    assert 0 < untouched["largest"] <= 1_000_000
    assert untouched["violations"] == [[]] * 8


def test_the_boundaries_of_xl_in_order(untouched: Any) -> None:
    assert [tuple(boundary) for boundary in untouched["xl"]] == [
        ("size", "sides divisible by 8", "768x512"),
        ("token ids", "(2, tokens) int64", "(2, 77) int64"),
        ("token ids 2", "(2, tokens) int64", "(2, 77) int64"),
        ("text embeddings", "(4, 77, 2048) float16", "(4, 77, 2048) float16"),
        ("added conditions", "(4, pooled) float16", "(4, 1280) float16"),
        ("latents", "(2, 4, 64, 96) float16", "(2, 4, 64, 96) float16"),
        ("UNet output", "(4, 4, 64, 96) float16", "(4, 4, 64, 96) float16"),
        ("decoded image", "(2, 3, 512, 768) float32", "(2, 3, 512, 768) float32"),
        ("image", "(512, 768, 3) uint8", "(512, 768, 3) uint8"),
        ("batch", "(2, 3, 224, 224) float32", "(2, 3, 224, 224) float32"),
        ("WHCN batch", "(224, 224, 3, 2) float32", "(224, 224, 3, 2) float32"),
        ("scores", "(2, classes) float32", "(2, 10) float32"),
    ]


# What is asked.


def test_every_combination_is_a_question() -> None:
    asked = answers.questions("tiny,arch:sdxl", size="64,72x40", batch="1,2", memory="1GB,2GiB")
    assert len(asked) == 16
    assert {(each.model.label, each.size, each.dtype) for each in asked} == {
        ("tiny", (64, 64), "float32"),
        ("tiny", (72, 40), "float32"),
        ("sdxl", (64, 64), "float16"),
        ("sdxl", (72, 40), "float16"),
    }
    assert {each.memory_bytes for each in asked} == {10**9, 2 * 2**30}
    assert {each.channels for each in asked} == {3}


def test_a_size_that_nobody_gave_is_the_models_own() -> None:
    (asked,) = answers.questions("arch:sd21")
    assert asked.size == (768, 768)
    assert answer(str(TINY)).size == (64, 64)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("8GB", 8 * 10**9), ("8gib", 8 * 2**30), ("1.5 TB", 15 * 10**11), ("512M", 512 * 10**6)],
)
def test_memory_is_read_in_powers_of_ten_or_two(text: str, expected: int) -> None:
    assert answers.parse_memory(text) == expected


@pytest.mark.parametrize("text", ["lots", "0GB", "-8GB", "8 pounds", "", "GB", "8,5GB", "1e9"])
def test_another_amount_of_memory_is_refused(text: str) -> None:
    with pytest.raises(PipelineError) as refused:
        answers.parse_memory(text)
    assert str(refused.value) == (
        f"--memory {text}: expected a size such as 8GB or 8GiB; change --memory"
    )


@pytest.mark.parametrize(
    ("count", "text"), [(600, "0.6 kB"), (43_410_000, "43.41 MB"), (2_535_460_494, "2.535 GB")]
)
def test_bytes_are_printed_in_powers_of_ten(count: int, text: str) -> None:
    assert answers.bytes_text(count) == text


# Julia, and where there is none.


def test_without_julia_the_reference_tells_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_julia(monkeypatch)
    scorer = answers.scorer("")
    assert scorer.name == "the PyTorch reference (no Julia: this test hides it)"
    assert scorer.shape(1, 5) == (5, 10)


def test_without_julia_all_but_the_scores_of_ones_own_flux_model_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hide_julia(monkeypatch)
    scorer = answers.scorer("mine.jl:deep")
    asked = answer("tiny", scorer)
    assert asked.violations == []
    assert [boundary.name for boundary in asked.boundaries][-1] == "WHCN batch"
    assert asked.missing == (
        "shape and memory of scores: --flux-model mine.jl:deep: expected Julia; no Julia: this "
        "test hides it; run another test"
    )
    assert (asked.scored_by, asked.scoring_bytes) == ("", 0)


def test_with_julia_flux_tells_the_scores(tmp_path: Path) -> None:
    (tmp_path / "mine.jl").write_text(
        "using Flux\n"
        "one() = Chain(GlobalMeanPool(), Flux.flatten, Dense(1 => 4))\n"
        "three() = Chain(GlobalMeanPool(), Flux.flatten, Dense(3 => 4))\n"
    )
    suite = (ROOT / "tests" / "suites" / "scored_by_julia.py").read_text(encoding="utf-8")
    names, shapes, lines = with_julia(suite, FLUX_FILE=str(tmp_path / "mine.jl"))
    assert names == ["Flux.outputsize"] * 3
    assert shapes == ["(1, 10) float32", "(1, 4) float32", "an error"]
    assert lines[:2] == [[], []]
    (line,) = lines[2]
    assert line.startswith(
        f"scores: --flux-model {tmp_path / 'mine.jl'}:one, "
        "expected a model that takes (224, 224, 3, N), WHCN, to (classes, N); "
    )
    assert len(line.splitlines()) == 1
