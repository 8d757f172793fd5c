"""What `--benchmark-skip` runs: checks that all tensors of the selected cells fit together."""

from pathlib import Path

import pytest

from bench import grid, options
from pipeline.arguments import size_label
from pipeline.errors import PipelineError, UnavailableError
from pipeline.stable_diffusion import models
from pipeline.validation import answers, table
from pipeline.validation.answers import Question, Scorer


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each model, size, batch, type and color of the benchmarks."""
    metafunc.parametrize("question", questions(options.axes(metafunc.config)), ids=_id)


def test_contracts(
    question: Question, scorer: Scorer | PipelineError, pytestconfig: pytest.Config
) -> None:
    """Pass and fail as `python -m pipeline validate` does, with its line."""
    try:
        if isinstance(scorer, PipelineError):
            raise scorer
        answer = answers.answer(question, scorer)
        pytestconfig.stash.setdefault(options.ANSWERS, []).append(answer)
        broken = table.first_broken([answer])
        if not broken and scorer.missing is not None:
            raise scorer.missing
    except UnavailableError as error:
        if error.missing.need in options.required(pytestconfig):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    except PipelineError as error:
        pytest.fail(str(error), pytrace=False)
    if broken:
        pytest.fail(broken, pytrace=False)


@pytest.fixture(scope="module")
def scorers() -> dict[str, Scorer | PipelineError]:
    """Who gives the shape of scores, by `--flux-model`; filled in as the tests ask."""
    return {}


@pytest.fixture
def scorer(
    question: Question, scorers: dict[str, Scorer | PipelineError]
) -> Scorer | PipelineError:
    """The source of the scores' shape: Julia, started before torch is imported, or PyTorch."""
    if question.flux_model not in scorers:
        try:
            scorers[question.flux_model] = answers.scorer(question.flux_model)
        except PipelineError as error:
            scorers[question.flux_model] = error  # every test says why
    return scorers[question.flux_model]


def questions(axes: grid.Options) -> list[Question]:
    """Return the cells of `generate`, each with the colors of preprocessing, as questions."""
    colors = {str(cell.axes["color"]) for cell in grid.preprocess(axes)}
    channels = [count for count, color in ((3, "rgb"), (1, "gray")) if color in colors]
    questions = [
        Question(
            models.resolve(grid.model_of(cell, axes)),
            cell.size,
            cell.images,
            cell.dtype,
            count,
            flux_model,
        )
        for cell in grid.generate(axes)
        for count in channels
        for flux_model in list(grid.flux_models(axes).values()) or [""]
    ]
    return list(dict.fromkeys(questions))


def _id(question: Question) -> str:
    color = "rgb" if question.channels == 3 else "gray"
    side = size_label(question.size) if question.size else ""
    scorer = f"-{Path(question.flux_model).name}" if question.flux_model else ""
    return f"{question.model.label}-{question.dtype}-{side}-batch{question.batch}-{color}{scorer}"
