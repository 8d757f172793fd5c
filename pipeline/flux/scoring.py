"""Scores of a batch: which engine gives them, and how they read."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline import contracts
from pipeline.errors import PipelineError, UnavailableError
from pipeline.flux import julia

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ENGINES", "FLUX", "REFERENCE", "TOP", "choose_engine", "lines", "probabilities"]

FLUX, REFERENCE = "flux", "reference"

ENGINES = (FLUX, REFERENCE)
"""What `--engine` takes: Flux.jl, or the PyTorch reference with the same weights."""

TOP = 3
"""How many classes are printed by default, where classes have names."""

_HEADING = "scores by the PyTorch reference, which has the same weights"


def choose_engine(asked: str, own: str = "") -> tuple[str, str]:
    """Return the engine that scores, and the line that says so, empty for Flux.jl.

    Without Julia it is the reference, unless `asked` names Flux.jl, or `own` names an option for
    Flux.jl alone; then this raises `UnavailableError`. Julia starts here: call it before torch is
    imported.
    """
    if asked == REFERENCE:
        if own:
            given = f"{own} with --engine {REFERENCE}"
            raise PipelineError(given, "Flux.jl, which alone reads it", "leave one out")
        return REFERENCE, _HEADING
    absent = julia.missing()
    if absent is None:
        return FLUX, ""
    if asked and not own:
        remedy = f"{absent.remedy}, or choose --engine {REFERENCE}"
        raise UnavailableError("Flux.jl", replace(absent, remedy=remedy))
    if own:
        raise UnavailableError("Flux.jl", absent)
    return REFERENCE, f"{_HEADING} ({absent})"


def lines(
    names: Sequence[str], scores: "np.ndarray", classes: Sequence[str] = (), top: int | None = None
) -> list[str]:
    """Return a line for each image: its classes with their probabilities, the highest first.

    `classes` are their names; without them a line has the scores, in the order of the classes.
    Raises `ContractError` where a score is not finite.
    """
    finite = replace(contracts.SCORES, shape=scores.shape, varied=False)
    contracts.require(contracts.check(scores, finite, values=True))
    if classes:
        values = [
            [f"{name} {share:.1%}" for name, share in zip(classes, row, strict=True)]
            for row in probabilities(scores)
        ]
        top = top or TOP
    else:
        values = [[f"{index}: {score:+.4f}" for index, score in enumerate(row)] for row in scores]
    ranked = []
    for name, row, text in zip(names, scores, values, strict=True):
        order = row.argsort(kind="stable")[::-1][:top] if top else range(len(row))
        ranked.append(f"{name}: " + "  ".join(text[index] for index in order))
    return ranked


def probabilities(scores: "np.ndarray") -> "np.ndarray":
    """Return the softmax of scores (N, classes), float64: what the network was trained to give."""
    import numpy as np

    powers = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return shares
