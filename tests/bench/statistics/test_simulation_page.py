"""The page of simulated tables holds the rows that the script prints."""

import pytest

from coverage_simulation import TABLES
from support.helpers import ROOT

LABEL = 28
"""Characters of a row before its first figure."""


@pytest.mark.parametrize("name", TABLES)
def test_the_page_has_every_row_of_a_table(name: str) -> None:
    page = (ROOT / "docs" / "simulation.md").read_text(encoding="utf-8").splitlines()
    heading, *rows = [text for text, _ in TABLES[name](4)]
    shown = page[page.index(heading) + 1 :]
    shown = shown[: shown.index("```")]
    assert [row[:LABEL] for row in shown] == [row[:LABEL] for row in rows]
    assert not any(row.endswith("missed") for row in shown)
