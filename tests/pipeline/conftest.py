"""What the tests of the pipeline get."""

import math
from pathlib import Path

import pytest

from pipeline import availability, progress
from support.commands import Command, runner
from support.helpers import NO_CUDA, hide_julia


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run a command in an empty folder, with no CUDA and no Julia; return its code and lines."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(availability, "cuda", lambda: NO_CUDA)
    monkeypatch.setattr(availability, "torch_cuda", lambda: NO_CUDA)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", math.inf)  # however busy the machine
    hide_julia(monkeypatch)
    return runner(capsys)
