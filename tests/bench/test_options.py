"""The command line: what it refuses before anything is collected, and what its help says."""

import re
from pathlib import Path

import pytest

from support.runs import ROOT, folder_of, python_in

pytest_plugins = ["pytester"]

COUNT = "expected a whole number of at least 1"
SECONDS = "expected a number of seconds above 0"


@pytest.fixture
def asked(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with the repository's options, whose one test file says that it was imported."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folder_of(pytester.path, "from pathlib import Path\nPath('collected').touch()\n")
    pytester.path.joinpath("folder").mkdir()
    pytester.path.joinpath("file").touch()
    return pytester


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--sd-steps 0", f"--sd-steps 0: {COUNT}; change --sd-steps"),
        (
            "--sd-model folder",
            "--sd-model folder: expected a folder with a model_index.json; name the folder that "
            "save_pretrained wrote",
        ),
        (
            "--require bogus",
            "--require bogus: expected cuda or compiler or julia or peers or weights; "
            "change --require",
        ),
        (
            "--benchmark-compare-fail=mean:5%",
            "--benchmark-compare-fail: expected --benchmark-compare too; add it, or use "
            "python -m bench compare A B --fail-on slower:5%",
        ),
        (
            "--benchmark-only -n 2",
            "-n 2: expected one process to measure in; leave -n out, or --benchmark-only",
        ),
        *(
            (
                f"--sd-agreement={value}",
                f"--sd-agreement{value and ' '}{value}: expected a whole number from 0 to 1000; "
                "change --sd-agreement",
            )
            for value in ("", "2.5", "1001")
        ),
        (
            "--benchmark-max-time -1",
            f"--benchmark-max-time -1: {SECONDS}; change --benchmark-max-time",
        ),
        (
            "--benchmark-max-time inf",
            f"--benchmark-max-time Infinity: {SECONDS}; change --benchmark-max-time",
        ),
        (
            "--benchmark-json missing/out.json",
            "--benchmark-json missing/out.json: expected a folder that exists; mkdir -p missing",
        ),
        (
            "--benchmark-json file/out.json",
            "--benchmark-json file/out.json: expected a folder, but file is a file; "
            "choose another folder",
        ),
        (
            "--benchmark-json file/below/out.json",
            "--benchmark-json file/below/out.json: expected a folder, but file is a file; "
            "choose another folder",
        ),
        (
            "--benchmark-json folder",
            "--benchmark-json folder: expected a file, not a folder; add a name",
        ),
        (
            f"--benchmark-json {'a' * 300}",
            f"--benchmark-json {'a' * 300}: expected a file that can be written (File name too "
            "long); change --benchmark-json",
        ),
    ],
)
def test_a_wrong_question_is_answered_with_one_line(
    asked: pytest.Pytester, arguments: str, message: str
) -> None:
    result = asked.runpytest_subprocess(*arguments.split(), "test_cells.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in result.errlines if line] == [f"ERROR: {message}"]
    assert result.outlines == []
    assert not asked.path.joinpath("collected").exists()


def test_weights_that_are_required_and_missing_are_one_line_before_anything_is_collected(
    asked: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    options = ("--require", "weights", "--sd-model", "owner/name-that-nobody-has")
    result = asked.runpytest_subprocess(*options, "test_cells.py")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    [line] = [line for line in result.errlines if line]
    assert line.startswith(
        "Exit: --require weights: no weights: owner/name-that-nobody-has is not in the local cache"
    )
    assert not asked.path.joinpath("collected").exists()


@pytest.mark.parametrize("value", ["0", "1", "-0.5"])
def test_a_wrong_precision_is_refused_by_the_plugin(asked: pytest.Pytester, value: str) -> None:
    result = asked.runpytest_subprocess(f"--benchmark-precision={value}", "test_cells.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        "*error: argument --benchmark-precision: Value must be a fraction strictly between 0 and 1."
    )
    assert "Traceback" not in result.stderr.str()
    assert not asked.path.joinpath("collected").exists()


def test_the_help_of_every_flux_option_says_which_flux(
    asked: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    result = asked.runpytest_subprocess("--help")
    assert result.ret == 0
    options = re.split(r"^  (?=-)", result.stdout.str(), flags=re.MULTILINE)
    flux = {text.split("=")[0]: text for text in options if text.startswith("--flux-")}
    assert set(flux) == {"--flux-engine", "--flux-device", "--flux-batch", "--flux-model"}
    for text in flux.values():
        assert "Flux.jl, the Julia library (not the FLUX.1 image model): " in text


def test_a_results_path_in_the_current_folder_is_fine(asked: pytest.Pytester) -> None:
    result = asked.runpytest_subprocess("--benchmark-json", "out.json", "test_cells.py")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert asked.path.joinpath("collected").exists()
    assert not Path(asked.path, "out.json").exists()


def test_without_the_test_extra_pytest_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "hypothesis.py").write_text("raise ModuleNotFoundError\n")
    arguments = ("-m", "pytest", "tests/test_rooms.py", "-q", "-pno:hypothesispytest")
    run = python_in(ROOT, *arguments, PYTHONPATH=str(tmp_path))
    assert run.code == pytest.ExitCode.USAGE_ERROR
    line = "pytest: expected hypothesis, which is not installed; pip install -e '.[test]'"
    assert run.err.split() == f"ERROR: {line}".split()
