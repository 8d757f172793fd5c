"""The plugin from a wheel, in a repository of its own; its page shows what one gets."""

import re
import signal
from itertools import takewhile
from pathlib import Path

import pytest

from bench.results import record
from bench.results.cell import FAILED, MEASURED, UNAVAILABLE
from pipeline.exits import INTERRUPTED
from pipeline.files import FIXTURES
from support.documents import blocks, commands, matches, plain
from support.helpers import ROOT
from support.installed import called, environment, start, started
from support.repositories import repository

PAGE = ROOT / "docs" / "own-benchmarks.md"
ASKED = ("--sd-flux-bench", "--benchmark-max-time=0.05", "-q", "-p", "no:cacheprovider")

SUITE = """
import pytest

GROUP = pytest.mark.benchmark(group="sums")


def numbers():
    return list(range(100))


@GROUP
@pytest.mark.parametrize("size", [10, 100])
def test_sum(measure, size):
    measure(lambda: sum(range(size)), check=lambda total: total == size * (size - 1) / 2)


def test_described(measure):
    measure(numbers, check=lambda output: None, images=8, device="cpu", axes={"size": 512})


def test_bare(measure):
    measure(numbers)


def test_plain(benchmark):
    assert len(benchmark(numbers)) == 100


def test_fixture_that_fails_later(benchmark):
    benchmark(numbers)
    assert False


def test_neither():
    pass
"""

WRONG = """
import pytest


def test_refused(measure):
    measure(lambda: 1, check=lambda output: output == 2)


def test_asserted(measure):
    def check(output):
        assert output == 2

    measure(lambda: 1, check=check)


def test_cuda(measure):
    measure(lambda: 1, device="cuda")


def test_mps(measure):
    measure(lambda: 1, device="mps")


def test_images(measure):
    measure(lambda: 1, images=0)


def test_axes(measure):
    measure(lambda: 1, axes={"share": 0.5})


def test_twice(measure):
    measure(lambda: 1)
    measure(lambda: 1)


def test_skipped(measure):
    pytest.skip("no data here")


def test_uncalled(measure):
    pass
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of an environment with the wheel."""
    return str(environment(tmp_path_factory.mktemp("installed")))


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory, python: str) -> Path:
    """A repository whose tests have run."""
    files = {"test_mine.py": SUITE, ".gitignore": "*.json\n.benchmarks/\n__pycache__/\n"}
    folder = repository(tmp_path_factory.mktemp("own") / "repository", files)
    done = started(python, "-m", "pytest", *ASKED, "--benchmark-json=out.json", folder=folder)
    assert "1 failed, 6 passed" in done.stdout, done.stdout
    return folder


def test_plain_tests_are_rows_of_the_result_file_and_the_journal(suite: Path) -> None:
    run = record.load(suite / "out.json")
    rows = {row.name: row for row in run.rows}
    by_id = {row.cell.id: row.cell.family for row in run.rows if row.status == MEASURED}
    assert by_id == {
        "test_sum-10": "sums",
        "test_sum-100": "sums",
        "test_described-512": "test_mine.py",
        "test_bare": "test_mine.py",
        "test_plain": "other",
    }
    described = rows["test_mine.py::test_described"]
    assert (described.cell.images, described.cell.device) == (8, "cpu")
    assert described.cell.axes == {"test": "test_described", "size": 512}
    assert rows["test_mine.py::test_sum[10]"].cell.axes == {"test": "test_sum", "size": 10}
    unchecked = [row.cell.id for row in run.rows if row.unchecked]
    assert sorted(unchecked) == ["test_bare", "test_plain"]
    failed = rows["test_mine.py::test_fixture_that_fails_later"]
    assert (failed.status, failed.samples) == (FAILED, ())
    journal = record.load(suite / record.JOURNAL)
    assert {row.name for row in journal.rows} == set(rows)
    assert all(row.samples for row in run.rows if row.status == MEASURED)


def test_show_compare_and_report_have_them(suite: Path, python: str) -> None:
    shown = called(python, "-m", "bench", "show", "out.json", folder=suite)
    assert "\nother · tests of pytest-benchmark's own fixture: no contract\n" in shown
    assert re.search(r"^¹ no contract: nothing checked the output; measure\(call, check=…\) does$",
                     shown, re.M)  # fmt: skip
    assert re.search(r"^test_described-512\S* .*$", shown, re.M)
    compared = called(python, "-m", "bench", "compare", "out.json", "out.json", folder=suite)
    for name in ("test_sum-10", "test_described-512", "test_bare", "test_plain"):
        assert re.search(rf"^{name} ", compared, re.M), compared
    across = called(
        python, *["-m", "bench", "compare", "out.json", "--across", "size"], folder=suite
    )
    assert re.search(r"^test_sum ", across, re.M)
    called(python, *["-m", "bench", "report", "out.json", "-o", "page.html"], folder=suite)
    assert "test_plain" in (suite / "page.html").read_text()


def test_ab_takes_turns_between_two_commits_of_another_repository(suite: Path, python: str) -> None:
    ask = "-m bench ab --base HEAD --budget 10000 --benchmark-max-time=0.05 -k sum"
    process = start(python, *ask.split(), folder=suite)
    assert process.stdout is not None
    said = list(takewhile(lambda line: not line.startswith("block 1 "), process.stdout))
    process.send_signal(signal.SIGINT)  # a block of two pairs is enough
    printed, _ = process.communicate()
    assert process.returncode == INTERRUPTED, said
    assert "2 pairs of fresh processes in " in printed
    assert re.search(r"^test_sum-100 ", printed, re.M), printed


def test_a_repository_that_does_not_ask_sees_one_option_and_imports_nothing(
    suite: Path, python: str
) -> None:
    code = """if True:
        import sys, pytest
        code = pytest.main(["-q", "-p", "no:cacheprovider", "-k", "plain"])
        print(int(code), "modules:", *sys.modules)
    """
    done = started(python, "-c", code, folder=suite)
    answer, _, modules = done.stdout.partition("modules:")
    assert answer.endswith("\n0 "), done.stdout
    assert "sd_flux_bench" in modules.split()
    assert {"bench", "pipeline", "torch", "numpy"}.isdisjoint(modules.split())
    assert "= sd-flux-bench =" not in done.stdout
    assert "Name (time in" in done.stdout  # pytest-benchmark's own table
    help_ = called(python, "-m", "pytest", "--help", folder=suite)
    options = set(re.findall(r"^  (--[a-z-]+)", help_, re.M))
    assert "--sd-flux-bench" in options
    assert {"--require", "--cold", "--sd-model", "--stock-table"}.isdisjoint(options)


def test_what_is_wrong_with_a_test_is_one_line(tmp_path: Path, python: str) -> None:
    (tmp_path / "test_wrong.py").write_text(WRONG)
    out = "--benchmark-json=out.json"
    done = started(python, "-m", "pytest", *ASKED, out, folder=tmp_path)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stdout
    assert "measure.py:" not in done.stdout
    for line in (
        "output: refused: expected one that its check accepts; mend the call",
        "output: not 1 == 2: expected what its check asserts; mend the call or the check",
        "device='mps': expected 'cpu' or 'cuda'; change it",
        "images=0: expected a whole number from 1; change it",
        "axes={'share': 0.5}: expected text or a whole number from 0; write it as text",
        "measure: expected one call in a test; parametrize the test",
    ):
        assert f"\n{line}\n" in done.stdout
    rows = {row.cell.id: row for row in record.load(tmp_path / "out.json").rows}
    assert {row.status for row in rows.values()} == {FAILED, UNAVAILABLE}
    assert (rows["test_skipped"].status, rows["test_skipped"].reason) == (
        UNAVAILABLE,
        "no data here",
    )
    assert (rows["test_cuda"].status, rows["test_cuda"].cell.device) == (UNAVAILABLE, "cuda")
    assert rows["test_uncalled"].reason == "the test has not called measure"


@pytest.mark.parametrize("name", ["bench", "pipeline"])
def test_a_package_that_hides_one_of_ours_is_one_line(
    tmp_path: Path, python: str, name: str
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    done = started(python, "-m", "pytest", *ASKED, folder=tmp_path)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert done.stdout.strip() == (
        f"ERROR: --sd-flux-bench: expected its own package {name}, which a package of this folder "
        "hides; start pytest as pytest, not as python -m pytest, or rename yours"
    )


def test_the_families_run_from_a_wheel(tmp_path: Path, python: str) -> None:
    ask = "--pyargs bench.test_preprocess --preprocess-regime decode --preprocess-format jpeg"
    done = started(python, "-m", "pytest", *ASKED, *ask.split(), folder=tmp_path)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^decode-jpeg-512x512-rgb", done.stdout, re.M)
    run = "-m pipeline generate --pregenerated --out run"
    called(python, *run.split(), folder=tmp_path)
    assert len(list((tmp_path / "run").iterdir())) == 3
    # The tiny pipeline and the weights of the network are in the wheel too.
    code = "from pipeline.files import FIXTURES; print(FIXTURES)"
    packed = Path(called(python, "-c", code, folder=tmp_path).strip())
    assert packed.is_relative_to(Path(python).parents[1])
    for folder in ("tiny-sd", "flux"):
        assert contents(packed / folder) == contents(FIXTURES / folder)


def contents(folder: Path) -> dict[Path, bytes]:
    """The files below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_the_page_shows_what_one_gets(tmp_path: Path, python: str) -> None:
    folder = repository(tmp_path / "repository", {".gitignore": ".benchmarks/\n__pycache__/\n"})
    for block in blocks(PAGE):
        name = re.match(r"# ([\w.]+)\n", block.text)
        if block.language in ("python", "toml") and name and not block.why_not:
            (folder / name[1]).write_text(block.text)
        if block.language != "console" or block.why_not:
            continue
        for command in commands(block):
            line = re.sub(r"^pytest", "python -m pytest -p no:cacheprovider", command.text)
            words = [python, *line.removeprefix("python ").split()]
            done = started(*words, folder=folder)
            assert done.returncode in (0, 1), done.stdout
            shown, printed = command.output, done.stdout.splitlines()
            assert matches(shown, printed), "\n".join(
                [f"$ {command.text}", *map(plain, shown), "printed:", *map(plain, printed)]
            )
