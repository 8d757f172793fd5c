"""A user's Flux model runs in a child first: what ends or crashes Julia ends the child alone."""

import json
import re
import sys
from functools import cache

from pipeline import contracts
from pipeline.contracts import SIZE
from pipeline.errors import PipelineError
from pipeline.flux import child, julia
from pipeline.flux import model as models

__all__ = ["main", "rehearse"]

MARK = "sd-flux-bench rehearsal: "
"""Begins the line of the answer: a model may print lines of its own."""

CRASHES = {
    "SIGSEGV": "look for a function that calls itself for ever",
    "SIGKILL": "look at how much memory it takes",
}
"""Where to look, by how Julia crashed."""

COUNT = 2
"""Images of the batch that a model is tried with."""


def rehearse(model: str, channels: int) -> None:
    """Load a user's model and run it in a child, once for the same arguments.

    Raises `PipelineError` where it throws, ends or crashes Julia, and `ContractError` where it
    changes its input, its scores do not repeat, or an image's depend on the others of its batch.
    """
    julia.start()
    if (error := _outcome(model, channels)) is not None:
        raise error


@cache
def _outcome(model: str, channels: int) -> PipelineError | None:
    doing = f"trying {model}"
    statement = "from pipeline.flux import rehearsal; rehearsal.main(sys.argv[1:])"
    ended = child.run(statement, model, str(channels), doing=doing)
    lines = [line for line in ended.answer.splitlines() if line.startswith(MARK)]
    if ended.code != 0 or not lines:
        return PipelineError(f"--flux-model {model}", "a model that runs", _fault(ended))
    answer = json.loads(lines[-1].removeprefix(MARK))
    if not answer:
        return None
    error = child.unpack(answer)
    if "Failed to precompile" not in error.remedy:
        return error
    cause = child.cause_of(ended.complaint)  # the exception itself does not say it
    remedy = re.sub(
        r"(Failed to precompile \w+).*", lambda found: f"{found[1]}: {cause}", error.remedy
    )
    return PipelineError(error.given, error.expected, remedy)


def _fault(ended: child.Ended) -> str:
    if ended.code is None:
        return f"it did not end within {child.START_TIMEOUT_S:.0f} s"
    if ended.crash:
        return (
            f"it crashed Julia ({ended.crash}): {CRASHES.get(ended.crash, 'look at what it calls')}"
        )
    return f"it ended Julia with exit code {ended.code}: remove its exit()"


def main(arguments: list[str]) -> None:
    """Try the model and print the answer: what the child runs."""
    model, channels = arguments[0], int(arguments[1])
    answer = {}
    try:
        julia.start()
        print("resolved", flush=True)
        contracts.require(_try(model, channels))
    except PipelineError as error:
        answer = child.pack(error)
    sys.stdout.write(f"\n{MARK}{json.dumps(answer)}\n")
    sys.stdout.flush()


def _try(model: str, channels: int) -> list[contracts.Violation]:
    import numpy as np

    scorer = models.load(channels, "cpu", model)
    batch = np.random.default_rng(0).random((COUNT, channels, SIZE, SIZE), np.float32)
    batch[1:] /= 2  # images of pure noise are alike: what mixes them would not show
    before = batch.copy()
    first = scorer(batch)
    return (
        models.check_unchanged(batch, before)
        or models.check_repeated(first, scorer(batch))
        or models.check_alone(first[:1], scorer(batch[:1]))
    )
