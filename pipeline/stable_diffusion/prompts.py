"""What a model reads of a prompt: text encoders take a fixed number of tokens, CLIP's take 77."""

from collections.abc import Mapping
from typing import Any

__all__ = ["limits", "read_by"]


def limits(tokenizers: Mapping[str, Any], most: int | None = None) -> list[tuple[Any, int]]:
    """Return tokenizers with the number of tokens that a pipeline passes on from each.

    `most` is the pipeline's own `max_sequence_length`, where it has one.
    """
    known = (tokenizer for tokenizer in tokenizers.values() if tokenizer is not None)
    return [(tokenizer, min(tokenizer.model_max_length, most or 10**6)) for tokenizer in known]


def read_by(tokenizers: list[tuple[Any, int]], text: str) -> str:
    """Return the part of `text` that at least one text encoder reads."""
    parts = [_read(tokenizer, limit, text) for tokenizer, limit in tokenizers]
    return max(parts, key=len, default=text)


def _read(tokenizer: Any, limit: int, text: str) -> str:
    if len(tokenizer(text).input_ids) <= limit:
        return text
    ids = tokenizer(text, truncation=True, max_length=limit, return_offsets_mapping=True)
    return text[: max(end for _, end in ids["offset_mapping"])]
