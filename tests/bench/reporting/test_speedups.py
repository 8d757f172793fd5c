"""A row is compared with its peers and with one thread, and with nothing else."""

from dataclasses import replace

import pytest

from bench.reporting.tables import speedup_lines, speedups
from bench.results.cell import FAILED, MEASURED, Cell, Row
from bench.statistics import stats


def row(milliseconds: float, images: int = 1, status: str = MEASURED, **axes: str | int) -> Row:
    cell = Cell("preprocess", {"regime": "file", **axes}, images=images)
    samples = (milliseconds / 1000,) * 8 if status == MEASURED else ()
    return Row(cell.id, cell, status, samples=samples)


def compared(*rows: Row) -> list[tuple[str, str, float]]:
    return [(one.row.cell.id, one.other_name, round(one.value, 3)) for one in speedups(rows)]


def test_a_row_is_as_many_times_as_fast_as_its_peer_takes_longer() -> None:
    rows = [row(2), row(8, peer="classic"), row(1, peer="v2")]
    assert compared(*rows) == [("file", "classic", 4.0), ("file", "v2", 0.5)]


def test_threads_are_compared_with_one_thread_by_the_image() -> None:
    rows = [row(60, 32, threads=1), row(30, 32, threads=2), row(20, 32, threads=4)]
    assert compared(*rows) == [
        ("file-threads2", "1 thread", 2.0),
        ("file-threads4", "1 thread", 3.0),
    ]


def test_rows_of_other_work_are_not_compared() -> None:
    rows = [row(2, size="512x512"), row(8, size="1024x1024", peer="v2"), row(8, threads=2)]
    assert compared(*rows) == []


def test_a_row_without_a_number_is_not_compared() -> None:
    assert compared(row(2), row(8, status=FAILED, peer="opencv")) == []
    assert compared(row(2, status=FAILED), row(8, peer="v2")) == []


def test_the_margin_is_that_of_both() -> None:
    times = (6, 13, 7, 12, 8, 11, 9, 10) * 3
    noisy = replace(row(8, peer="v2"), samples=tuple(time / 1000 for time in times))
    few = replace(row(1, peer="opencv"), samples=(0.001,) * 2)
    one, other = speedups([row(2), noisy, few])
    alone = stats.margin(noisy.samples)
    assert alone is not None
    assert one.margin == pytest.approx(alone)
    assert other.margin is None
    line = f"file: 4.75 × the speed of v2 (± {alone:.0%}), 0.500 × the speed of opencv¹"
    marked = {"file": "file", noisy.name: noisy.cell.id, few.name: f"{few.cell.id}¹"}
    lines = [line.replace("\u00a0", " ") for line in speedup_lines([row(2), noisy, few], marked)]
    assert lines == [line.replace("%", " %")]
