"""Pipelines of other kinds than Stable Diffusion 1: which are drawn with, and what each takes."""

from pathlib import Path
from typing import Any

import pytest

from bench.workloads import pipelines
from pipeline.errors import PipelineError
from pipeline.stable_diffusion import diffusion, kinds
from pipeline.stable_diffusion.diffusion import Drawing
from support.models import (
    tiny_flux,
    tiny_kandinsky,
    tiny_pixart,
    tiny_pixels,
    tiny_sana,
    tiny_sd3,
)

FLOW = "FlowMatchEulerDiscreteScheduler"
OTHERS = {
    "StableDiffusion3Pipeline": (tiny_sd3, FLOW),
    "FluxPipeline": (tiny_flux, FLOW),
    "PixArtSigmaPipeline": (tiny_pixart, "DDIMScheduler"),
    "SanaPipeline": (tiny_sana, FLOW),
    "Kandinsky3Pipeline": (tiny_kandinsky, "DDPMScheduler"),
    "IFPipeline": (tiny_pixels, "DDPMScheduler"),
}


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("StableDiffusionControlNetPipeline", "takes image"),
        ("StableDiffusionUpscalePipeline", "takes image"),
        ("TextToVideoSDPipeline", "takes num_frames"),
        ("StableDiffusionImageVariationPipeline", "takes image"),
        ("DDPMPipeline", "takes no prompt"),
        ("AudioLDMPipeline", "takes no width"),
    ],
)
def test_a_pipeline_that_needs_more_than_a_prompt_is_refused(kind: str, why: str) -> None:
    with pytest.raises(PipelineError) as refused:
        kinds.text_to_image("mine", kind)
    assert str(refused.value) == (
        f"--sd-model mine: expected a text-to-image pipeline, not {kind}, which {why}; "
        "choose another model"
    )


@pytest.mark.parametrize(
    ("kind", "drawn_by"),
    [
        *((kind, kind) for kind in OTHERS),
        ("Flux2Pipeline", "Flux2Pipeline"),
        ("FluxKontextPipeline", "FluxKontextPipeline"),
        ("StableDiffusionImg2ImgPipeline", "StableDiffusionPipeline"),
        ("StableDiffusionXLImg2ImgPipeline", "StableDiffusionXLPipeline"),
        ("StableDiffusion3InpaintPipeline", "StableDiffusion3Pipeline"),
    ],
)
def test_a_kind_is_drawn_by_the_class_that_autopipeline_takes(kind: str, drawn_by: str) -> None:
    assert kinds.text_to_image("mine", kind).__name__ == drawn_by


@pytest.mark.parametrize("kind", ["NoSuchPipeline", None, 3])
def test_a_class_that_diffusers_has_not_is_left_to_diffusers(kind: Any) -> None:
    assert kinds.text_to_image("mine", kind) is None


@pytest.mark.parametrize("kind", OTHERS)
def test_a_text_to_image_pipeline_of_another_kind_draws(tmp_path: Path, kind: str) -> None:
    write, scheduler = OTHERS[kind]
    done: list[int] = []
    drawing = Drawing("river", size=(128, 64), steps=2, model=str(write(tmp_path)), device="cpu")
    one = drawing.draw(0, lambda _, steps: done.append(steps))
    assert one.size == (128, 64)
    assert one.info["scheduler"] == scheduler
    tells_no_steps = kind in ("PixArtSigmaPipeline", "IFPipeline")
    assert done == ([] if tells_no_steps else [1, 2])
    stages = {part.stage for part in pipelines.parts(drawing.load())}
    assert stages >= {"text encoder", "scheduler"}
    assert ("VAE decode" in stages) == (kind != "IFPipeline")


def test_a_folder_of_a_pipeline_that_edits_images_draws(tmp_path: Path) -> None:
    from diffusers import StableDiffusionImg2ImgPipeline

    drawn = Drawing("river", steps=1, device="cpu")
    pipe = StableDiffusionImg2ImgPipeline(**drawn.load().components, requires_safety_checker=False)
    pipe.save_pretrained(tmp_path / "edits")
    image = Drawing("river", 0, (64, 64), 1, str(tmp_path / "edits"), "cpu").draw(0)
    assert image.tobytes() == drawn.draw(0).tobytes()


def test_flux_has_no_use_for_a_negative_prompt_and_a_schnell_for_guidance(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tiny_flux(tmp_path)
    settings: dict[str, Any] = {"size": (64, 32), "steps": 1, "model": str(folder), "device": "cpu"}
    drawing = Drawing("river", **settings)
    assert drawing.info(0)["guidance"] == "none"
    assert not caplog.records
    drawing = Drawing("river", **settings, negative_prompt="rain", guidance=2)
    assert (drawing.info(0)["guidance"], drawing.info(0)["negative prompt"]) == ("none", "")
    assert [record.getMessage() for record in caplog.records] == [
        "FluxPipeline takes no negative prompt: it is left out",
        "FluxPipeline takes no guidance: it is left out",
    ]


def test_what_a_pipeline_does_not_take_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def plain(self, prompt, num_inference_steps, width, height, generator, output_type):  # type: ignore[no-untyped-def]
        return self.__class__.__mro__[1].__call__(
            self, prompt, height, width, num_inference_steps, generator=generator,
            output_type=output_type, guidance_scale=1.0,
        )  # fmt: skip

    drawing = Drawing(steps=1, negative_prompt="rain", guidance=3.0)
    pipe = drawing.load()
    pipe.__class__ = type("PlainPipeline", (type(pipe),), {"__call__": plain})
    [image] = diffusion.sample(pipe, "river", [0], (64, 64), 1, None, "rain", 3.0)
    assert image.size == (64, 64)
    assert [record.getMessage() for record in caplog.records] == [
        "PlainPipeline takes no negative prompt: it is left out",
        "PlainPipeline takes no guidance: it is left out",
    ]
