"""Configurations: a model's JSON files, and the values in them that no component checks."""

import json
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError, one_line

__all__ = ["check_numbers", "check_sample_size", "check_vocabulary", "load", "without_dtypes"]

MOST_LAYERS = 1000
MOST_TRAINING_STEPS = 100_000


def load(name: str, folder: Path, file: str) -> dict[str, Any]:
    """Read a JSON object from one of the model's files."""
    expected = f"a JSON object in {file}"
    cause: Exception | None = None
    try:
        text = (folder / file).read_text(encoding="utf-8")
        if text.startswith("\ufeff"):  # diffusers does not read it either
            expected = f"JSON in {file} without a byte order mark"
            raise PipelineError(f"--sd-model {name}", expected, "save it as plain UTF-8")
        content = json.loads(text)
        if isinstance(content, dict):
            return content
    except OSError as error:
        cause, expected = error, f"a file {file} ({error.strerror})"
    except RecursionError as error:
        cause, expected = error, f"JSON in {file} (it is nested too deeply)"
    except ValueError as error:  # not JSON, or not UTF-8
        cause, expected = error, f"JSON in {file} ({one_line(error)})"
    raise PipelineError(f"--sd-model {name}", expected, "copy the folder again") from cause


def without_dtypes(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the types that transformers saved a model in: they would overrule the asked one."""
    return {
        name: without_dtypes(value) if isinstance(value, Mapping) else value
        for name, value in settings.items()
        if name not in ("dtype", "torch_dtype")
    }


def check_numbers(settings: Mapping[str, Any]) -> None:
    """Raise ValueError for a number that makes building take minutes, or all memory."""
    for name, value in settings.items():
        numbers = value if isinstance(value, list | tuple) else [value]
        most = MOST_LAYERS if "layers" in name else inf
        if name == "num_train_timesteps":
            most = MOST_TRAINING_STEPS
        if any(isinstance(number, int) and number > most for number in numbers):
            raise ValueError(f"{name} is {value}, expected at most {most}")


def check_sample_size(name: str, part: str, value: Any) -> None:
    """Refuse a network's size that is neither a number nor two; None asks for one."""
    sides = value if isinstance(value, list | tuple) else [value, value]
    are_whole = all(isinstance(side, int) and not isinstance(side, bool) for side in sides)
    if value is not None and not (are_whole and len(sides) == 2 and min(sides) >= 1):
        expected = f"a sample_size of one or two whole numbers from 1, not {value!r}"
        raise PipelineError(f"--sd-model {name}, {part}", expected, "check its config.json")


def check_vocabulary(name: str, part: str, tokenizer: Any) -> None:
    """Refuse a tokenizer without words; transformers makes one of a folder without its files."""
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        expected = "a vocabulary in its folder, such as tokenizer.json"
        raise PipelineError(f"--sd-model {name}, {part}", expected, "copy the folder again")
