"""What was watched of the machine is said under the tables, and beside the rows that it spoiled."""

from typing import Any

import pytest

from bench.machine.watch import FOREIGN
from bench.reporting import caveats, tables
from bench.results.cell import Row
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
