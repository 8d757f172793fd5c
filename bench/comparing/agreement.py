"""Whether a side draws worse pictures: fewer that the network calls what their prompt says."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.results.cell import AGREED, JUDGED, Row
from bench.statistics.proportion import drop_by_chance, interval

__all__ = ["CHANCE", "Pictures", "judged"]

CHANCE = 0.01
"""A drop that chance alone would bring about less often is one: of a hundred rows that nothing
has changed, at most one is called worse."""


@dataclass(frozen=True)
class Pictures:
    """What can be said of the pictures of two sides."""

    text: str = ""
    """Both shares, or which side's were not judged; empty where neither's were."""
    worse: bool = False
    """Whether the second side's are worse."""
    one_sided: bool = False
    """Whether those of one side alone were judged."""


def judged(base: Sequence[Row], new: Sequence[Row], labels: tuple[str, str]) -> Pictures:
    """Return whether the pictures of `new` are worse than those of `base`.

    One run a side counts: other runs draw the same pictures from the same seeds.
    """
    counts = [_counts(rows) for rows in (base, new)]
    without = [label for (_, count), label in zip(counts, labels, strict=True) if not count]
    if without:
        one_sided = len(without) == 1
        return Pictures(
            f"pictures not judged in {without[0]}" if one_sided else "", False, one_sided
        )
    chance = drop_by_chance(counts[0], counts[1])
    shares = " and ".join(
        f"{agreed} of {count} ({low:.0%} to {high:.0%}) in {label}"
        for (agreed, count), label in zip(counts, labels, strict=True)
        for low, high in (interval(agreed, count),)
    )
    text = f"pictures that agree with their prompt: {shares}; chance alone: {chance:.1g}"
    return Pictures(text, chance < CHANCE)


def _counts(rows: Sequence[Row]) -> tuple[int, int]:
    extra = next((row.extra for row in rows if row.extra.get(JUDGED)), {})
    return int(extra.get(AGREED, 0)), int(extra.get(JUDGED, 0))
