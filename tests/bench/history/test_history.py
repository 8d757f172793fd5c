"""`python -m bench history`: what it says and writes, and how it answers a wrong question."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import main
from bench.history import page, printing, repository, series
from bench.history.series import gather
from bench.results import record
from bench.results.record import load
from support.golden import check_golden
from support.histories import commits, result, slower_from, write
from support.pages import check_page
from support.repositories import git
from support.results import small, write_journal


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, in a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["history", *arguments])
    return code, *capsys.readouterr()


def files(folder: Path) -> list[tuple[str, Path]]:
    return [(path.name, path) for path in sorted(folder.rglob("*.json"))]


# What it says.


@pytest.mark.parametrize("width", [80, 120])
def test_a_history_reads_as_in_the_golden_file(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    write(Path("results"), slower_from(12, 20))
    code, out, err = answer(capsys, "results")
    assert (code, err) == (0, "")
    check_golden(f"history-{width}.txt", out)


def test_markdown_reads_as_in_the_golden_file(capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("results"), slower_from(12, 20))
    check_golden("history.md", answer(capsys, "results", "--markdown")[1])


def test_json_holds_every_run_point_and_change(capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("results"), slower_from(12, 20))
    content = json.loads(answer(capsys, "results", "--json")[1])
    (machine,) = content["machines"]
    assert len(machine["runs"]) == 20
    assert [len(one["points"]) for one in machine["series"]] == [20, 20]
    (change,) = content["changes"]
    assert (change["family"], change["word"]) == ("generate", "slower")
    assert change["first_bad"] == machine["runs"][12]
    assert change["last_good"] == machine["runs"][11]
    assert change["ratio"] == pytest.approx(1.1, abs=0.02)
    assert change["interval"][0] < change["ratio"] < change["interval"][1]
    assert change["software"] == ["torch 2.15.0+cu130 → 2.16.0"]


# Order and groups.


def test_runs_are_ordered_by_commit_where_git_knows_them(folder: Path) -> None:
    names = commits(folder / "repository", 14)
    results = slower_from(8, 14, names)
    for number, content in enumerate(results.values()):  # measured in the reverse order
        content["datetime"] = f"2026-02-{28 - number:02}T10:00:00+00:00"
    write(folder / "repository", results)
    (machine,) = gather(files(Path("repository"))).machines
    assert [moment.commit for moment in machine.moments] != names
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir("repository")
        (machine,) = gather(files(Path())).machines
    assert [moment.commit for moment in machine.moments] == names
    (change,) = machine.series[0].changes
    assert (change.first_bad.commit, change.first_bad.subject) == (names[8], "Change 8")
    assert change.last_good.commit == names[7]


def test_commits_that_were_not_measured_are_counted(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = commits(folder / "repository", 40)
    write(folder / "repository" / "results", slower_from(10, 20, names[::2]))
    monkeypatch.chdir("repository")
    out = answer(capsys, "results")[1]
    where = f"first in {names[20][:7]} Change 20 (2026-01-11)"
    assert f"{where}, last without it {names[18][:7]}, 1 commit" in out.replace("\n    ", " ")


def test_commits_of_a_side_branch_do_not_count_between_a_commit_and_its_parent(
    folder: Path,
) -> None:
    base = commits(folder / "repository", 6)[2]
    git(folder / "repository", "checkout", "--quiet", "-b", "side", base)
    for number in range(20):
        git(folder / "repository", *f"commit --quiet --allow-empty -m Side{number}".split())
    git(folder / "repository", "checkout", "--quiet", "-")
    git(folder / "repository", *["merge", "--quiet", "--no-edit", "side"])
    for number in range(8):
        git(folder / "repository", *f"commit --quiet --allow-empty -m After{number}".split())
    names = git(folder / "repository", *["rev-list", "--first-parent", "--reverse", "HEAD"]).split()
    write(folder / "repository" / "results", slower_from(7, len(names), names))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir("repository")
        (machine,) = gather(files(Path("results"))).machines
        assert repository.between(names[5], names[6]) == 20
        assert repository.between(names[6], "") == 0
    (change,) = machine.series[0].changes
    assert (change.first_bad.commit, change.skipped) == (names[7], 0)


def test_several_runs_of_a_commit_are_no_change_inside_it(folder: Path) -> None:
    results = {
        f"{number}-{turn}.json": result(
            2 * number + turn, 1.1 if number >= 5 else 1.0, f"{number:02x}" * 20, day="2026-01-01"
        )
        for number in range(10)
        for turn in (0, 1)
    }
    for number, content in enumerate(results.values()):
        content["datetime"] = f"2026-01-{number + 1:02}T10:00:00+00:00"
    (machine,) = gather(files(write(folder, results))).machines
    (change,) = machine.series[0].changes
    assert change.at == 10
    assert change.ratio.count == 10


def test_machines_and_other_work_are_series_of_their_own(folder: Path) -> None:
    newer = result(3, 5.0)
    newer["benchmarks"][0]["extra_info"]["cell"]["cell"]["workload"] = 2
    write(
        folder,
        {"a.json": result(1), "b.json": result(2, hardware={"cores": 8}), "c.json": newer},
    )
    history = gather(files(folder))
    assert [machine.hardware["cores"] for machine in history.machines] == [16, 8]
    assert [len(machine.series) for machine in history.machines] == [3, 2]


def test_where_the_software_changed_is_said(folder: Path) -> None:
    write(folder, {"a.json": result(1), "b.json": result(2, software={"torch": "2.16.0"})})
    (machine,) = gather(files(folder)).machines
    ((moment, lines),) = machine.software
    assert (moment.file, lines) == ("b.json", ["torch 2.15.0+cu130 → 2.16.0"])


def test_many_files_are_read_by_several_processes_to_the_same_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, slower_from(4, 8))
    (folder / "bad.json").write_text("{")
    alone = gather(files(folder))
    monkeypatch.setattr(series, "PARALLEL_FROM", 2)
    assert gather(files(folder)) == alone


def test_no_sample_is_kept(folder: Path) -> None:
    content = result(1)
    content["benchmarks"][0]["stats"]["data"] = [0.01] * 50_000
    write(folder, {"a.json": content})
    (machine,) = gather(files(folder)).machines
    assert len(repr(machine)) < 5_000
    assert len(load(folder / "a.json").rows[0].samples) == 50_000


# What fails.


@pytest.mark.parametrize(
    ("at", "options", "code"),
    [
        (17, ["--fail-on", "change:5%"], 1),
        (17, ["--fail-on", "change:20%"], 0),
        (8, ["--fail-on", "change:5%"], 0),  # not among the newest commits
        (8, ["--fail-on", "change:5%", "--since", "2026-01-05"], 1),
        (8, ["--fail-on", "change:5%", "--since", "2026-01-15"], 0),
        (8, [], 0),
    ],
)
def test_a_new_change_fails_and_an_old_one_does_not(
    at: int, options: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    write(Path("results"), slower_from(at, 20))
    status, out, err = answer(capsys, "results", *options)
    assert status == code
    assert ("1 change, newest first" in out) == ("2026-01-15" not in options)
    assert ("fail-on: 1 fails\n  slower: generate" in err) == bool(code)


def test_a_change_that_was_taken_back_does_not_fail(capsys: pytest.CaptureFixture[str]) -> None:
    results = slower_from(14, 20)
    results |= {f"run-{number}.json": result(number) for number in (18, 19)}
    write(Path("results"), results)
    status, out, _ = answer(capsys, "results", "--fail-on", "change:5%", "--since", "2026-01-01")
    assert (status, "2 changes" in out) == (0, True)


def test_since_a_commit_its_ancestors_are_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = commits(folder / "repository", 14)
    write(folder / "repository" / "results", slower_from(8, 14, names))
    monkeypatch.chdir("repository")
    for since, found in ((names[7], True), ("HEAD~6", True), (names[8], False), ("HEAD", False)):
        out = answer(capsys, "results", "--since", since)[1]
        assert ("slower: generate" in out) == found, since


def test_another_decoder_is_a_step_of_the_series_and_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = slower_from(6, 12)
    for number, content in enumerate(results.values()):
        cell = content["benchmarks"][0]["extra_info"]["cell"]["cell"]
        cell["regime"]["decoder"] = "kornia-rs 0.3.0" if number >= 6 else "kornia-rs 0.2.0"
    write(Path("results"), results)
    out = " ".join(answer(capsys, "results")[1].split())
    assert "1 change, newest first" in out
    assert "decoder kornia-rs 0.2.0 → kornia-rs 0.3.0" in out


# Where results live.


@pytest.mark.parametrize(("batch", "parallel_from"), [(128, 100), (5, 3)])
def test_a_branch_is_read_without_a_checkout(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
    parallel_from: int,
) -> None:
    monkeypatch.setattr(repository, "BATCH", batch)
    monkeypatch.setattr(series, "PARALLEL_FROM", parallel_from)
    names = commits(folder / "repository", 12)
    monkeypatch.chdir("repository")
    git(Path(), "checkout", "--quiet", "--orphan", "bench-results")
    write(Path("amd"), slower_from(6, 12, names))
    Path("README.md").write_text("results")
    git(Path(), "add", "--all")
    git(Path(), "commit", "--quiet", "--message", "results")
    git(Path(), "checkout", "--quiet", "main")
    assert not Path("amd").exists()
    code, out, err = answer(capsys, "--branch", "bench-results")
    assert (code, err) == (0, "")
    assert f"first in {names[6][:7]} Change 6" in out


def test_a_journal_and_a_file_of_pytest_benchmark_are_read(folder: Path) -> None:
    write_journal(folder / "journal.jsonl", small())
    plain = result(1)
    del plain["sd_flux_bench"]
    write(folder, {"plain.json": plain})
    paths = [(path.name, path) for path in sorted(folder.iterdir())]
    assert len(gather(paths).machines) == 2


# The page.


def test_the_page_has_a_chart_a_cell_and_the_changes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(Path("results"), slower_from(12, 20))
    assert answer(capsys, "results", "-o", "out/history.html")[0] == 0
    page_ = check_page(Path("out/history.html").read_text(encoding="utf-8"))
    assert page_.of("h1") == ["Benchmark history"]
    assert page_.of("h2")[0] == "1 change, newest first"
    assert page_.of("h4") == page_.of("title")[1:] == ["tiny-cpu-float32-64x64-2steps", "file"]
    assert "slower from 0c0c0c0 on" in page_.of("desc")[0]
    assert any(text.startswith("slower: generate tiny-cpu") for text in page_.of("th"))
    assert "torch 2.15.0+cu130 → 2.16.0" in " ".join(page_.of("td", "li"))
    assert len(page_.all("input")) == 3  # all, and the two families


def test_the_same_history_is_the_same_page_and_markup_in_it_stays_text(folder: Path) -> None:
    evil = "<script>alert(1)</script>"
    results = slower_from(8, 12)
    for content in results.values():
        content["benchmarks"][0]["extra_info"]["cell"]["cell"]["axes"]["model"] = evil
        content["sd_flux_bench"]["machine"]["hardware"]["cpu"] = evil
    history = gather(files(write(folder, results)))
    pages = {page.render(history, printing.changes_of(history)) for _ in range(2)}
    assert len(pages) == 1
    assert check_page(pages.pop()).all("script") == []


# Bad input.


def test_a_file_that_cannot_be_read_is_named_and_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(Path("results"), slower_from(12, 20))
    Path("results/bad.json").write_text("{")
    code, out, err = answer(capsys, "results")
    assert code == 1
    assert "20 runs" in out
    assert err.startswith("left out: results/bad.json: expected whole JSON (")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            [],
            "history: expected a folder, result files, or --branch; name one: bench history "
            "results/",
        ),
        (
            ["empty"],
            "empty: expected a folder with result files (.json or .jsonl); check the path",
        ),
        (
            ["missing.json"],
            "history: expected a result file with a measured cell (missing.json: expected a file "
            "that can be read (No such file or directory); check the path); name the folder that "
            "holds what --benchmark-json wrote",
        ),
        (
            ["--branch", "nowhere"],
            "--branch nowhere: expected a branch of this repository; git branch -a names them",
        ),
        (
            ["--branch", "--output=x"],
            "",
        ),
        (
            ["empty", "--fail-on", "slower:5%"],
            "--fail-on slower:5%: expected change:5% (any percentage); change --fail-on",
        ),
        (
            ["results", "--since", "nowhere"],
            "--since nowhere: expected a commit of this repository; git log names them",
        ),
    ],
)  # fmt: skip
def test_a_wrong_question_is_one_line_and_exit_code_2(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    write(Path("results"), {"a.json": result(1)})
    if not line:
        with pytest.raises(SystemExit) as stopped:
            main(["history", *arguments])
        assert stopped.value.code == 2
        return
    assert answer(capsys, *arguments) == (2, "", f"{line}\n")


def test_without_the_extra_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.history.changes.find_spec", lambda name: None)
    write(Path("results"), {"a.json": result(1)})
    assert answer(capsys, "results") == (
        1, "", 'history: expected ruptures; no ruptures here; pip install -e ".[report]"\n'
    )  # fmt: skip


def test_a_day_without_a_number_and_a_plain_run_have_no_point(folder: Path) -> None:
    empty: dict[str, Any] = result(1)
    empty["benchmarks"] = []
    write(folder, {"a.json": empty, "b.json": result(2)})
    assert record.load(folder / "a.json").rows == ()
    (machine,) = gather(files(folder)).machines
    assert [moment.file for moment in machine.moments] == ["b.json"]
