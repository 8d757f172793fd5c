"""Text that came from outside stays text: in a terminal, in Markdown, and where it is not UTF-8."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.comparing.comparison import compare
from bench.history import printing
from bench.history.series import gather
from bench.machine.records import summary
from bench.reporting import compare_markdown, compare_tables
from bench.reporting.compare_markdown import escaped
from bench.reporting.tables import render
from bench.results import record
from pipeline.errors import PipelineError, plain
from support.comparisons import around, run, sampled, side
from support.helpers import ROOT
from support.histories import slower_from, write
from support.results import MACHINE, document, named, rows, small
from support.tables import measured

EVIL = "\x1b[2J\x07a\nb\u202e\x9b31m\ud800"
"""What clears a screen, rings, breaks a line, turns it round, colours it, cannot be encoded."""

BAD = set("\x1b\x07\u202e\x9b\ud800")


def test_text_from_outside_is_one_line_without_a_sign_that_acts() -> None:
    assert plain(EVIL) == "�[2J�a b��31m�"
    assert str(PipelineError(EVIL, EVIL, EVIL)).isprintable()


def test_every_field_of_a_row_is_only_text_in_the_tables() -> None:
    texts = dict.fromkeys(("reason", "remedy", "limited_by", "weights", "undersampled"), EVIL)
    mappings = {"spoiled": {EVIL: 1}, "guards": {EVIL: EVIL}, "stages": {EVIL: 1.0}}
    row = replace(measured(*[1.0] * 9, **texts, **mappings, profiled=2.0), name=EVIL)
    odd = named(EVIL, {EVIL: EVIL}, "measured", samples=(1.0,) * 9, **texts)
    failed = replace(row, status="failed", name=f"{EVIL}x")
    text = render([row, replace(row, undersampled="", name="y"), odd, failed], MACHINE, 80)
    assert not BAD & set(text)
    text.encode()


def test_every_field_of_a_machine_is_only_text_in_its_line() -> None:
    hardware = {"cores": 2, "cpu": f"CPU{EVIL}", "gpus": [{"model": f"GPU{EVIL}"}]}
    software = {"driver": EVIL, "packages": {"torch": EVIL}, "python": EVIL}
    for known in ({}, {"cpu": EVIL, "gpus": []}, {"gpus": [], "unread": {"gpus": EVIL}}):
        text = summary({"hardware": hardware | known, "software": software})
        assert text
        assert not BAD & set(text)


def test_every_field_of_a_comparison_is_only_text() -> None:
    one = replace(sampled(EVIL, around(1.0, 1)), weights=EVIL)
    other = replace(sampled(EVIL, around(2.0, 2)), weights=f"{EVIL}2")
    commit = {"id": EVIL, "dirty": False}
    both = [sampled("x", around(1.0, 3))]
    sides = [
        side("A", run([one, *both], begun=EVIL, commit=commit)),
        side("B", run([other, *both], begun=EVIL, commit={"id": f"{EVIL}2"})),
    ]
    sides = [replace(one_side, files=(EVIL,)) for one_side in sides]
    comparison = compare(sides)
    shown = compare_tables.render(comparison, 80, explain=True)
    shown += compare_markdown.render(comparison, explain=True)
    assert not BAD & set(shown)


def test_every_field_of_a_history_is_only_text(tmp_path: Path) -> None:
    results = slower_from(8, 12)
    for number, content in enumerate(results.values()):
        content["commit_info"]["id"] = EVIL
        content["datetime"] = f"2026-01-{number + 1:02}T10:00:00{EVIL}"
        cell = content["benchmarks"][0]["extra_info"]["cell"]["cell"]
        cell["axes"]["model"], cell["family"] = "\x1b]0;x\x07", "\x1b[2J"
        content["sd_flux_bench"]["machine"]["hardware"]["cpu"] = "\x1b[2J"
        content["sd_flux_bench"]["machine"]["software"]["x\x1b[2J"] = str(number // 8)
    write(tmp_path, results)
    (tmp_path / "b\x1b[2J.json").write_text("{")
    history = gather([(path.name, path) for path in sorted(tmp_path.iterdir())])
    findings = printing.changes_of(history)
    assert findings
    assert history.unread
    shown = printing.render(history, findings, 80) + printing.markdown(history, findings)
    assert not BAD & set(shown + "".join(history.unread))


@pytest.mark.parametrize(
    "text", ["@somebody", "#12", "https://x.org", "WWW.x.org", "GH-7", "a@b.c"]
)
def test_github_sees_no_mention_no_issue_and_no_address(text: str) -> None:
    shown = escaped(text)
    assert text not in shown.replace("\\", "")
    assert shown.replace("\\", "").replace("\u200b", "") == text


# Where the output is not UTF-8.


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_signs_that_an_encoding_lacks_are_replaced(encoding: str, tmp_path: Path) -> None:
    record.write(tmp_path / "out.json", document(rows()))
    done = subprocess.run(
        [sys.executable, "-m", "bench", "show", str(tmp_path / "out.json")],
        env={"PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    shown = done.stdout.decode(encoding)
    assert "\\u" not in shown
    assert "?" not in shown
    _, _, *lines = shown.splitlines()  # the date of the run stands above
    assert len(lines) == len(render(rows(), MACHINE, 100).splitlines())
    assert any(set(line) == {"-"} for line in lines)


def test_all_zero_samples_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zero = [replace(row, samples=(0.0,) * 6, busy=0.0) for row in small()[:1]]
    peers = [
        named("preprocess", {"regime": "file", **axes}, "measured", samples=(0.0,) * 6)
        for axes in ({}, {"peer": "v2"}, {"threads": 1}, {"threads": 2})
    ]
    record.write(tmp_path / "out.json", document([*zero, *peers]))
    assert main(["show", str(tmp_path / "out.json")]) == 0
    assert " 0 " in capsys.readouterr().out
