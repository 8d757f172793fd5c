"""What a machine is called: its key in a file's name, and the line above a table."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.machine import records as machine

H100 = {"memory_bytes": 85520809984, "model": "NVIDIA H100 80GB HBM3", "power_limit_w": 700}
XEON = "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz"


@pytest.mark.parametrize(
    ("hardware", "key"),
    [
        ({"cpu": XEON, "cores": 16, "gpus": [H100]}, "nvidia-h100-80gb-hbm3"),
        ({"cpu": XEON, "cores": 16, "gpus": [H100, H100]}, "2x-nvidia-h100-80gb-hbm3"),
        ({"cpu": XEON, "cores": 2, "gpus": []}, "intel-xeon-platinum-8481c-2cores"),
        ({"cpu": "AMD EPYC 7763 64-Core Processor", "cores": 1.5}, "amd-epyc-7763-1p5cores"),
        ({"cpu": "Intel Xeon Processor (SapphireRapids)"}, "intel-xeon-sapphirerapids"),
        ({}, "unknown-cpu"),
    ],
)
def test_a_hardware_key_reads_like_its_machine_and_suits_a_file_name(
    hardware: dict[str, Any], key: str
) -> None:
    assert machine.hardware_key(hardware) == key


NO_GPU = {"gpus": None, "unread": {"gpus": "no NVIDIA driver"}}
WITH_CUDA = {"driver": "580.65.06", "packages": {"torch": "2.11.0"}, "python": "3.11.7"}


@pytest.mark.parametrize(
    ("records", "line"),
    [
        (
            {
                "hardware": {"cpu": XEON, "cores": 2} | NO_GPU,
                "software": {"packages": {"torch": "2.13.0+cpu"}, "python": "3.11.7"},
            },
            "2 cores Intel Xeon Platinum 8481C · no GPU · torch 2.13.0 · Python 3.11.7",
        ),
        (
            {
                "hardware": {"cpu": "AMD EPYC", "cores": 1, "gpus": [H100]},
                "software": WITH_CUDA,
            },
            "NVIDIA H100 80GB HBM3 · 1 core AMD EPYC · driver 580 · torch 2.11.0",
        ),
        (
            {"hardware": {"cpu": XEON, "cores": 16, "gpus": [H100]}, "software": WITH_CUDA},
            "NVIDIA H100 80GB HBM3 · 16 cores Intel Xeon… · driver 580 · torch 2.11.0",
        ),
        ({}, "machine not recorded"),
        ({"hardware": {}, "software": {}}, "machine not recorded"),
        ({"hardware": None}, "machine not recorded"),
    ],
)
def test_a_long_summary_gives_up_python_first_then_the_end_of_the_cpu(
    records: dict[str, Any], line: str
) -> None:
    assert machine.summary(records) == line


words = st.none() | st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=90)


@given(st.fixed_dictionaries(dict.fromkeys(("cpu", "model", "driver", "torch", "why"), words)),
       st.integers(0, 9))  # fmt: skip
def test_a_summary_is_one_line_of_at_most_78_characters(
    text: dict[str, str | None], count: int
) -> None:
    gpus = [{"model": text["model"]}] * count
    unread = {"gpus": text["why"]}
    hardware = {"cpu": text["cpu"], "cores": count, "gpus": gpus, "unread": unread}
    packages = {"torch": text["torch"]}
    software = {"driver": text["driver"], "packages": packages, "python": "3.11.7"}
    line = machine.summary({"hardware": hardware, "software": software})
    assert 0 < len(line) <= 78
    assert len(line.splitlines()) == 1
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", machine.hardware_key(hardware))
