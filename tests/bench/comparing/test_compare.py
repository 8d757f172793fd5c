"""What `python -m bench compare` prints."""

import functools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.__main__ import main
from bench.reporting.columns import LAYOUTS
from bench.results import record
from support.golden import check_golden
from support.helpers import ROOT, fresh_python
from support.results import BAD_FILES, document, rows, write_journal

OTHERS: list[Any] = [None, True, 0, 7, -1, 1e17, "text", [], [None], {"text": None}]

OLD = ("old-1.json", "old-2.json", "old-3.json")
NEW = ("new-1.json", "new-2.json", "new-3.json")

SHOWN: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "compare-80.txt": (80, 0, ("main.json", "branch.json")),
    "compare-120.txt": (120, 0, ("main.json", "branch.json")),
    "compare-50.txt": (50, 0, ("main.json", "branch.json")),
    "compare-machines-80.txt": (80, 0, ("main.json", "branch.json", "gpu.json")),
    "compare-machines-120.txt": (120, 0, ("main.json", "branch.json", "gpu.json")),
    "compare-runs-80.txt": (80, 0, (*OLD, *NEW)),
    "compare-busy-80.txt": (80, 0, ("main.json", "busy.json", "--explain")),
    "compare-plain-80.txt": (80, 0, ("plain-main.json", "plain-branch.json")),
    "compare-explain-120.txt": (120, 0, ("main.json", "branch.json", "--explain")),
    "compare-fail-80.txt": (80, 1, ("main.json", "branch.json", "--fail-on", "slower:10%,missing")),
    "compare-hold-80.txt": (80, 0, ("main.json", "branch.json", "--fail-on", "slower:50%")),
    "compare.md": (80, 1, ("main.json", "branch.json", "--markdown", "--fail-on", "slower:10%")),
    "compare-machines.md": (80, 0, ("main.json", "branch.json", "gpu.json", "--markdown")),
    "compare-explain.md": (80, 0, (*OLD, *NEW, "--markdown", "--explain")),
}
"""Golden files: the terminal's columns, the exit code, and what is compared."""


@pytest.fixture(autouse=True)
def folder(result_files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the result files, at 80 columns."""
    monkeypatch.chdir(result_files)
    monkeypatch.setenv("COLUMNS", "80")
    return result_files


def answered(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The exit code, and what was printed."""
    code = main(["compare", *arguments])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a wrong question gets."""
    code, out, err = answered(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    return err.rstrip("\n")


# What is shown.


@pytest.mark.parametrize("name", SHOWN)
def test_a_comparison_reads_as_in_the_golden_file(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    width, code, arguments = SHOWN[name]
    monkeypatch.setenv("COLUMNS", str(width))
    answer, out, err = answered(capsys, *arguments)
    assert (answer, err) == (code, "")
    check_golden(name, out)


@pytest.mark.parametrize("width", range(60, 130, 7))
def test_no_line_is_longer_than_the_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, _ = answered(capsys, "main.json", "branch.json", "gpu.json", "--explain")
    assert max(map(len, out.split("\n"))) <= width


def test_a_file_compared_with_itself_is_the_same_and_nothing_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = answered(capsys, "old-1.json", "old-1.json", "--fail-on", "slower:1%,missing")
    assert code == 0
    assert "B against A: 2 same\n\nfail-on: 0 rows fail\n" in out


def test_a_journal_can_be_compared(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_journal(tmp_path / "journal.jsonl", rows(), ended=None)
    record.write(tmp_path / "out.json", document(rows()))
    names = [str(tmp_path / name) for name in ("out.json", "journal.jsonl")]
    code, out, _ = answered(capsys, *names)
    assert code == 0
    assert f"B:{names[1]}" in "".join(out.split())
    assert " · cut short" in out


def test_a_hundred_thousand_samples_a_row_take_no_longer_than_reading_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Autocorrelations by a product of all pairs took 60 s of CPU for such a row."""
    content = json.loads(Path("plain-main.json").read_text())
    (entry,) = content["benchmarks"] = content["benchmarks"][:1]
    names, seconds = [], []
    for count in (10_000, 100_000):
        for seed in (1, 2):
            entry["stats"]["data"] = [1e-6 * (1 + Random(n + seed).random()) for n in range(count)]
            names.append(str(tmp_path / f"{count}-{seed}.json"))
            Path(names[-1]).write_text(json.dumps(content))
        begun = process_time()
        assert answered(capsys, *names[-2:])[0] == 0
        seconds.append(process_time() - begun)
    assert seconds[1] < 30 * seconds[0]  # linear, with room; 100 times where it is quadratic


def test_one_file_is_compared_across_its_engines(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = answered(capsys, "main.json", "--across", "engine")
    assert code == 0
    assert "A (baseline): main.json · engine flux · " in out
    assert "C: main.json · engine reference (matched across engine)" in out
    assert "\ncpu-batch1 " in out


# Bad input.


@pytest.mark.parametrize(
    "kind", [kind for kind in BAD_FILES if "pytest-benchmark alone" not in kind]
)
def test_a_bad_file_is_one_line_and_exit_code_2(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, message = BAD_FILES[kind]
    path = tmp_path / "in" / "out.json"
    path.parent.mkdir()
    make(path)
    assert refused(capsys, "main.json", str(path)) == f"{path}: expected {message}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("main.json",),
            "compare main.json: expected two sides or more; "
            "name the baseline first, then what is compared with it",
        ),
        (
            ("main.json", "empty.json"),
            "empty.json: expected at least one measured row; "
            "python -m bench show empty.json says what is missing",
        ),
        (
            ("main.json", "other.json"),
            "main.json, other.json: expected a cell that two of them measured; "
            "measure the same cells: options and ids must be the same",
        ),
        (
            ("main.json", "plain-main.json"),
            "main.json, plain-main.json: expected a cell that two of them measured; "
            "measure the same cells: options and ids must be the same",
        ),
        (
            ("main.json", "old-1.json,"),
            "list 'old-1.json,': expected values separated by commas; remove the empty one",
        ),
        (
            ("main.json", "branch.json", "--fail-on", "slower"),
            "--fail-on slower: expected slower:10% (any percentage), missing, undecided, or "
            "several with commas between; change --fail-on",
        ),
        (
            ("main.json",) * 27,
            "27 sides: expected at most 26; compare fewer at a time",
        ),
    ],
    ids=lambda value: "-".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_a_wrong_question_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(capsys, *arguments) == message


def test_without_a_file_the_usage_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["compare"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == (
        "python -m bench compare: the following arguments are required: FILE; "
        "see python -m bench compare --help\n"
    )


def test_a_copy_of_a_run_is_no_second_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.json"
    copy.write_bytes(Path("old-1.json").read_bytes())
    line = refused(capsys, f"old-1.json,{copy}", "new-1.json")
    assert line == f"{copy}: expected each run once on a side; leave it out"


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, but for its root."""
    pairs: Any = ()
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        yield (*place, key)
        yield from places(inner, (*place, key))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from(["old-1", "plain-main"]), st.sampled_from(OTHERS))
def test_a_file_with_any_value_changed_is_compared_or_refused_with_one_line(
    data: st.DataObject, name: str, other: Any
) -> None:
    content = json.loads(Path(f"{name}.json").read_text())
    *way, last = data.draw(st.sampled_from(list(places(content))))
    functools.reduce(lambda value, key: value[key], way, content)[last] = other
    out, err = StringIO(), StringIO()
    with TemporaryDirectory() as scratch, redirect_stdout(out), redirect_stderr(err):
        path = Path(scratch) / "changed.json"
        path.write_text(json.dumps(content))
        code = main(["compare", f"{name}.json", str(path), "--explain", "--fail-on", "missing"])
    assert code in (0, 1, 2)
    assert (out.getvalue() == "", err.getvalue().count("\n")) == (code == 2, int(code == 2))


PLAIN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "saved without samples": (
        lambda content: content["benchmarks"][1]["stats"].pop("data"),
        "samples of test_sort.py::test_sort[1000] "
        "(--benchmark-save leaves them out: --benchmark-save-data); measure again",
    ),
    "no name": (
        lambda content: content["benchmarks"][0].pop("fullname"),
        "text at benchmarks[0].fullname, not null; measure again",
    ),
    "a test twice": (
        lambda content: content["benchmarks"].append(content["benchmarks"][0]),
        "each cell once, but test_sort.py::test_sort[100] is there twice; measure again",
    ),
    "a machine that is odd": (
        lambda content: content["machine_info"].update(cpu=[]),
        "an object at machine_info.cpu, not a list; measure again",
    ),
    "nothing measured": (
        lambda content: content.update(benchmarks=[]),
        "at least one measured row; python -m bench show FILE says what is missing",
    ),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_a_bad_file_of_pytest_benchmark_alone_is_one_line(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, message = PLAIN[kind]
    content = json.loads(Path("plain-main.json").read_text())
    change(content)
    path = tmp_path / "plain.json"
    path.write_text(json.dumps(content))
    expected = f"{path}: expected {message.replace('FILE', str(path))}"
    assert refused(capsys, "plain-main.json", str(path)) == expected


# The gate.


@pytest.mark.parametrize(
    ("fail_on", "code"),
    [("slower:29%", 1), ("slower:30%", 0), ("missing", 1), ("slower:50%,missing", 1)],
)
def test_the_exit_code_follows_what_fails(
    fail_on: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answered(capsys, "main.json", "branch.json", "--fail-on", fail_on)[0] == code


def in_project(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Start below a project with this `pyproject.toml`; return the files to compare there."""
    names = [str(Path(name).resolve()) for name in ("main.json", "branch.json")]
    (folder / "deep").mkdir()
    (folder / "pyproject.toml").write_text(text)
    monkeypatch.chdir(folder / "deep")
    return names


def test_thresholds_come_from_the_project_and_the_command_line_replaces_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    thresholds = 'generate = "slower:50%"\nforward = "missing"\n'
    names = in_project(tmp_path, f"[tool.sd-flux-bench.fail-on]\n{thresholds}", monkeypatch)
    code, out, _ = answered(capsys, *names)
    assert code == 1
    assert "fail-on: 1 row fails\n  B forward flux-cpu-batch1: not measured (unavailable:" in out
    assert answered(capsys, *names, "--fail-on", "slower:50%")[0] == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[tool.sd-flux-bench.fail-on]\ngenerat = "slower:5%"\n',
            "[tool.sd-flux-bench.fail-on] generat: expected generate or preprocess or forward or "
            f"{' or '.join([*LAYOUTS][3:])} or default; change the name of the family",
        ),
        (
            "[tool.sd-flux-bench.fail-on]\ngenerate = 5\n",
            "pyproject.toml [tool.sd-flux-bench.fail-on] generate = 5: expected text: "
            "slower:10% (any percentage), missing, undecided, or several with commas between; "
            "put it in quotes",
        ),
        (
            '[tool.sd-flux-bench.fail-on]\ngenerate = "5%"\n',
            "pyproject.toml [tool.sd-flux-bench.fail-on] generate = 5%: expected "
            "slower:10% (any percentage), missing, undecided, or several with commas between; "
            "change pyproject.toml [tool.sd-flux-bench.fail-on] generate =",
        ),
        (
            '[tool.sd-flux-bench]\nfail-on = "slower:5%"\n',
            "pyproject.toml [tool.sd-flux-bench.fail-on]: expected a table; "
            'write forward = "slower:10%"',
        ),
        (
            "[tool",
            "pyproject.toml: expected TOML (Expected ']' at the end of a table declaration "
            "(at end of document)); mend it",
        ),
    ],
    ids=["family", "number", "word", "text", "not TOML"],
)
def test_wrong_thresholds_of_a_project_are_one_line(
    text: str,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = in_project(tmp_path, text, monkeypatch)
    assert refused(capsys, *names) == message


def test_a_gate_that_could_judge_no_row_is_no_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(Path("old-1.json").read_text())
    for entry in content["benchmarks"]:
        entry["extra_info"]["cell"]["cell"]["workload"] = 2
    path = tmp_path / "newer.json"
    path.write_text(json.dumps(content))
    code, out, err = answered(capsys, "old-1.json", str(path), "--fail-on", "slower:10%")
    assert code == 2
    assert "B against A: 2 refused" in out
    assert err == "fail-on: expected a row that can be compared; the table says what differs\n"


# The command line.


def test_the_command_line_prints_no_traceback_and_no_colour(folder: Path) -> None:
    names = [str(folder / name) for name in ("main.json", "branch.json")]
    done = fresh_python("-m", "bench", "compare", *names, "--fail-on", "slower:10%", COLUMNS="80")
    assert (done.returncode, done.stderr) == (1, "")
    assert "\x1b" not in done.stdout


def test_a_reader_that_leaves_early_sees_no_traceback(folder: Path) -> None:
    """As `| head` does: shells give 141 to what a closed pipe ended."""
    names = [str(folder / name) for name in ("main.json", "branch.json")]
    command = [sys.executable, "-m", "bench", "compare", *names]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    process.stdout = None
    assert process.communicate() == (None, "")
    assert process.returncode == 141
