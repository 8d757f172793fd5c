"""How far a fleet is: one live line a node on a terminal, plain lines elsewhere."""

import io
import json
import sys
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.fleet import command
from bench.fleet.cluster import Node
from bench.fleet.places import Place
from bench.fleet.progress import Progress
from bench.results.cell import MEASURED, Cell, Row
from bench.results.journal import Journal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def place(folder: Path) -> Place:
    """A node whose first of three cells has ended."""
    cells = {f"test[{name}]": Cell("harness", {"name": name}) for name in ("one", "two", "three")}
    source = folder / "there.jsonl"
    journal = Journal(source, {})
    journal.plan(cells)
    journal.add(Row("test[one]", cells["test[one]"], MEASURED, samples=(1.0,)))
    journal.close()
    made = Place(Node("a" * 56, 1, 0, {}), "nvidia-a100-1", folder / "nvidia-a100-1.jsonl")
    made.begin()
    made.add(source.read_text())
    return made


def test_elsewhere_a_node_has_a_plain_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running = place(tmp_path)
    with Progress() as progress:
        progress.show(running)
        progress.show(running)  # within ten seconds: nothing
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "nvidia-a100-1: 1 of 3 cells, about 0 s left · two"


@pytest.mark.parametrize("columns", ["80", "120"])
def test_on_a_terminal_a_node_has_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "xterm")
    with Progress() as progress:
        progress.show(place(tmp_path))
    text = terminal.getvalue()
    assert "nvidia-a100-1" in text
    assert "1/3" in text
    assert "two" in text


def test_a_node_that_ends_early_has_a_row_with_the_reason_for_every_other_cell(
    tmp_path: Path,
) -> None:
    running = place(tmp_path)
    running.fail("the node died")
    running.fail("and a later reason")
    file = running.close({"id": "1a2b3c4"})
    assert file == tmp_path / "nvidia-a100-1.json"
    document = json.loads(file.read_text())
    assert [entry["fullname"] for entry in document["benchmarks"]] == ["test[one]"]
    others = document["sd_flux_bench"]["rows"]
    assert [(row["name"], row["status"], row["reason"]) for row in others] == [
        ("test[two]", "failed", "the node died"),
        ("test[three]", "failed", "the node died"),
    ]
    assert document["commit_info"] == {"id": "1a2b3c4"}
    assert not running.journal.exists()


@pytest.mark.parametrize(
    ("options", "code", "line"),
    [
        ((), 0, ""),
        (("--markdown",), 0, ""),
        (("--explain",), 0, "--explain: "),
        (("--fail-on", "missing"), 1, "fail-on: "),
    ],
)
def test_one_machine_has_its_own_table_and_a_gate_on_it_fails(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    code: int,
    line: str,
) -> None:
    running = place(tmp_path)
    running.fail("the node died", "start it again")
    file = running.close({})
    assert file is not None
    measured = command.Measured({file: "node aaaaaaaa"}, 0)
    monkeypatch.setattr(command, "run", lambda options: measured)
    monkeypatch.chdir(tmp_path)
    assert main(("fleet", *options)) == code
    out, err = capsys.readouterr()
    marked = "--markdown" in options
    assert out.splitlines()[0] == ("### nvidia-a100-1" if marked else "nvidia-a100-1")
    assert (out.splitlines()[2] == "```") == marked
    assert "  the node died\n  → start it again\n" in out
    assert out.splitlines()[-1] == f"results: {file} (node aaaaaaaa)"
    said = "expected two machines that have measured, and there are 1; nothing was compared\n"
    assert err == (line + said if line else "")


def test_a_node_that_planned_nothing_leaves_no_file(tmp_path: Path) -> None:
    journal = tmp_path / "nvidia-a100-1.jsonl"
    journal.touch()
    idle = Place(Node("a" * 56, 1, 0, {}), "nvidia-a100-1", journal)
    idle.end(4, None, "unrecognized arguments: --sd-sise")
    assert idle.fault == "pytest ended with exit code 4: unrecognized arguments: --sd-sise"
    assert idle.close({}) is None
    assert list(tmp_path.iterdir()) == []
