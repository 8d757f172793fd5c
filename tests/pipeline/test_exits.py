"""A command ends with an exit code and one line, never with a traceback."""

import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import IO

import pytest

from pipeline.errors import ContractError, PipelineError, UnavailableError
from pipeline.exits import exit_code, use_plain_signs
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


PRINTS = """
import sys
from pipeline.exits import exit_code

def command():
    print("x" * 100_000)
    return 0

sys.exit(exit_code(command))
"""


@pytest.fixture
def full(tmp_path: Path) -> Iterator[IO[bytes]]:
    """A device that is always full, made here."""
    device = tmp_path / "full"
    try:
        os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(1, 7))
        file = device.open("wb", buffering=0)
    except (AttributeError, OSError) as error:
        pytest.skip(f"no device can be made here: {error}")
    with file:
        yield file


@pytest.mark.parametrize("command", [("-c", PRINTS), ("-m", "pipeline", "validate", "--help")])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_on_standard_output_is_one_line(
    full: IO[bytes], command: tuple[str, ...], unbuffered: str
) -> None:
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered},
        stdout=full,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        2,
        "output: expected a place that can be written (No space left on device); "
        "free space, or write elsewhere\n",
    )


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_stream_that_is_closed_or_full_changes_no_other_code(
    full: IO[bytes], stream: str
) -> None:
    question = [sys.executable, "-m", "pipeline", "run", "--require", "gpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(question, env=environment, check=False, **{stream: full}).returncode == 2


@pytest.mark.parametrize(
    ("closing", "out", "err"),
    [
        ("2>&-", "run/preprocessed_image_1.png\n", ""),
        (">&-", "", "preprocess: 1 image in"),
        (">&- 2>&-", "", ""),
    ],
)
def test_a_stream_that_is_closed_takes_nothing_and_moves_nothing(
    closing: str, out: str, err: str, tmp_path: Path
) -> None:
    picture = ROOT / "fixtures" / "images" / "generated_image_1.png"
    question = [sys.executable, "-m", "pipeline", "preprocess", str(picture), "--out", "run"]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closing}', "sh", *question],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr[: len(err)]) == (0, out, err)
    assert bool(done.stderr) == bool(err)
    assert (tmp_path / "run" / "preprocessed_image_1.png").stat().st_size > 1000


def test_another_fault_of_the_system_is_no_fault_of_the_output() -> None:
    def command() -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "cache/model.safetensors")

    with pytest.raises(OSError, match="cache"):
        exit_code(command)


@pytest.mark.parametrize(
    ("encoding", "line"),
    [
        ("ascii", "768x512 > a-b 5 +/- 1 10-3 . [2] ? ? --|"),
        ("latin-1", "768×512 > a-b 5 ± 1 10-3 . ² é ? --|"),
        ("utf-8", "768×512 → a–b 5 ± 1 10⁻³ … ² é 猫 ──│"),
    ],
)
def test_a_sign_that_a_stream_cannot_write_has_a_plain_one(encoding: str, line: str) -> None:
    stream = TextIOWrapper(BytesIO(), encoding)
    use_plain_signs(stream)
    stream.write("768×512 → a–b 5 ± 1 10⁻³ … ² é 猫 ──│")
    stream.seek(0)
    assert stream.read() == line


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
@pytest.mark.parametrize(
    "command", ["pipeline generate --pregenerated", "bench compare a.json a.json"]
)
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2steps\u00b9,\u00b9\u00b2       5 ms\n1steps           5 ms\n",
         "2steps[1],[12]   5 ms\n1steps           5 ms\n"),
        ("\u00b1 95 %   ms  GB\n  5 %   1   2\n", "+/- 95 % ms  GB\n  5 %   1   2\n"),
        ("(\u00b1 5 %)\n", "(+/- 5 %)\n"),
    ],
)  # fmt: skip
def test_in_ascii_a_footnote_is_no_part_of_a_name_and_columns_stay_where_they_are(
    text: str, shown: str
) -> None:
    stream = TextIOWrapper(BytesIO(), "ascii", newline="")
    use_plain_signs(stream)
    stream.write(text)
    stream.flush()
    assert stream.buffer.getvalue().decode() == shown  # type: ignore[attr-defined]
