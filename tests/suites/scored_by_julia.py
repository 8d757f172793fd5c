"""What Julia says of the scores of three Flux models: `answer` has names, shapes and violations."""

import os

from pipeline.validation import answers

file = os.environ["FLUX_FILE"]
models = ["", file + ":three", file + ":one"]
scorers = [answers.scorer(model) for model in models]
questions = [answers.questions("tiny", flux_model=model)[0] for model in models]
found = list(map(answers.answer, questions, scorers))
answer = [
    [scorer.name for scorer in scorers],
    [one.boundaries[-1].found for one in found],
    [[str(line) for line in one.violations] for one in found],
]
