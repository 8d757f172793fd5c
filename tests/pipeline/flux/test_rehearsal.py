"""What a user's model does in the child that tries it is one line. The children are stand-ins."""

import json
from typing import Any

import pytest

from pipeline.errors import ContractError, PipelineError
from pipeline.flux import child, julia, rehearsal
from pipeline.flux import model as models
from pipeline.flux.child import Ended

TRIED = "--flux-model mine.jl: expected a model that runs; "
FUNCTION = "--flux-model mine.jl", "a function that returns a Flux model"


def said(error: PipelineError, complaint: str = "") -> Ended:
    return Ended(0, f"resolved\n{rehearsal.MARK}{json.dumps(child.pack(error))}", complaint)


@pytest.mark.parametrize(
    ("ended", "line"),
    [
        (
            Ended(-11, "resolved", ""),
            f"{TRIED}it crashed Julia (SIGSEGV): look for a function that calls itself for ever",
        ),
        (Ended(-6, "resolved", ""), f"{TRIED}it crashed Julia (SIGABRT): look at what it calls"),
        (
            Ended(-9, "resolved", ""),
            f"{TRIED}it crashed Julia (SIGKILL): look at how much memory it takes",
        ),
        (Ended(0, "resolved", ""), f"{TRIED}it ended Julia with exit code 0: remove its exit()"),
        (Ended(None, "resolved", ""), f"{TRIED}it did not end within 300 s"),
        (
            said(
                PipelineError(*FUNCTION, 'LoadError: Failed to precompile Mine [0] to "/a".'),
                "ERROR: LoadError: no such luck\nStacktrace:\n",
            ),
            "--flux-model mine.jl: expected a function that returns a Flux model; LoadError: "
            "Failed to precompile Mine: no such luck",
        ),
        (
            said(ContractError("scores: all wrong", "others", "check")),
            "scores: all wrong: expected others; check",
        ),
    ],
)
def test_how_a_model_ends_is_one_line_with_where_to_look(
    monkeypatch: pytest.MonkeyPatch, ended: Ended, line: str
) -> None:
    monkeypatch.setattr(julia, "start", lambda: None)
    monkeypatch.setattr(child, "run", lambda *_, **__: ended)
    rehearsal._outcome.cache_clear()
    with pytest.raises(PipelineError) as refused:
        rehearsal.rehearse("mine.jl", 3)
    assert str(refused.value) == line


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (lambda batch: batch.mean((2, 3)), ""),
        (
            lambda batch: batch.mean((2, 3)) - batch.mean(),
            "scores: {apart} apart for an image alone and in a batch, expected the same scores; "
            "return Flux.testmode!(model), and let no layer mix images",
        ),
    ],
    ids=["each image by itself", "images that are mixed"],
)
def test_an_image_scores_the_same_alone(
    monkeypatch: pytest.MonkeyPatch, model: Any, line: str
) -> None:
    monkeypatch.setattr(models, "load", lambda *_: model)
    import numpy as np

    images = np.random.default_rng(0).random((2, 3, 224, 224), np.float32)
    images[1:] /= 2
    apart = np.abs(model(images)[:1] - model(images[:1])).max()
    lines = [str(violation) for violation in rehearsal._try("mine.jl", 3)]
    assert lines == ([line.format(apart=f"{apart:.3g}")] if line else [])
