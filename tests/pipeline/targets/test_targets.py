"""What exported components take: the printed rules, against the tiny programs themselves."""

import sys
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.stable_diffusion import components, models
from pipeline.targets import answers, onnx_files, table
from pipeline.targets.answers import Target
from pipeline.targets.limits import Batches, Sides
from pipeline.targets.programs import Program, programs
from pipeline.validation import answers as eager
from pipeline.validation import changes
from pipeline.validation.answers import Answer, Scorer

SIZES = list(product((16, 32, 40, 64, 72), (8, 24, 32, 48, 64, 96)))
"""Thirty, of which each is taken by eager PyTorch."""

SCORER = Scorer("this test", lambda channels, images: (images, 10))


@pytest.fixture(scope="module")
def exported() -> dict[str, Program]:
    """The three components of the tiny pipeline, exported once."""
    return {one.component: one for one in programs(models.resolve("tiny"), "float32", (64, 64))}


@pytest.fixture
def target(exported: dict[str, Program], monkeypatch: pytest.MonkeyPatch) -> Target:
    (target,) = targets(exported, monkeypatch, "64,72", "1,40")
    return target


def asked(size: str, batch: str = "1") -> list[Answer]:
    questions = eager.questions("tiny", size, batch, "float32")
    return [eager.answer(question, SCORER) for question in questions]


def targets(
    exported: dict[str, Program], monkeypatch: pytest.MonkeyPatch, size: str, batch: str = "1"
) -> list[Target]:
    monkeypatch.setattr(answers, "programs", lambda *_: iter(exported.values()))
    return list(answers.targets(["export"], asked(size, batch)))


def follows(rule: Sides | None, side: int) -> bool:
    assert rule is not None
    return (
        side % rule.multiple == 0
        and rule.smallest <= side <= (rule.largest or side)
        and side not in rule.gaps
    )


def run(module: Any, program: Program, size: tuple[int, int], batch: int) -> Any:
    """The output of a program's module, or None where it refuses: all of it, not guards alone."""
    import torch

    inputs = {
        name: tensor.new_empty(program.shape_at(name, size, batch))
        for name, tensor in program.inputs.items()
    }
    try:
        with torch.no_grad():
            return module(**inputs)
    except (AssertionError, RuntimeError):
        return None


def eager_shape(program: Program, size: tuple[int, int], batch: int) -> tuple[int, ...]:
    rows = program.shape_at(next(iter(program.inputs)), size, batch)[0]
    width, height = size
    parts = components.on_meta(models.resolve("tiny"), "float32")
    if program.component == "unet":
        return rows, 4, height // parts.scale, width // parts.scale
    return rows, 3, height, width


@pytest.mark.parametrize("component", ["unet", "vae_decoder"])
def test_the_sizes_of_the_rule_are_those_that_the_program_takes(
    exported: dict[str, Program], target: Target, component: str
) -> None:
    program = exported[component]
    limits = next(one for one in target.parts if one.component == component)
    module = program.exported.module()
    disagreements = []
    for size in SIZES:
        output = run(module, program, size, 1)
        by_rule = follows(limits.width, size[0]) and follows(limits.height, size[1])
        if by_rule != (output is not None):
            disagreements.append(size)
        elif output is not None:
            assert tuple(output.shape) == eager_shape(program, size, 1)
    assert disagreements == []


def test_nothing_is_exported_for_eager_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "programs", lambda *_: pytest.fail("it exports"))
    assert list(answers.targets([], asked("64"))) == []


def test_the_unet_narrows_sides_and_batch_and_names_its_guards(target: Target) -> None:
    limits = {one.component: one for one in target.parts}
    assert list(limits) == ["text_encoder", "unet", "vae_decoder"]
    assert limits["text_encoder"].width == Sides(8, 8, None)
    assert limits["text_encoder"].guards == ()
    assert limits["unet"].width is not None
    assert limits["unet"].width.multiple == 16
    assert limits["unet"].batch == Batches(1, 31), "two rows an image, and 63 rows at most"
    assert limits["unet"].guards[0] == "batch 32: sample rows <= 63"
    assert "side 8: sample side % 2 == 0" in limits["unet"].guards, "width and height"
    assert limits["vae_decoder"].batch == Batches(1, 63)
    assert target.whole.batch == Batches(1, 31)


def test_guards_of_both_sides_are_one() -> None:
    joint = "8 * latent height * latent width <= 9"
    guards = {"x width % 2 == 0": "width 8", "x width > 9": "width 16", "x height > 9": "height 16"}
    assert answers._in_words({joint: "batch 2", **guards, "x height % 2 == 0": "height 24"}) == (
        f"batch 2: {joint}",
        "width 8, height 24: x side % 2 == 0",
        "side 16: x side > 9",
    )


def test_what_was_asked_for_and_is_not_taken_says_what_is(target: Target) -> None:
    assert [(one.size, one.batch) for one in target.asked if not one.component] == [((64, 64), 1)]
    first, second, third = target.refused
    assert str(first) == "64x64, batch 40: unet: sample rows <= 63; try batch 1–31"
    assert str(second).startswith("72x72, batch 1: unet: sample ")
    assert str(second).endswith(" % 2 == 0; try 64x64 or 80x80")
    assert (third.size, third.batch, third.component) == ((72, 72), 40, "unet")
    assert third.remedy == "try batch 1–31 at 64x64, 80x80", "neither takes 40"
    line = table.first_refused([target])
    assert line.startswith("does not hold: export of tiny: 64x64, batch 40: unet: ")


def test_a_size_that_is_suggested_is_taken(
    exported: dict[str, Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny UNet takes multiples of 16 from 32 on: 16 and 24 have one size near them alone."""
    (target,) = targets(exported, monkeypatch, "16,24x72", "1")
    assert [one.remedy for one in target.asked] == ["try 32x32", "try 32x64 or 32x80"]
    assert target.batch_at == target.example, "no size that was asked for is taken"


def test_batches_are_those_of_the_sizes_that_were_asked_for(target: Target) -> None:
    assert target.batch_at == (64, 64)
    assert target.batches == (((64, 64), Batches(1, 31)), ((72, 72), None))


def test_both_answers_stand_beside_each_other(
    target: Target, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    table.print_targets([target])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "export of tiny · float32, traced with 2 images of 128x64"
    assert any(
        line.startswith("eager: multiples of 8; export: multiples of 16 from ")
        and line.endswith(" at batch 2")
        for line in lines
    )
    assert "export: batch 1–31 at 64x64 · none at 72x72" in lines
    assert "taken by eager and export: 64x64 batch 1" in lines
    rows = [line for line in lines if line.startswith("taken by eager alone: unet: sample rows")]
    assert rows == [
        "taken by eager alone: unet: sample rows <= 63: 64x64 batch 40 (try batch 1–31) · "
        "72x72 batch 40 (try batch 1–31 at 64x64, 80x80)"
    ], "a line for each guard"


def test_a_limit_that_changed_is_a_difference(target: Target) -> None:
    before = {"answers": [], "targets": table.as_dicts([target])}
    assert changes.changes(before, before) == []
    whole = replace(target.whole, batch=Batches(1, 15))
    after = {"answers": [], "targets": table.as_dicts([replace(target, whole=whole)])}
    assert changes.changes(before, after) == ["export · tiny · float32: all batch largest: 31 → 15"]


def test_a_component_that_cannot_be_exported_says_why(
    exported: dict[str, Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = replace(exported["unet"], failure="it reads a value")
    (target,) = targets({**exported, "unet": broken}, monkeypatch, "64")
    assert target.whole.width is None
    assert [str(one) for one in target.refused] == [
        "64x64, batch 1: unet: it reads a value; deploy it in eager PyTorch, or change the model"
    ]


def test_onnx_is_made_of_the_program_and_keeps_its_dimensions_free(
    exported: dict[str, Program],
) -> None:
    pytest.importorskip("onnxscript", reason="no onnxscript: pip install onnxscript")
    made = onnx_files.converted(exported["text_encoder"])
    assert made.failure == ""
    assert made.made.startswith("opset ")
    assert [made.refusal((64, 64), batch) for batch in (1, 3, 64)] == ["", "", ""]


def test_a_target_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    answers.require(["export"])
    with pytest.raises(PipelineError) as refused:
        answers.require(["export", "onnx"])
    line = str(refused.value)
    assert line.startswith("--target onnx: expected the library onnx (")
    assert line.endswith('; pip install "sd-flux-bench[onnx]"')
