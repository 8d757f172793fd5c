"""`python -m bench ab` and `noise` in repositories of their own, with one cell that only spins."""

from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import main
from bench.comparing import ab, noise
from bench.comparing.ab import Progress, Series, options, selection
from bench.comparing.pair import OutOfTime, Pair, measure
from bench.machine import records as machine
from pipeline.errors import PipelineError
from support.helpers import ROOT
from support.repositories import git
from support.spinning import QUICK

Answer = tuple[int, str, str]


def answered(capsys: pytest.CaptureFixture[str], *arguments: str) -> Answer:
    code = main(arguments)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The last line that a wrong question gets."""
    code, out, err = answered(capsys, *arguments)
    assert (code, out) == (2, "")
    return err.splitlines()[-1]


# What is answered.


def test_a_slower_commit_is_found_by_the_code_of_its_own_tree_unless_noise_can_hide_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    question = ("--base", "main", "--head", "slow")
    pairs: list[Pair] = []

    def measured(*arguments: Any) -> Pair:
        pairs.append(measure(*arguments))
        return pairs[-1]

    monkeypatch.setattr(ab, "measure", measured)
    code, out, err = answered(capsys, "ab", *question, "--fail-on", "slower:10%", *QUICK)
    assert code == 1
    short = git(project, "rev-parse", "--short=7", "main").strip()
    assert err.splitlines()[0] == f"A: main ({short})"
    assert err.splitlines()[2] == f"pytest {' '.join(QUICK[:2])}; at most 10000 s"
    assert "1 of 1 rows decided" in err.splitlines()[-1]
    assert out.splitlines()[0].partition(" in ")[0] == "4 pairs of fresh processes"
    assert f"A (baseline): main ({short}) · 4 runs" in out
    assert "noise floor: 2 % where measured in turns" in " ".join(out.split())
    assert "B against A: 1 slower" in out
    (row,) = [line.split() for line in out.splitlines() if line.startswith("spin ")]
    assert float(row[3]) == pytest.approx(1.5, rel=0.1)
    assert "fail-on: 1 row fails\n  B forward spin: 1." in out

    def measured_before(*_: Any) -> Pair:
        if not pairs:
            raise OutOfTime
        return pairs.pop(0)

    monkeypatch.setattr(ab, "measure", measured_before)
    noise.keep(noise.Noise(machine.hardware(), "", 12, 0.3, 0.6), project)
    code, out, _ = answered(capsys, "ab", *question, "--explain", *QUICK)
    assert code == 0
    assert out.splitlines()[0].partition(" in ")[0] == "4 pairs of fresh processes"
    assert "noise floor of 60 % (in turns, this" in out
    assert "B against A: 1 slower" not in out


def test_the_working_tree_counts_as_it_stands_and_in_markdown(
    project: Path, two_pairs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    work_file = project / "pipeline" / "work.py"
    text = work_file.read_text()
    work_file.write_text(text.replace("0.002", "0.001"))
    code, out, err = answered(capsys, "ab", "--base", "HEAD", "--markdown", *QUICK)
    work_file.write_text(text)
    assert code == 0
    assert err.splitlines()[1].endswith(" with 1 uncommitted file)")
    assert "**B against A: 1 " in out
    (row,) = [line.split(" | ") for line in out.splitlines() if line.startswith("| spin ")]
    assert float(row[3]) == pytest.approx(0.5, rel=0.1)


def test_two_configurations_of_one_tree_are_compared_and_other_work_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = ("--a=SPIN=1 --benchmark-min-rounds=5", "--b=SPIN=2")
    code, out, err = answered(capsys, "ab", "--base", "other", *sides, *QUICK)
    assert code == 0
    assert err.splitlines()[0].endswith(" SPIN=1 --benchmark-min-rounds=5")
    assert err.splitlines()[1].endswith(" SPIN=2")
    assert out.startswith("2 pairs of fresh processes in ")  # nothing is left to decide
    assert "workload: A version 2, B version 1" in out
    assert "B against A: 1 refused" in out


def test_noise_is_measured_and_not_kept_from_a_few_pairs(
    project: Path, two_pairs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = answered(capsys, "noise", *QUICK)
    assert code == 0
    assert "faster or slower although nothing changed: " in out
    assert " for one run a side, " in out
    assert "not kept: a record needs 10 pairs, this run has 2; raise --budget\n" in out
    assert not (project / ".benchmarks").exists()


# Bad input.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "ab: expected --base REF, or --a and --b; add --base main"),
        (("--head", "main"), "--head main: expected --base too; add --base REF"),
        (
            ("--base", "nothing"),
            "commit nothing: expected a commit of this repository; git log names them",
        ),
        (
            ("--base", "main", "--budget", "soon"),
            "--budget soon: expected a number of seconds above 0; change --budget",
        ),
        (
            ("--base", "main", "--budget", "-1"),
            "--budget -1: expected a number of seconds above 0; change --budget",
        ),
        (
            ("--base", "main", "--fail-on", "slow"),
            "--fail-on slow: expected slower:10% (any percentage), missing, undecided, or several "
            "with commas between; change --fail-on",
        ),
        (
            ("--base", "main", "--a", "'x"),
            "'x: expected pytest's options (No closing quotation); mend the quotes",
        ),
    ],
)
def test_a_wrong_question_is_one_line(
    project: Path,
    arguments: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert refused(capsys, "ab", *arguments) == message


def test_a_folder_without_git_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for command in (("ab", "--base", "main"), ("noise",)):
        assert refused(capsys, *command).startswith("ab: expected a git work tree with a commit (")


def test_a_side_that_fails_is_named_with_its_first_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = git(project, "rev-parse", "--short=7", "broken").strip()
    assert refused(capsys, "ab", "--base", "main", "--head", "broken", *QUICK) == (
        f"side B (broken ({short})): expected pytest to measure "
        "(OSError: this tree is broken); run pytest --benchmark-only there"
    )


def test_an_option_that_pytest_does_not_know_is_one_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, "ab", "--base", "main", *QUICK, "--no-such-option")
    assert line.startswith("side A (main (")
    assert "expected pytest to measure (unrecognized arguments: --no-such-option)" in line


def test_no_cell_of_that_name_is_one_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, "ab", "--base", "main", *QUICK, "-k", "nothing")
    assert "expected a cell to measure (1 deselected" in line


def test_a_budget_too_short_for_one_block_is_one_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(capsys, "ab", "--base", "main", *QUICK, "--budget", "0.2") == (
        "--budget 0.2: expected seconds enough for one block; a longer --budget, or fewer cells "
        "(-k)"
    )


# Its parts.


def test_options_and_variables_of_a_side_are_told_apart() -> None:
    assert options("OMP_NUM_THREADS=2 -k 'a or b' --x=1") == (
        ("-k", "a or b", "--x=1"),
        {"OMP_NUM_THREADS": "2"},
    )
    assert options("") == ((), {})


def test_without_a_file_or_a_folder_all_of_bench_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    assert selection(["-k", "tiny"]) == ["bench/", "-k", "tiny"]
    one = "bench/test_preprocess.py::test_preprocess"
    assert selection(["--", one]) == [one]


class Terminal:
    """A stream that says whether it is a terminal."""

    def __init__(self, live: bool) -> None:
        self.live, self.text = live, ""

    def isatty(self) -> bool:
        return self.live

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


@pytest.mark.parametrize(
    ("live", "text"),
    [
        (False, "block 1 · 7 s of at most 60 s · 1 of 3 rows decided\n"),
        (True, "\rblock 1 · 7 s of at most 60 s · 1 of 3 rows decided\x1b[K\r\x1b[K"),
    ],
)
def test_progress_is_one_live_line_or_a_line_a_block(live: bool, text: str) -> None:
    stream: Any = Terminal(live)
    progress = Progress(60, stream)
    if not live:
        progress.show(Series((None,), 3.0), (0, 3))
    progress.show(Series((None, None), 7.0), (1, 3))
    progress.clear()
    assert stream.text == text


def test_a_budget_is_a_number_of_seconds() -> None:
    assert ab.budget("1.5") == 1.5
    for text in ("nan", "inf", "0", "x"):
        with pytest.raises(PipelineError, match="a number of seconds above 0"):
            ab.budget(text)
