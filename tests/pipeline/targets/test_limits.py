"""The rule of the sides and batches that a target takes."""

import pytest

from pipeline.targets.limits import Batches, Sides, batches, sides


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Sides(8, 8, None), "multiples of 8"),
        (Sides(64, 128, 2048, (1024,)), "multiples of 64 from 128 to 2048, not 1024"),
        (Sides(16, 32, None, (48, 64, 80, 96)), "multiples of 16 from 32, not 48, 64, 80 …"),
        (Sides(512, 512, 512), "512 alone"),
        (Batches(1, None), "any"),
        (Batches(2, None), "from 2"),
        (Batches(1, 31), "1–31"),
        (Batches(4, 4), "4 alone"),
    ],
)
def test_a_rule_reads_as_one_phrase(rule: object, text: str) -> None:
    assert str(rule) == text


def test_sides_are_the_coarsest_multiple_that_holds() -> None:
    assert sides(lambda side: True, 8) == Sides(8, 8, None)
    assert sides(lambda side: side % 64 == 0 and side > 64, 8) == Sides(64, 128, None)
    assert sides(lambda side: side % 64 == 0 and side <= 2048, 8) == Sides(64, 64, 2048)
    assert sides(lambda side: side % 16 == 0 and side != 48, 8) == Sides(16, 16, None, (48,))
    assert sides(lambda side: side == 512, 8) == Sides(512, 512, 512)
    assert sides(lambda side: False, 8) is None


@pytest.mark.parametrize(
    ("rule", "side", "near"),
    [
        (Sides(16, 32, None), 24, [32, 32]),
        (Sides(16, 32, None), 64, [64, 64]),
        (Sides(16, 32, None, (48,)), 56, [32, 64]),
        (Sides(64, 64, 2048), 4000, [2048, 2048]),
    ],
)
def test_the_nearest_sides_are_taken(rule: Sides, side: int, near: list[int]) -> None:
    assert rule.near(side) == near


def test_batches_end_before_the_first_that_is_not_taken() -> None:
    assert batches(lambda batch: True) == Batches(1, None)
    assert batches(lambda batch: batch < 32) == Batches(1, 31)
    assert batches(lambda batch: batch == 2) == Batches(2, 2)
    assert batches(lambda batch: False) is None
