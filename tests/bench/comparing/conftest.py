"""Result files to compare, and a budget that ends after two pairs."""

import time
from pathlib import Path
from typing import Any

import pytest

from bench.comparing import ab
from bench.comparing.pair import Pair, measure
from bench.statistics import sequential
from support.comparisons import write_files


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
