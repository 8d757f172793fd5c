"""Whether a side draws worse pictures: fewer that the network calls what their prompt says."""

from collections.abc import Sequence

from bench.results.cell import AGREED, JUDGED, Row
from bench.statistics.proportion import drop_by_chance, interval

__all__ = ["CHANCE", "judged"]

CHANCE = 0.01
"""A drop that chance alone would bring about less often is one: of a hundred rows that nothing
has changed, at most one is called worse."""


def judged(base: Sequence[Row], new: Sequence[Row], labels: tuple[str, str]) -> tuple[bool, str]:
    """Return whether the pictures of `new` are worse than those of `base`, and both shares as text.

    The text is empty where the pictures of a side were not judged. One run a side counts: other
    runs draw the same pictures from the same seeds.
    """
    counts = [_counts(rows) for rows in (base, new)]
    if not all(count for _, count in counts):
        return False, ""
    chance = drop_by_chance(counts[0], counts[1])
    shares = " and ".join(
        f"{agreed} of {count} ({low:.0%} to {high:.0%}) in {label}"
        for (agreed, count), label in zip(counts, labels, strict=True)
        for low, high in (interval(agreed, count),)
    )
    text = f"pictures that agree with their prompt: {shares}; chance alone: {chance:.1g}"
    return chance < CHANCE, text


def _counts(rows: Sequence[Row]) -> tuple[int, int]:
    extra = next((row.extra for row in rows if row.extra.get(JUDGED)), {})
    return int(extra.get(AGREED, 0)), int(extra.get(JUDGED, 0))
