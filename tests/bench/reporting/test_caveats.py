"""What may have spoiled a number is a footnote with its remedy."""

import pytest

from bench.reporting.tables import render
from bench.results.cell import Row
from support.results import MACHINE, drifting
from support.tables import fields, measured, table_of


def under(*rows: Row) -> list[str]:
    """The footnotes."""
    lines = render(rows, MACHINE, 300).split("\n")
    return lines[len(lines) - lines[::-1].index("") + 1 :]


FIRST_CALL = (
    "a single sample: the first call alone used up the time budget; raise --benchmark-max-time to "
    "get more rounds"
)
UNSEEN = (
    "fewer than 19 rounds do not show an autocorrelation, so the interval is widened for one: "
    "raise --benchmark-max-time"
)
FEW = "fewer than six rounds, too few for an interval: measure again"
AUTOCORRELATED = (
    "samples are autocorrelated, and worth too few independent ones for an interval; "
    "the spread of several runs says more"
)


@pytest.mark.parametrize(
    ("row", "notes"),
    [
        (measured(*[1.0] * 7), []),
        (measured(*[1.0] * 19, limited_by="budget"), []),
        (measured(9.0, limited_by="first call"), [FIRST_CALL]),
        (measured(*[1.0] * 6, limited_by="budget"), [UNSEEN]),
        (measured(*[1.0] * 5), [FEW]),
        (measured(*drifting(20, 1.0, 0.1)), [AUTOCORRELATED]),
    ],
)
def test_each_caveat_is_a_footnote_with_its_remedy(row: Row, notes: list[str]) -> None:
    assert under(row) == [f"¹ {note}" for note in notes]
    assert fields(table_of(row)[1])[0] == row.cell.id + "¹" * len(notes)


def test_a_caveat_of_many_rows_is_printed_once_and_numbered_as_it_first_appears() -> None:
    rows = [
        measured(*seconds, limited_by=limit, name=str(number))
        for number, (seconds, limit) in enumerate(
            [([1.0] * 5, "precision"), ([9.0], "first call")] * 2
        )
    ]
    _, *lines = table_of(*rows)
    assert [fields(line)[0][-1] for line in lines] == list("¹²¹²")
    assert under(*rows) == [f"¹ {FEW}", f"² {FIRST_CALL}"]
