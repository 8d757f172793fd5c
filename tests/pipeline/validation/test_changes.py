"""Two documents of `validate --json` compared: each change of a contract is one line."""

import copy
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.flux import network
from pipeline.validation import answers, changes, table
from pipeline.validation.answers import Scorer

SCORER = Scorer("the reference", network.output_shape)
NAME = "tiny · 64x64 · batch 1 · float32 · 3 channels"


@cache
def asked(**axes: str) -> Any:
    found = [answers.answer(one, SCORER) for one in answers.questions("tiny", **axes)]
    return json.loads(json.dumps(table.as_dict(found, 0.5)))


def edited(edit: Callable[[Any], object], **axes: str) -> Any:
    document = copy.deepcopy(asked(**axes))
    edit(document["answers"][0])
    return document


def test_the_same_contract_has_no_changes() -> None:
    assert changes.changes(asked(), asked()) == []
    assert changes.changes(asked(size="64,72", batch="1,2"), asked(size="72,64", batch="2,1")) == []


def boundary(answer: Any, name: str) -> Any:
    (found,) = (one for one in answer["boundaries"] if one["boundary"] == name)
    return found


@pytest.mark.parametrize(
    ("edit", "lines"),
    [
        (
            lambda answer: boundary(answer, "UNet output").update(found="(2, 8, 8, 8) float32"),
            ["UNet output: found (2, 4, 8, 8) float32 → (2, 8, 8, 8) float32"],
        ),
        (
            lambda answer: boundary(answer, "size").update(expected="sides divisible by 16"),
            ["size: expected sides divisible by 8 → sides divisible by 16"],
        ),
        (
            lambda answer: boundary(answer, "scores").update(violation="scores: wrong"),
            ["scores: holds → scores: wrong"],
        ),
        (
            lambda answer: answer["boundaries"].pop(),
            ["scores: (1, 10) float32 → not reached"],
        ),
        (lambda answer: answer.update(fits=True), []),
        (
            lambda answer: answer["cost"].update(peak_bytes=2 * answer["cost"]["peak_bytes"]),
            ["estimated peak: 8.125 MB → 16.25 MB (+100%)"],
        ),
        (lambda answer: answer["cost"].update(peak_bytes=answer["cost"]["peak_bytes"] * 1.04), []),
        (lambda answer: answer["cost"].update(step_flops=1), []),
        (lambda answer: answer.update(scored_by="Flux.outputsize"), []),
    ],
)
def test_a_change_is_one_line(edit: Callable[[Any], object], lines: list[str]) -> None:
    after = edited(edit)
    assert changes.changes(asked(), after) == [f"{NAME}: {line}" for line in lines]
    assert len(changes.changes(after, asked())) == len(lines)


def test_a_setting_that_was_changed_is_named_and_its_effects_too() -> None:
    name = "tiny · 64x64 · batch 1 · 3 channels"
    assert changes.changes(asked(), asked(dtype="bfloat16")) == [
        "dtype: float32 → bfloat16",
        f"{name}: text embeddings: found (2, 77, 32) float32 → (2, 77, 32) bfloat16",
        f"{name}: latents: found (1, 4, 8, 8) float32 → (1, 4, 8, 8) bfloat16",
        f"{name}: UNet output: found (2, 4, 8, 8) float32 → (2, 4, 8, 8) bfloat16",
        f"{name}: decoded image: found (1, 3, 64, 64) float32 → (1, 3, 64, 64) bfloat16",
        f"{name}: weights: 7.315 MB → 3.658 MB (-50%)",
        f"{name}: estimated peak: 8.125 MB → 4.063 MB (-50%)",
    ]


def test_a_boundary_that_breaks_says_why() -> None:
    lines = changes.changes(asked(memory="1GB"), asked(memory="1MB"))
    assert lines[0] == "memory_bytes: 1000000000 → 1000000"
    assert f"{NAME}: fits the memory: yes → no" in lines
    assert changes.changes(asked(), asked(memory="1MB")) == [], "it was not asked before"


def test_questions_of_one_side_alone_are_named() -> None:
    assert changes.changes(asked(size="64,72"), asked(size="64,80")) == [
        "tiny · 72x72 · batch 1 · float32 · 3 channels: not asked after",
        "tiny · 80x80 · batch 1 · float32 · 3 channels: not asked before",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"answers": 3}',
        '{"answers": [{}]}',
        "[" * 100_000,
        json.dumps({"answers": [{**{axis: [] for axis in changes.AXES}, "cost": None}]}),
    ],
    ids=lambda text: text[:20],
)
def test_another_document_is_refused_with_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(PipelineError) as refused:
        changes.read(str(path))
    line = str(refused.value)
    assert line.startswith(f"--diff {path}: expected a document of validate --json (")
    assert "Error" not in line
    if text == "{}":
        assert "(it has no 'answers')" in line
    assert line.endswith("; write one: python -m pipeline validate --json > FILE")


def test_a_document_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    path.write_text(json.dumps(asked()))
    assert changes.read(str(path))["answers"] == asked()["answers"]
    with pytest.raises(PipelineError, match=r"expected a file that can be read \(No such file"):
        changes.read(str(tmp_path / "absent.json"))
