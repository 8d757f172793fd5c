"""What may have spoiled a number is a footnote with its remedy."""

import pytest

from bench.machine.watch import FOREIGN
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
SIX = "six rounds, the fewest that give an interval: raise --benchmark-max-time for more"
FEW = "fewer than six rounds, too few for an interval: measure again"
AUTOCORRELATED = (
    "samples are autocorrelated; the interval is too narrow: rely on the spread of several runs "
    "instead"
)


@pytest.mark.parametrize(
    ("row", "notes"),
    [
        (measured(*[1.0] * 7), []),
        (measured(*[1.0] * 7, limited_by="budget"), []),
        (measured(9.0, limited_by="first call"), [FIRST_CALL]),
        (measured(*[1.0] * 6, limited_by="budget"), [SIX]),
        (measured(*[1.0] * 5), [FEW]),
        (measured(*drifting(20, 1.0, 0.1)), [AUTOCORRELATED]),
        (measured(*drifting(19, 1.0, 0.1)), []),
    ],
)
def test_each_caveat_is_a_footnote_with_its_remedy(row: Row, notes: list[str]) -> None:
    assert under(row) == [f"¹ {note}" for note in notes]
    assert fields(table_of(row)[1])[0] == row.cell.id + "¹" * len(notes)


def test_a_caveat_of_many_rows_is_printed_once_and_numbered_as_it_first_appears() -> None:
    few, slow = measured(*[1.0] * 5), measured(9.0, limited_by="first call")
    _, *lines = table_of(few, slow, few, slow)
    assert [fields(line)[0][-1] for line in lines] == list("¹²¹²")
    assert under(few, slow, few, slow) == [f"¹ {FEW}", f"² {FIRST_CALL}"]


@pytest.mark.parametrize(
    ("extra", "quiet", "note"),
    [
        (
            {"others_busy_percent": 34.0},
            {"others_busy_percent": 33.0},
            "other processes used more than a third of the CPU time",
        ),
        (
            {"stolen_percent": 1.1},
            {"stolen_percent": 1.0},
            "other virtual machines took more than 1 % of the CPU time",
        ),
        (
            {"cpu_lowest_mhz": 2549.0, "cpu_highest_mhz": 3400.0},
            {"cpu_lowest_mhz": 2550.0, "cpu_highest_mhz": 3400.0},
            "the CPU clock fell below 75 %",
        ),
        (
            {"gpu_power_capped_percent": 5.0},
            {"gpu_power_capped_percent": 0.0},
            "the power limit held the GPU's clock down",
        ),
    ],
)
def test_what_disturbed_the_rounds_is_a_footnote(
    extra: dict[str, float], quiet: dict[str, float], note: str
) -> None:
    assert under(measured(*[1.0] * 7, extra=extra))[0].startswith(f"¹ {note}")
    assert under(measured(*[1.0] * 7, extra=quiet)) == []


def test_dropped_samples_are_a_column_and_a_footnote() -> None:
    spoiled = measured(*[1.0] * 8, spoiled={FOREIGN: 3})
    heading, *lines = table_of(spoiled, measured(*[1.0] * 8))
    assert [fields(line)[fields(heading).index("dropped")] for line in lines] == ["3", "0"]
    assert under(spoiled) == [
        f"¹ samples were dropped: {FOREIGN}; end them, or wait: nvidia-smi lists them"
    ]
    few = measured(*[1.0] * 4, undersampled="undersampled: 40 of 44", spoiled={FOREIGN: 40})
    assert under(few) == ["¹ undersampled: 40 of 44"]


@pytest.mark.parametrize(
    ("guards", "line"),
    [
        (
            {"other processes": "", "CPU clock": "no cpufreq here", "GPU clock": "NVML: Unknown"},
            "watched during the rounds: other processes; "
            "not watched: CPU clock (no cpufreq here); GPU clock (NVML: Unknown)",
        ),
        (
            {"GPU clock": "no NVIDIA driver", "GPU throttling": "no NVIDIA driver"},
            "watched during the rounds: nothing; "
            "not watched: GPU clock, GPU throttling (no NVIDIA driver)",
        ),
    ],
)
def test_what_was_watched_and_what_was_not_is_said(guards: dict[str, str], line: str) -> None:
    assert under(measured(*[1.0] * 7, guards=guards)) == [line]
