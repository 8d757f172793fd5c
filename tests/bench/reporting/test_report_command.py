"""`python -m bench report`: what it writes, and how it answers a wrong question."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.reporting import report
from bench.results import record
from support.helpers import fresh_python
from support.pages import check_page
from support.results import BAD_FILES, document, numbered, rows, small, write_journal


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_is_written_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    record.write(Path("out.json"), document(rows()))
    assert main(["report", "out.json", "-o", "a\nb\x1b.html"]) == 0
    assert capsys.readouterr().out == "report: a b\ufffd.html\n"
    assert main(["report", "out.json", "-o", "new/page.html"]) == 0
    assert capsys.readouterr().out == "report: new/page.html\n"
    text = Path("new/page.html").read_text(encoding="utf-8")
    assert text == report.render([("out.json", record.load(Path("out.json")))])
    assert text.startswith("<!DOCTYPE html>\n")


def test_without_a_file_the_journal_is_reported() -> None:
    write_journal(record.JOURNAL, small(), ended=None)
    assert main(["report"]) == 0
    page = check_page(Path("report.html").read_text(encoding="utf-8"))
    assert page.of("h2") == ["journal.jsonl"]
    assert page.of("strong")[0].startswith("The run was cut short")


def test_several_files_are_compared_with_the_first(folder: Path) -> None:
    base = [
        replace(row, samples=(row.samples[0], 1.001 * row.samples[0]) * 3)
        for row in (numbered(1), numbered(2))
    ]
    slow = [replace(row, samples=tuple(2 * time for time in row.samples)) for row in base]
    for name, run in (("a.json", base), ("b.json", slow)):
        record.write(Path(name), document(run))
    assert main(["report", *(str(folder / name) for name in ("a.json", "b.json"))]) == 0
    text = Path("report.html").read_text(encoding="utf-8")
    page = check_page(text)
    assert page.of("h2") == ["Side by side", "A · a.json", "B · b.json"]
    assert page.of("strong")[0].startswith("B against A: 2 slower")
    assert "B against A: 2 slower" in page.of("h4")
    assert page.of("td").count("slower") == 4  # in the table, and under its chart
    assert str(folder) not in text


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_one_line_exit_code_2_and_no_page(
    kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, message = BAD_FILES[kind]
    bad = folder / "in" / "out.json"
    bad.parent.mkdir()
    make(bad)
    assert main(["report", str(bad)]) == 2
    assert capsys.readouterr() == ("", f"{bad}: expected {message}\n")
    assert not Path("report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["1.json", "2.json"],
            "1.json, 2.json: expected a cell that two of them measured; "
            "measure the same cells: options and ids must be the same",
        ),
        (
            ["1.json", "-o", "1.json"],
            "-o 1.json: expected another file than those that are read; change -o",
        ),
        (
            ["1.json", "-o", "folder"],
            "output folder: expected a place that can be written (Is a directory); "
            "choose another folder",
        ),
        (
            ["1.json", "-o", "loop"],
            "output loop: expected a place that can be written "
            "(Too many levels of symbolic links); choose another folder",
        ),
        (
            ["1.json", "-o", "1.json/x.html"],
            "output 1.json/x.html: expected a place that can be written (File exists); "
            "choose another folder",
        ),
    ],
)
def test_a_wrong_question_is_one_line_and_changes_nothing(
    arguments: list[str], line: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2):
        record.write(Path(f"{number}.json"), document([numbered(number)]))
    Path("folder").mkdir()
    Path("loop").symlink_to("loop")
    before = Path("1.json").read_bytes()
    assert main(["report", *arguments]) == 2
    assert capsys.readouterr().err == f"{line}\n"
    assert Path("1.json").read_bytes() == before
    assert sorted(path.name for path in folder.rglob("*")) == ["1.json", "2.json", "folder", "loop"]


def test_without_the_extra_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record.write(Path("out.json"), document(small()))
    monkeypatch.setattr(
        report, "find_spec", lambda name: None if name == "jinja2" else find_spec(name)
    )
    assert main(["report", "out.json"]) == 1
    assert capsys.readouterr().err == (
        'report: expected jinja2 and matplotlib; no jinja2 here; pip install -e ".[report]"\n'
    )


def test_nothing_but_a_report_imports_what_it_needs() -> None:
    code = (
        "import sys, bench.__main__\n"
        "print(sorted({'jinja2', 'matplotlib', 'PIL', 'numpy'} & set(sys.modules)))"
    )
    assert fresh_python("-c", code).stdout == "[]\n"
