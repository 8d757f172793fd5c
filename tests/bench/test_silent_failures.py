"""Pictures that fail silently: each is a failed row with a reason of its own, and is never timed.

The pipelines are the tiny one with a fault built in.
"""

import pytest

from bench.results.cell import FAILED
from support.runs import Run, pytest_in, suite_in


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = suite_in(tmp_path_factory.mktemp("silent"), "silent_failures")
    return pytest_in(folder, "test_cells.py", "--benchmark-only", "--benchmark-json=out.json")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (
            "nan",
            "image 1: NaN in 25% of its levels: expected finite levels; "
            "check the weights and the configurations, such as scaling_factor",
        ),
        ("smaller", "image 1: 32x64, expected 64x64"),
        (
            "black",
            "image 1: one flat colour (standard deviation 0.00 of 255), expected a picture",
        ),
        (
            "blanked",
            "image 1: blanked by the safety checker: expected a picture; "
            "try another prompt or seed, or a model without a safety checker",
        ),
    ],
)
def test_a_picture_that_failed_silently_is_a_row_that_says_how(
    run: Run, fault: str, reason: str
) -> None:
    row = run.others[f"{fault}-64x64-1steps"]
    assert row["status"] == FAILED
    assert row["reason"] == reason
    assert row["samples"] == []


def test_none_of_them_has_a_number(run: Run) -> None:
    assert run.code == pytest.ExitCode.TESTS_FAILED
    assert run.measured == {}
    assert "4 failed" in run.out
    assert "Traceback" not in run.out
