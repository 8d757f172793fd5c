"""Units: one table, so that a number reads the same in a table, a comparison and a report."""

import pytest

from bench.results import units


@pytest.mark.parametrize(
    ("key", "value", "name", "text"),
    [
        ("memory_bytes", 85_520_809_984, "memory", "79.65 GiB"),
        ("mmap_threshold_bytes", 32 * 2**20, "mmap_threshold", "32 MiB"),
        ("peak_bytes", 1000, "peak", "0.0009537 MiB"),
        ("ram_gib", 128, "ram", "128 GiB"),
        ("power_limit_w", 700, "power_limit", "700 W"),
        ("temperature_c", 41, "temperature", "41 °C"),
        ("cpu_mhz", 2445, "cpu", "2445 MHz"),
        ("others_busy_percent", 12.5, "others_busy", "12.5 %"),
        ("matrix_cpu_float32_flop_per_s", 5.1e10, "matrix_cpu_float32", "51 GFLOP/s"),
        ("matrix_cuda_float16_flop_per_s", 7.2e14, "matrix_cuda_float16", "720 TFLOP/s"),
        ("copy_cpu_bytes_per_s", 39.4e9, "copy_cpu", "39.4 GB/s"),
        ("python_loop_steps_per_s", 60e6, "python_loop", "60 M steps/s"),
        ("python_loop_steps_per_s", 600, "python_loop", "600 steps/s"),
        ("cores", 2, "cores", "2"),
    ],
)
def test_a_number_is_shown_in_the_unit_that_its_name_ends_in(
    key: str, value: float, name: str, text: str
) -> None:
    assert units.name(key) == name
    assert units.text(key, value) == text


def test_a_whole_number_without_a_unit_may_be_a_version() -> None:
    assert units.text("cudnn", 92400) == "92400"
    assert units.text("ratio", 92400.5) == "9.24e+04"


def test_memory_has_three_digits() -> None:
    assert units.memory(8.14e9) == "7.58 GiB"
    assert units.memory(5e6) == "4.77 MiB"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "<0.01 %"),
        (0.0000999, "<0.01 %"),
        (0.0001, "0.01 %"),
        (0.00063, "0.063 %"),
        (0.019, "1.9 %"),
        (0.04, "4 %"),
        (0.123, "12 %"),
        (2.4, "240 %"),
    ],
)
def test_a_share_reads_as_two_digits_of_a_percentage(share: float, text: str) -> None:
    assert units.percent(share) == text
