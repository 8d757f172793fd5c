"""Faults built into the tiny pipeline: each spoils its picture without an error."""

import pytest

from bench.results.cell import Cell
from bench.workloads.pipelines import draw
from pipeline import contracts
from pipeline.stable_diffusion import diffusion


def nan(pipe, decode):
    def decoded(*arguments, **named):
        (image,) = decode(*arguments, **named)
        image[:, :, :16] = float("nan")
        return (image,)

    pipe.vae.decode = decoded


def smaller(pipe, decode):
    pipe.vae.decode = lambda *arguments, **named: (decode(*arguments, **named)[0][..., :32],)


def black(pipe, decode):
    pipe.vae.decode = lambda *arguments, **named: (decode(*arguments, **named)[0] * 0 - 1,)


def blanked(pipe, decode):
    pipe.run_safety_checker = lambda image, *others: (image * 0, [True])


FAULTS = {fault.__name__: fault for fault in (nan, smaller, black, blanked)}
CELLS = [Cell("generate", {"fault": name, "size": "64x64", "steps": 1}, steps=1) for name in FAULTS]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
def test_generate(measure, cell):
    pipe = diffusion.load("tiny", "cpu")
    FAULTS[cell.axes["fault"]](pipe, pipe.vae.decode)
    measure(
        lambda: draw(pipe, cell),
        check=lambda images: contracts.check_images(images, 1, (64, 64)),
    )
