"""Progress is a plain line where nobody watches, and a bar on a terminal."""

import re
import sys
import time

import pytest

from pipeline.progress import progress


def test_elsewhere_progress_is_one_plain_line_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress("generate", 8, "step") as tell:
        tell(4)
        assert capsys.readouterr() == ("", "")
        tell(8)
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"generate: 8 steps in \d+\.\d s\n", err)


def test_work_of_long_parts_has_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("export", 2, "component", seconds=0) as tell:
        tell(0, "unet")
        assert capsys.readouterr().err == "export: 0 of 2 components, 0.0 components/s; unet\n"


def test_on_a_terminal_progress_is_a_bar_that_counts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with progress("generate", 8, "step") as tell:
        tell(5)
    out, err = capsys.readouterr()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err)
    assert out == ""
    assert re.search(r"generate ━.* 5/8 steps \d+\.\d steps/s", plain)
    assert re.search(r"generate: 8 steps in \d+\.\d s\n$", plain)


def test_work_that_fails_is_not_said_to_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), progress("generate", 8, "step"):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == ""


def test_elsewhere_long_work_says_its_rate_and_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with progress("preprocess", 300, "image") as tell:
        now = 105.0
        tell(50)
        assert capsys.readouterr().err == ""
        now = 110.0
        tell(100)
        assert capsys.readouterr().err == (
            "preprocess: 100 of 300 images, 10.0 images/s, 20 s left\n"
        )
        tell(101)
        assert capsys.readouterr().err == ""
