"""What was watched of the machine is said under the tables, and beside the rows that it spoiled."""

from dataclasses import replace
from typing import Any

import pytest

from bench.machine.watch import FOREIGN
from bench.reporting import caveats, tables
from bench.results.cell import FAILED, Cell, Row
from support.results import MACHINE
from support.tables import measured

RATES = {
    "python_loop_steps_per_s": 5.1e7,
    "copy_cpu_bytes_per_s": 4.5e10,
    "matrix_cuda_float16_flop_per_s": 6.61e14,
}


def row(**known: Any) -> Row:
    return measured(*(1.0, 1.1) * 4, **known)


def test_dropped_samples_are_a_column_and_a_footnote() -> None:
    text = tables.render((row(spoiled={FOREIGN: 3}), row()), MACHINE, 300)
    heading, _, first, second = text.split("\n")[3:7]
    assert "rounds  dropped" in heading
    assert [line[heading.index("dropped") :].split()[0] for line in (first, second)] == ["3", "0"]
    assert "dropped" not in tables.render([row()], MACHINE, 300)


@pytest.mark.parametrize(
    ("known", "note"),
    [
        ({"spoiled": {FOREIGN: 3}}, f"samples were dropped: {FOREIGN}; end them, or wait"),
        ({"undersampled": "undersampled: 40 of 44"}, "undersampled: 40 of 44"),
        ({"extra": {"others_busy_percent": 34.0}}, "other processes"),
        ({"extra": {"stolen_percent": 1.1}}, "other virtual machines"),
        ({"extra": {"cpu_lowest_mhz": 2549.0, "cpu_highest_mhz": 3400.0}}, "the CPU clock"),
        ({"extra": {"gpu_power_capped_percent": 5.0}}, "the power limit"),
    ],
)
def test_a_disturbance_is_a_footnote(known: dict[str, Any], note: str) -> None:
    [line] = caveats.of_row(row(**known))
    assert line.startswith(note)


@pytest.mark.parametrize(
    "quiet",
    [
        {"others_busy_percent": 33.0},
        {"stolen_percent": 1.0},
        {"cpu_lowest_mhz": 2550.0, "cpu_highest_mhz": 3400.0},
        {"gpu_power_capped_percent": 0.0},
    ],
)
def test_at_its_limit_it_is_none(quiet: dict[str, float]) -> None:
    assert caveats.of_row(row(extra=quiet)) == []


def test_what_was_watched_and_what_was_not_is_said() -> None:
    guards = {"other processes": "", "CPU clock": "no cpufreq here", "GPU clock": "NVML: Unknown"}
    assert caveats.watched([row(guards=guards)]) == [
        "watched during the rounds: other processes; "
        "not watched: CPU clock (no cpufreq here); GPU clock (NVML: Unknown)"
    ]
    nothing = {"GPU clock": "no NVIDIA driver", "GPU throttling": "no NVIDIA driver"}
    assert caveats.watched([row(guards=nothing)]) == [
        "watched during the rounds: nothing; "
        "not watched: GPU clock, GPU throttling (no NVIDIA driver)"
    ]
    assert caveats.watched([row()]) == []


SPEED = (
    "reference workload: Python loop 51.0 M steps/s, copy cpu 45.0 GB/s, "
    "matrix cuda float16 661 TFLOP/s"
)


@pytest.mark.parametrize(
    ("end", "lines"),
    [
        ({}, [SPEED]),
        (
            {name: rate * 1.049 for name, rate in RATES.items()},
            [f"{SPEED}; the same at the end, within 5\u00a0%"],
        ),
        (
            RATES | {"copy_cpu_bytes_per_s": 3.6e10, "matrix_cuda_float16_flop_per_s": 7.1e14},
            [
                SPEED,
                "the machine's speed changed during the run: copy cpu -20\u00a0%, matrix cuda "
                "float16 +7\u00a0% at the end; stop other programs, let it cool, and measure again",
            ],
        ),
    ],
)
def test_the_reference_workload_says_whether_the_machine_changed(
    end: dict[str, float], lines: list[str]
) -> None:
    assert caveats.reference({"workload": {"start": RATES, "end": end}}) == lines


def test_without_rates_nothing_is_said() -> None:
    assert caveats.reference({"workload": {}}) == caveats.reference(MACHINE) == []


def beside(*shares: float) -> list[Row]:
    return [row(name=str(number), extra={"others_busy_percent": share})
            for number, share in enumerate(shares)]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        (beside(0.0, 5.0), ["quiet machine: other processes took at most 0.8 of 16 CPUs"]),
        (
            beside(0.0, 95.0, 2.0),
            ["busy machine: other processes took up to 15.2 of 16 CPUs beside 1 of 3 rows: "
             "do not rest a decision on this run"],
        ),
        ([row()], []),
    ],
)  # fmt: skip
def test_the_first_line_says_whether_the_machine_was_quiet(
    rows: list[Row], lines: list[str]
) -> None:
    assert tables.contents(rows, MACHINE).headlines == lines


def test_what_disturbed_most_rows_is_said_once_and_not_marked_on_each() -> None:
    contents = tables.contents(beside(80.0, 90.0, 2.0), MACHINE)
    busy, shared = contents.headlines
    assert busy.startswith("busy machine:")
    assert shared.startswith("other processes used more than a third of the CPU time")
    assert contents.notes == []
    few = tables.contents(beside(80.0, 0.0, 2.0), MACHINE)
    assert len(few.headlines) == len(few.notes) == 1
    text = tables.render(beside(80.0), MACHINE, 300).split("\n")
    assert text[1].startswith("busy machine: other processes took up to 12.8 of 16 CPUs")


def test_a_speedup_carries_the_footnotes_of_both_rows() -> None:
    ours, peer = (
        replace(row(name=name), cell=Cell("preprocess", {"regime": "file", **axes}))
        for name, axes in (("ours", {}), ("peer", {"peer": "v2"}))
    )
    few = replace(peer, samples=(1.0,) * 2)
    disturbed = replace(ours, extra={"stolen_percent": 9.0})
    (table,) = tables.contents([disturbed, few, replace(ours, name="x")], MACHINE).tables
    assert table.speedups[0].startswith("file¹: ")
    assert "the speed of v2²" in table.speedups[0]


def test_a_peer_that_breaks_the_contract_is_not_comparable() -> None:
    cell = Cell("preprocess", {"regime": "file", "peer": "v2"})
    text = tables.render([replace(row(), cell=cell, status=FAILED, samples=())], MACHINE, 80)
    assert "\nnot comparable:\n" in text
