"""What a pipeline costs, counted on the meta device."""

import pytest

from pipeline import contracts
from pipeline.contracts import Violation
from pipeline.errors import ContractError, PipelineError
from pipeline.stable_diffusion import components, models
from pipeline.stable_diffusion.architectures import ARCHITECTURES, Architecture
from pipeline.validation import meta
from pipeline.validation.boundaries import Boundaries, Boundary, BrokenError
from pipeline.validation.tally import Cost
from support.models import narrow

TINY = models.resolve("tiny")
SD15 = models.resolve("arch:sd15")


def test_a_step_of_sd15_takes_1607_gflop() -> None:
    """512×512, a batch of two for guidance, as torch.utils.flop_counter has it for the UNet."""
    assert round(meta.cost(SD15, (512, 512), 1, "float16").step_flops / 1e9) == 1607


def test_parameters_and_bytes_are_those_of_every_network() -> None:
    cost = meta.cost(SD15, (64, 64), 1, "float16")
    assert cost.parameters == 859_520_964 + 83_653_863 + 123_060_480
    assert cost.weights_bytes == 2 * cost.parameters + 77 * 8  # the text encoder's positions


def test_operations_grow_with_the_batch_and_half_precision_halves_bytes() -> None:
    one, three = (meta.cost(TINY, (128, 64), batch, "float32") for batch in (1, 3))
    for name in ("text_flops", "step_flops", "decode_flops"):
        assert getattr(three, name) == 3 * getattr(one, name)
    assert three.weights_bytes == one.weights_bytes
    assert three.peak_bytes > one.peak_bytes
    half = meta.cost(TINY, (128, 64), 1, "bfloat16")
    assert half.step_flops == one.step_flops
    assert half.peak_bytes < 0.6 * one.peak_bytes


def test_a_batch_takes_its_text_its_steps_and_its_decoding() -> None:
    cost = Cost(1, 1, 100, 20, 3, 1, "text")
    assert cost.flops(10) == 303


@pytest.mark.parametrize(("name", "calls"), [("tiny", 10), ("arch:sd15", 11), ("arch:sdxl", 10)])
def test_a_scheduler_says_how_often_the_unet_runs(name: str, calls: int) -> None:
    """PNDM takes its second step twice."""
    assert meta.unet_calls(models.resolve(name), 10) == calls


def test_a_unet_that_takes_the_strength_of_guidance_runs_once_an_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index, parts = components.read(TINY)
    parts["unet"] = narrow(parts["unet"], time_cond_proj_dim=8)
    made = Architecture((64, 64), index["_class_name"], parts)
    monkeypatch.setitem(ARCHITECTURES, "unguided", made)
    once = meta.cost(models.resolve("arch:unguided"), (64, 64), 1, "float32")
    twice = meta.cost(TINY, (64, 64), 1, "float32")
    assert 0.49 < once.step_flops / twice.step_flops < 0.51
    assert once.text_flops == twice.text_flops / 2


def test_what_xl_upcasts_counts_in_float32() -> None:
    """force_upcast: the decoder in float32 beside the rest in float16, never in bfloat16."""
    xl = models.resolve("arch:sdxl")
    walked = {dtype: meta.walk(xl, (64, 64), 1, dtype) for dtype in ("float16", "bfloat16")}
    assert walked["float16"].boundaries[-1].found == "(1, 3, 64, 64) float32"
    assert walked["bfloat16"].boundaries[-1].found == "(1, 3, 64, 64) bfloat16"
    half, brain = (walked[dtype].cost for dtype in ("float16", "bfloat16"))
    assert half is not None
    assert brain is not None
    assert half.weights_bytes == brain.weights_bytes
    assert half.peak_bytes - brain.peak_bytes >= 2 * 83_653_863


def test_a_broken_boundary_has_no_cost() -> None:
    walked = meta.walk(TINY, (513, 64), 1, "float32")
    assert walked.cost is None
    with pytest.raises(ContractError) as broken:
        meta.cost(TINY, (513, 64), 1, "float32")
    assert str(broken.value) == (
        "size: 513x64: expected sides divisible by 8; try 512x64 or 520x64"
    )


def test_a_benchmark_is_refused_before_its_model_is_loaded() -> None:
    meta.require(TINY, (64, 64), 1, "float32")
    with pytest.raises(ContractError, match="try 512x64 or 520x64"):
        meta.require(TINY, (513, 64), 1, "float32")


def test_a_pipeline_of_another_kind_is_refused_here_and_passes_before_benchmarks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Architecture((64, 64), "FluxPipeline", {})
    monkeypatch.setitem(ARCHITECTURES, "other", made)
    other = models.resolve("arch:other")
    with pytest.raises(PipelineError) as refused:
        meta.walk(other, None, 1, "float32")
    assert str(refused.value) == (
        "--sd-model arch:other: expected a StableDiffusionPipeline or "
        "StableDiffusionXLPipeline or StableDiffusion3Pipeline, not FluxPipeline; "
        "choose another model"
    )
    meta.require(other, None, 1, "float32")


# A walk records what it crosses, and ends where something does not hold.


def test_what_holds_is_written_down_with_the_sizes_that_were_known() -> None:
    import torch

    boundaries = Boundaries({"scale": 8, "N": 2})
    boundaries.hold(torch.empty((2, 4, 8, 8), device="meta"), contracts.LATENTS)
    boundaries.hold(torch.empty((2, 3, 64, 64), device="meta"), contracts.DECODED)
    assert boundaries.crossed == [
        Boundary(
            "latents",
            "(2, latent_C, H/scale, W/scale) float16 or bfloat16 or float32",
            "(2, 4, 8, 8) float32",
        ),
        Boundary(
            "decoded image",
            "(2, 3, 64, 64) float16 or bfloat16 or float32",
            "(2, 3, 64, 64) float32",
        ),
    ]


def test_what_was_found_before_comes_first() -> None:
    import torch

    boundaries = Boundaries({})
    known = Violation("latents", "9 channels", "4", "mend it")
    with pytest.raises(BrokenError):
        boundaries.hold(torch.empty((2, 4), device="meta"), contracts.LATENTS, known)
    assert boundaries.crossed[-1].violation == known


@pytest.mark.parametrize(
    ("error", "given"),
    [(ValueError("two\nlines"), "two lines"), (KeyError(), "KeyError")],
)
def test_what_a_component_raises_is_one_line(error: Exception, given: str) -> None:
    boundaries = Boundaries({})
    with pytest.raises(BrokenError), boundaries.calling(contracts.SCORES, "mend it"):
        raise error
    assert boundaries.crossed == [
        Boundary(
            "scores",
            "(N, classes) float32",
            "an error",
            Violation("scores", given, "(N, classes) float32", "mend it"),
        )
    ]


def test_ctrl_c_is_no_violation() -> None:
    boundaries = Boundaries({})
    with pytest.raises(KeyboardInterrupt), boundaries.calling(contracts.SCORES):
        raise KeyboardInterrupt
    assert boundaries.crossed == []
