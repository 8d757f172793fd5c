"""What must hold at every boundary: shape, dtype, range, layout, finiteness."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.arguments import Size, size_label
from pipeline.errors import ContractError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL.Image import Image

__all__ = [
    "MINIMUM_CONTRAST",
    "TOLERANCE",
    "Violation",
    "check_array",
    "check_batch",
    "check_close",
    "check_drawn",
    "check_images",
    "check_input",
    "check_scores",
    "require",
]

MINIMUM_CONTRAST = 1.0
"""Standard deviation, in levels of 255, that a picture must exceed: a black one has 0."""


TOLERANCE = 1e-4
"""How far scores of one network may lie apart between runtimes; they are of the order of 1."""


@dataclass(frozen=True)
class Violation:
    """One thing that does not hold at one boundary."""

    boundary: str
    given: str
    expected: str
    remedy: str

    @property
    def fault(self) -> str:
        """Say what does not hold, without the remedy."""
        return f"{self.boundary}: {self.given}, expected {self.expected}"

    def __str__(self) -> str:
        """Return the one line that a check prints."""
        return f"{self.fault}; {self.remedy}"


def require(violations: Sequence[Violation]) -> None:
    """Raise `ContractError` with the first of `violations`, if there is one."""
    if violations:
        first = violations[0]
        raise ContractError(f"{first.boundary}: {first.given}", first.expected, first.remedy)


def check_images(images: "Sequence[Image]", count: int, size: Size | None) -> list[Violation]:
    """Check decoded images: how many, mode RGB, (width, height) `size`, and not one flat colour.

    A black picture is how half precision fails silently in a VAE (invoke-ai/InvokeAI#4083).
    """
    from PIL import ImageStat

    found = []
    if len(images) != count:
        found.append(Violation("images", f"{len(images)} of them", str(count), "check the count"))
    for number, image in enumerate(images, 1):
        name = f"image {number}"
        if image.mode != "RGB":
            found.append(Violation(name, f"mode {image.mode}", "mode RGB", "convert it"))
            continue
        if size is not None and image.size != size:
            given, expected = size_label(image.size), size_label(size)
            found.append(Violation(name, given, expected, "check the size that was asked for"))
        contrast = max(ImageStat.Stat(image).stddev)
        if contrast <= MINIMUM_CONTRAST:
            given = f"one flat colour (standard deviation {contrast:.2f} of 255)"
            remedy = "try float32, another seed, or no safety checker"
            found.append(Violation(name, given, "a picture", remedy))
    return found


def check_drawn(images: "np.ndarray", blanked: Sequence[bool] = ()) -> list[Violation]:
    """Check what a pipeline drew, (N, H, W, 3) in [0, 1], before it is rounded to levels.

    NaN is rounded to a black that nothing tells from another. `blanked` says which images a safety
    checker has made black.
    """
    import numpy as np

    found = []
    for number, image in enumerate(images, 1):
        share = 1 - np.isfinite(image).mean()
        if share:
            given = f"NaN in {share:.0%} of its levels"
            remedy = "try float32 or bfloat16: half precision overflows in some VAEs"
            found.append(Violation(f"image {number}", given, "finite levels", remedy))
    for number, is_blank in enumerate(blanked, 1):
        if is_blank:
            remedy = "try another prompt or seed, or a model without a safety checker"
            given = "blanked by the safety checker"
            found.append(Violation(f"image {number}", given, "a picture", remedy))
    return found


def check_batch(batch: "torch.Tensor", shape: Sequence[int]) -> list[Violation]:
    """Check a preprocessed batch: `shape` (N, C, H, W), float32, contiguous, finite, in [0, 1]."""
    found = check_array("batch", batch, shape, "torch.float32")
    if found:
        return found
    if not batch.is_contiguous():
        given = f"strides {tuple(batch.stride())}"
        found.append(Violation("batch", given, "contiguous NCHW", "call .contiguous()"))
    low, high = batch.min().item(), batch.max().item()
    if not (low >= 0.0 and high <= 1.0):  # NaN fails this too
        given = f"values from {low:.4g} to {high:.4g}"
        found.append(
            Violation("batch", given, "finite values in [0, 1]", "divide 8-bit levels by 255")
        )
    return found


def check_input(batch: Any, shape: Sequence[int | str], dtype: str) -> list[Violation]:
    """Check a batch at Flux's boundary, a tensor or an array; a name in `shape` takes any size.

    Float64 would be converted with a warning on every call, and Float16 takes a path that is tens
    of times slower without one (NNlib's `conv_direct`).
    """
    given = tuple(batch.shape)
    fits = len(given) == len(shape) and all(
        isinstance(side, str) or side == size for side, size in zip(shape, given, strict=True)
    )
    found = []
    if not fits or 0 in given:
        expected = f"shape ({', '.join(map(str, shape))})"
        found.append(Violation("batch", f"shape {given}", expected, "preprocess the images first"))
    name = str(batch.dtype).removeprefix("torch.")
    if name != dtype:
        found.append(Violation("batch", f"dtype {name}", dtype, f"convert it to {dtype}"))
    return found


def check_scores(scores: Any, shape: Sequence[int]) -> list[Violation]:
    """Check scores, a numpy array: `shape` (N, classes), float32, finite, not all the same."""
    import numpy as np

    found = check_array("scores", scores, shape, "float32")
    if found:
        return found
    if not np.isfinite(scores).all():
        found.append(
            Violation("scores", "a value that is not finite", "finite", "check the weights")
        )
    elif scores.size > 1 and np.ptp(scores) == 0:
        found.append(Violation("scores", "all equal", "scores that differ", "check the weights"))
    return found


def check_close(scores: Any, reference: Any, tolerance: float = TOLERANCE) -> list[Violation]:
    """Check that scores agree with the reference's, numpy arrays of one shape, within `tolerance`.

    NaN agrees with nothing.
    """
    found = check_array("scores", scores, reference.shape, "float32")
    if found:
        return found
    furthest = float(abs(scores - reference).max())
    if furthest <= tolerance:
        return []
    given, expected = f"{furthest:.3g} off the reference", f"at most {tolerance:g}"
    return [Violation("scores", given, expected, "compare the weights and their order")]


def check_array(boundary: str, array: Any, shape: Sequence[int], dtype: str) -> list[Violation]:
    """Check an array's shape and dtype, as numpy or torch spells it."""
    found = []
    if tuple(array.shape) != tuple(shape):
        given, expected = f"shape {tuple(array.shape)}", f"shape {tuple(shape)}"
        found.append(Violation(boundary, given, expected, "check what was fed to this stage"))
    if str(array.dtype) != dtype:
        found.append(Violation(boundary, f"dtype {array.dtype}", dtype, "convert it before"))
    return found
