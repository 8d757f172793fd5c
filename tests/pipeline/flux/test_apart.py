"""Flux in a process of its own: the same scores, one line for what fails, and no torch there."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import (
    ContractError,
    Missing,
    PipelineError,
    UnavailableError,
)
from pipeline.flux import apart
from pipeline.flux import child as child_process
from support.helpers import SUITES, hide_julia, with_julia

posix_only = pytest.mark.skipif(os.name == "nt", reason="CUDA.jl's process needs Linux")


@pytest.mark.parametrize(
    "error",
    [
        PipelineError("a", "b", "c"),
        ContractError("a", "b", "c"),
        UnavailableError("a", Missing("cuda", "CUDA.jl", "no GPU", "buy one")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_crosses_with_its_parts_and_cause(error: PipelineError) -> None:
    error.__cause__ = ValueError("why")
    other = child_process.unpack(json.loads(json.dumps(child_process.pack(error))))
    assert type(other) is type(error)
    assert str(other) == str(error)
    assert str(other.__cause__) == "why"
    assert getattr(other, "missing", None) == getattr(error, "missing", None)


def test_without_julia_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_julia(monkeypatch)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("it was started"))
    with pytest.raises(UnavailableError, match=r"^Flux\.jl: expected Julia; "):
        apart.load(3, "cuda")


# The other process without Julia: its loop, and a stand-in for what it answers.


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the other process run this program instead of `apart.main`'s answers."""

    def start(answer: str) -> None:
        program = (
            "import sys; from pipeline.flux import apart, julia; "
            f"apart._answer = lambda request, memory: {answer}; apart.main"
        )
        real = child_process.program
        monkeypatch.setattr(
            child_process,
            "program",
            lambda statement: real(f"{program}{statement.partition('apart.main')[2]}"),
        )

    yield start
    apart.end()


@posix_only
def test_batch_and_scores_cross_in_shared_memory(other: Any) -> None:
    import numpy as np
    import torch

    other(
        "apart._array(memory, (2, 10), 2 * 3 * 224 * 224 * 4).__setitem__(..., "
        "apart._array(memory, request['shape']).reshape(2, -1)[:, :10] * 2)"
    )
    model = apart.Apart(3, 10, "cpu", "", "")
    images = torch.rand((2, 3, 224, 224))
    scores = model(images)
    assert np.array_equal(scores, images.reshape(2, -1)[:, :10].numpy() * 2)
    assert not np.array_equal(model(images * 2), scores)  # scores are a copy


@posix_only
def test_whoever_imports_torch_there_is_refused(other: Any) -> None:
    other("__import__('importlib').util.find_spec('torch') is None and 'torch' in sys.modules")
    assert apart._process().ask(do="load") is True


@posix_only
@pytest.mark.parametrize(
    ("answer", "how"),
    [
        ("__import__('os')._exit(3)", "it ended with exit code 3; run it again"),
        (
            "__import__('os').kill(__import__('os').getpid(), 11)",
            "it ended with SIGSEGV; run it again",
        ),
    ],
)
def test_a_process_that_ends_is_one_line_and_another_one_is_started(
    other: Any, answer: str, how: str
) -> None:
    other(f"{answer} if request['do'] == 'die' else 'alive'")
    assert apart._process().ask(do="live") == "alive"
    with pytest.raises(PipelineError) as ended:
        apart._process().ask(do="die")
    assert str(ended.value) == f"Flux in a process of its own: expected an answer; {how}"
    assert apart._process().ask(do="live") == "alive"


@posix_only
def test_a_process_that_does_not_answer_is_ended(
    other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "ANSWER_TIMEOUT_S", 1.0)
    monkeypatch.setattr(apart, "ENDING_S", 0.1)
    other("__import__('time').sleep(60)")
    process = apart._process()
    with pytest.raises(PipelineError, match=r"; none came within 1 s; run it again$"):
        process.ask(do="load")
    assert process._popen.returncode is not None


@posix_only
def test_the_process_ends_with_the_one_that_started_it() -> None:
    program = (
        "from pipeline.flux import apart; process = apart._process(); "
        "print(process._popen.pid, flush=True); import os; os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", child_process.program(program)], capture_output=True, check=False
    )
    pid = int(done.stdout)
    for _ in range(600):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.05)
    pytest.fail("it still runs")


# The real one, on the CPU: the same path as on CUDA.


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    answers: dict[str, Any] = with_julia((SUITES / "flux_apart.py").read_text(encoding="utf-8"))
    return answers


@posix_only
@pytest.mark.parametrize("count", [1, 8, 2])
def test_apart_flux_scores_as_the_reference_and_as_here(
    answers: dict[str, Any], count: int
) -> None:
    answer = answers[f"batch {count}"]
    assert answer["apart"] < 1e-4
    assert answer["from this process"] < 1e-6
    assert answer["timed"][0] < 1e-6
    assert answer["timed"][1] > 0
    assert answer["bridge"] == [[count, 10], False]
    assert answer["unchanged"] is True
    there, here = answer["allocated"]
    assert abs(there - here) < 4096


@posix_only
def test_what_it_refuses_is_the_same_line(answers: dict[str, Any]) -> None:
    assert answers["refused"] == {
        "channels": "2 channels: expected 1 or 3; pass grayscale or RGB images",
        "weights": "--flux-weights absent.safetensors: expected weights for 3 channels; "
        "weights absent.safetensors: there is no such file",
        "batch": "batch: shape (2, 1, 224, 224): expected shape (N, 3, 224, 224); preprocess the "
        "images first",
    }


@posix_only
def test_a_crash_there_is_one_line_and_the_next_call_works(answers: dict[str, Any]) -> None:
    assert answers["crash"].startswith("Flux in a process of its own: expected an answer; it ended")
    assert answers["afterwards"] == 0
    assert answers["ended"] is not None
