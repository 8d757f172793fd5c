"""What `--benchmark-skip` runs: whether every tensor of the selected cells will fit, no weights."""

import pytest

from bench import grid, options
from pipeline.arguments import size_label
from pipeline.errors import PipelineError, UnavailableError
from pipeline.stable_diffusion import models
from pipeline.validation import answers, table
from pipeline.validation.answers import Question, Scorer


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test a model, size, batch, type and color that a benchmark has."""
    asked = questions(options.axes(metafunc.config))
    metafunc.parametrize("question", asked, ids=_id)


def test_contracts(
    question: Question, scorer: Scorer | PipelineError, pytestconfig: pytest.Config
) -> None:
    """Pass and fail as `python -m pipeline validate` does, with its line."""
    try:
        if isinstance(scorer, PipelineError):
            raise scorer
        broken = table.first_broken([answers.answer(question, scorer)])
    except UnavailableError as error:
        if error.missing.need in options.required(pytestconfig):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    except PipelineError as error:
        pytest.fail(str(error), pytrace=False)
    if broken:
        pytest.fail(broken, pytrace=False)


@pytest.fixture(scope="module")
def scorer(axes: grid.Options) -> Scorer | PipelineError:
    """Who says what shape scores have: Julia, started before torch is imported, or PyTorch."""
    try:
        return answers.scorer(axes.flux_model)
    except PipelineError as error:
        return error  # every test says why


def questions(axes: grid.Options) -> list[Question]:
    """Return what the cells of `generate` and the colors of preprocessing ask, each once."""
    colors = {str(cell.axes["color"]) for cell in grid.preprocess(axes)}
    channels = [count for count, color in ((3, "rgb"), (1, "gray")) if color in colors]
    asked = [
        Question(
            models.resolve(grid.model_of(cell, axes)),
            cell.size,
            int(cell.axes.get("batch", cell.regime.get("batch", 1))),
            str(cell.axes["dtype"]),
            count,
            axes.flux_model,
        )
        for cell in grid.generate(axes)
        for count in channels
    ]
    return list(dict.fromkeys(asked))


def _id(question: Question) -> str:
    color = "rgb" if question.channels == 3 else "gray"
    side = size_label(question.size) if question.size else ""
    return f"{question.model.label}-{question.dtype}-{side}-batch{question.batch}-{color}"
