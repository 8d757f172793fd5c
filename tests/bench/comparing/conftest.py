"""Result files to compare, a project to compare in, and a budget that ends after two pairs."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.comparing import ab
from bench.comparing.pair import Pair, measure
from bench.statistics import sequential
from support.comparisons import write_files
from support.spinning import spinning, state


@pytest.fixture(scope="session")
def result_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of result files, which no test changes."""
    folder = tmp_path_factory.mktemp("results")
    write_files(folder)
    return folder


@pytest.fixture
def two_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """End the budget, and look, with the second pair, however long a pair takes here."""
    pairs: list[Pair] = []

    def measured(*arguments: Any) -> Pair:
        pairs.append(measure(*arguments))
        return pairs[-1]

    monkeypatch.setattr(sequential, "FIRST_LOOK", 2)
    monkeypatch.setattr(ab, "measure", measured)
    monkeypatch.setattr(ab, "monotonic", lambda: time.monotonic() + (1e9 if len(pairs) >= 2 else 0))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository that `project` copies."""
    return spinning(tmp_path_factory.mktemp("ab") / "project")


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it, where the test runs; nothing may be left beside it, and nothing changed."""
    folder = tmp_path / "project"
    shutil.copytree(template, folder)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)
    before = state(folder)
    yield folder
    assert list(scratch.iterdir()) == []
    assert state(folder) == before
