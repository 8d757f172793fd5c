"""What a call needs of a device's memory, and the largest batch and size that fit into it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from pipeline.arguments import Size
from pipeline.contracts import SIZE
from pipeline.flux import network
from pipeline.stable_diffusion.architectures import Model
from pipeline.validation import meta
from pipeline.validation.calibration import Overhead
from pipeline.validation.tally import Cost, bytes_of, tally

__all__ = [
    "FURTHEST_BATCH",
    "FURTHEST_SIDE",
    "Need",
    "largest_batch",
    "largest_size",
    "need",
    "needed",
    "scoring_bytes",
]

FURTHEST_BATCH, FURTHEST_SIDE = 1 << 20, 1 << 16
"""No batch and no side in pixels beyond these is asked about: torch counts no such bytes."""


@dataclass(frozen=True)
class Need:
    """What a device needs for a call of the pipeline and the scores of its images, in bytes."""

    weights: int
    """Of Stable Diffusion: they stay while the network that scores runs."""
    most: int
    """Beside the weights, where most is alive: a stage's activations, or the network that scores
    with its activations."""
    most_in: str
    """Where that is: text, step, decode or scorer."""
    slack: int
    """What the allocator and workspaces take."""
    context: int
    """CUDA's context and libraries."""

    @property
    def total(self) -> int:
        """Return all that is needed."""
        return self.weights + self.most + self.slack + self.context


def need(cost: Cost, scoring_bytes: int, overhead: Overhead) -> Need:
    """Return what a device needs for a call that costs so much, and for its scores."""
    most, most_in = cost.peak_bytes - cost.weights_bytes, cost.peak_stage
    if scoring_bytes > most:
        most, most_in = scoring_bytes, "scorer"
    slack = round((cost.weights_bytes + most) * overhead.slack)
    return Need(cost.weights_bytes, most, most_in, slack, overhead.context_bytes)


def needed(
    model: Model, size: Size | None, batch: int, dtype: str, scoring_bytes: int, overhead: Overhead
) -> int:
    """Return the bytes that a call needs, described by its settings; raises as `meta.cost`."""
    return need(meta.cost(model, size, batch, dtype), scoring_bytes, overhead).total


def largest_batch(needed: Callable[[int], int], memory: int, batch: int) -> int:
    """Return the largest batch whose `needed` bytes fit; 0 where one image does not.

    `batch` is where to begin to look: `needed` grows about in proportion to it.
    """
    return _largest(needed, memory, batch, FURTHEST_BATCH, power=1)


def largest_size(
    needed: Callable[[Size], int], memory: int, size: Size, multiple: int
) -> Size | None:
    """Return the largest size of about the same shape that fits; None where none does.

    Its sides are multiples of `multiple`; `needed` grows about in proportion to the area.
    """
    longer = max(size)

    def sides(steps: int) -> Size:
        width, height = (max(1, round(side * steps / longer)) * multiple for side in size)
        return width, height

    begin = max(1, longer // multiple)
    furthest = FURTHEST_SIDE // multiple
    steps = _largest(lambda steps: needed(sides(steps)), memory, begin, furthest, power=2)
    return sides(steps) if steps else None


@lru_cache(maxsize=64)
def scoring_bytes(channels: int, batch: int) -> int:
    """Return the bytes of the project's network, its batch and activations, as PyTorch does it."""
    import torch

    counted = tally("meta")
    with torch.inference_mode(), torch.device("meta"):
        scorer = network.build(channels)
        with counted:
            scorer(torch.empty((batch, channels, SIZE, SIZE)))
    return bytes_of(scorer) + int(counted.peak)


def _largest(
    needed: Callable[[int], int], memory: int, begin: int, furthest: int, power: int
) -> int:
    """Return the largest number from 1 to `furthest` whose `needed` bytes fit; 0 where 1 does not.

    The first guess is where the bytes of `begin` and of twice as much, as a line over
    number ** power, reach `memory`; `begin` moves on while both need the same. From there it looks
    1, 2, 4 … further until one fits and one does not, then halves what lies between.
    """
    first, second = needed(begin), needed(2 * begin)
    while first == second <= memory and 8 * begin <= furthest:
        begin *= 4
        first, second = needed(begin), needed(2 * begin)
    slope = (second - first) / ((2 * begin) ** power - begin**power)
    reached = begin**power + (memory - first) / slope if slope > 0 else 0.0
    guess = int(min(furthest, max(1.0, reached) ** (1 / power)))

    def fits(number: int) -> bool:
        return number < 1 or needed(number) <= memory

    low, high, reach = guess, guess + 1, 1
    while not fits(low):
        low, high, reach = max(0, low - reach), low, 2 * reach
    while guess < high <= furthest and fits(high):
        low, high, reach = high, min(high + 2 * reach, furthest + 1), 2 * reach
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
