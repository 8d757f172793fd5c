"""Stable Diffusion: prompt → images, over model, device, dtype, size, batch, mode and steps."""

from typing import TYPE_CHECKING

import pytest

from bench import grid, options
from bench.measuring.measure import Measure
from bench.results import fingerprint, thumbnail
from bench.results.cell import CALL_FLOP, ESTIMATED, OFF_EAGER, Cell
from bench.workloads import agreement, modes, own
from bench.workloads.pipelines import Pipelines, draw, parts
from pipeline import contracts
from pipeline.contracts import Violation
from pipeline.errors import PipelineError
from pipeline.stable_diffusion import diffusion
from pipeline.stable_diffusion.models import Model
from pipeline.validation import meta

if TYPE_CHECKING:
    from PIL.Image import Image


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test a cell."""
    options.one_test_a_cell(metafunc, grid.generate)


def test_generate(
    measure: Measure,
    cell: Cell,
    pipelines: Pipelines,
    axes: grid.Options,
    pytestconfig: pytest.Config,
) -> None:
    """Time one prompt through the whole pipeline: text encoder, steps, VAE, PIL images."""
    if "call" in cell.axes:
        _measure_own(measure, cell, axes)
        return
    model = pipelines.model(cell)
    measure.expect(**estimates(cell, model))
    pipe = pipelines.of(cell)
    judged = options.pictures_judged(pytestconfig) if model.name == "tiny" else 0

    def check(images: "list[Image]") -> list[Violation]:
        violations = contracts.check_images(images, cell.images, cell.size)
        if violations or "mode" not in cell.axes:
            return violations
        eager = pipelines.eager(cell)
        off = modes.difference(images, eager)
        measure.expect(**{OFF_EAGER: off[0]})
        return modes.check_alike(off, modes.tolerance(cell.dtype, cell.device))

    def judge() -> dict[str, float]:
        return agreement.of_cell(pipe, cell, judged, measure.show_judged)

    try:
        measure(
            lambda: draw(pipe, cell),
            check=check,
            weights=model.weights,
            fingerprint=lambda images: fingerprint.of_image(images[0]),
            thumbnail=lambda images: thumbnail.of_image(images[0], prompt=diffusion.PROMPT, seed=0),
            extra=judge if judged else None,
            parts=parts(pipe),
        )
    except PipelineError:
        raise  # the call ended in good order
    except BaseException:
        pipelines.drop()  # an interrupted call may leave XL's VAE in float32
        raise


def _measure_own(measure: Measure, cell: Cell, axes: grid.Options) -> None:
    """Time a function of the user's, which may return one image or a list."""
    option, label = grid.GENERATE_CALL.option, str(cell.axes["call"])
    typed = grid.calls(grid.GENERATE_CALL, axes)[label]
    width, height = cell.size
    offered = {
        "prompt": diffusion.PROMPT,
        "seeds": list(range(cell.images)),
        "width": width,
        "height": height,
        "steps": cell.steps,
        "device": cell.device,
        "dtype": cell.dtype,
    }
    function, arguments = own.load(typed, option), own.taken(typed, option, offered)

    def call() -> "list[Image]":
        images = function(**arguments)
        return images if isinstance(images, list) else [images]

    def check(images: "list[Image]") -> list[Violation]:
        kinds = [type(image).__name__ for image in images if not hasattr(image, "getbands")]
        if kinds:
            return [Violation("image", f"a {kinds[0]}", "one of Pillow", "return Pillow's images")]
        return contracts.check_images(images, cell.images, cell.size)

    measure(
        call,
        check=check,
        weights=f"of {label}",
        fingerprint=lambda images: fingerprint.of_image(images[0]),
        thumbnail=lambda images: thumbnail.of_image(images[0], prompt=diffusion.PROMPT, seed=0),
    )


def estimates(cell: Cell, model: Model) -> dict[str, float]:
    """Return the operations and the memory of a call; empty for a pipeline unknown to `meta`."""
    try:
        cost = meta.cost(model, cell.size, cell.images, cell.dtype)
        calls = meta.unet_calls(model, cell.steps)
    except PipelineError:  # it may run all the same
        return {}
    return {
        "step_flop": cost.step_flops,
        CALL_FLOP: cost.flops(calls),
        ESTIMATED: cost.peak_bytes,
    }
