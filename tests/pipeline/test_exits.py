"""A command ends with an exit code and one line, never with a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import ContractError, PipelineError, UnavailableError
from pipeline.exits import exit_code
from support.helpers import NO_CUDA, ROOT
from support.results import document, small


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (PipelineError("--x 1", "2", "type 2"), 2, "--x 1: expected 2; type 2"),
        (ContractError("batch: empty", "images", "add one"), 1, "batch: empty: expected images; "),
        (UnavailableError("--device cuda", NO_CUDA), 1, "--device cuda: expected a CUDA device; "),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_an_error_is_one_line_and_its_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    def command() -> int:
        raise error

    assert exit_code(command, interrupted="stopped") == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(line)
    assert err.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
@pytest.mark.parametrize("command", ["pipeline generate", "bench compare a.json a.json"])
def test_a_reader_that_goes_away_leaves_no_traceback(tmp_path: Path, command: str) -> None:
    """As `| head` does: shells give 141 to what a closed pipe ended."""
    (tmp_path / "a.json").write_text(json.dumps(document(small())))
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", *command.split()],
            env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
            cwd=tmp_path,
            stdout=closed,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, b"")
