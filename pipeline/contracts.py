"""What must hold at every boundary: shape, dtype, range, layout, finiteness.

`check(batch, BATCH)` is enough to use one; `dims` carries dimensions that have names from one
boundary to the next. Reading values costs a pass over the data: `values=False`, or
`SD_FLUX_BENCH_CONTRACT_VALUES=0` for a whole process, leaves that out and nothing else.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from pipeline.arguments import Size, size_label
from pipeline.errors import ContractError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL.Image import Image

__all__ = [
    "BATCH",
    "DECODED",
    "FLOATS",
    "IMAGE",
    "LATENTS",
    "MINIMUM_CONTRAST",
    "SCORES",
    "SIZE",
    "TEXT_EMBEDDINGS",
    "TOKEN_IDS",
    "TOLERANCE",
    "UNET_OUTPUT",
    "VALUES_VARIABLE",
    "WHCN",
    "Dims",
    "Spec",
    "Violation",
    "check",
    "check_array",
    "check_batch",
    "check_close",
    "check_drawn",
    "check_images",
    "check_input",
    "check_scores",
    "describe",
    "require",
]

SIZE = 224
"""Side of a preprocessed image in pixels."""

MINIMUM_CONTRAST = 1.0
"""Standard deviation, in levels of 255, that a picture must exceed: a black one has 0."""


TOLERANCE = 1e-4
"""How far scores of one network may lie apart between runtimes; they are of the order of 1."""

VALUES_VARIABLE = "SD_FLUX_BENCH_CONTRACT_VALUES"
"""`0` turns the checks of values off in a whole process; those of shape, dtype and layout stay."""

FLOATS = ("float16", "bfloat16", "float32")

Dims = dict[str, int]
"""Dimensions by name: a check fills in those that it meets first, and holds others to them."""


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


@dataclass(frozen=True)
class Spec:
    """What must hold at one boundary, for tensors of torch and arrays of numpy alike."""

    boundary: str
    shape: tuple[int | str, ...]
    """Sizes, names of sizes, and products or quotients of two names: `N`, `copies*N`, `H/scale`."""
    dtypes: tuple[str, ...] = FLOATS
    """Any of these, as torch and numpy both name them."""
    low: float = -inf
    high: float = inf
    """Bounds of every value, themselves included; values must be finite in any case."""
    varied: bool = False
    """Whether values that are all the same are wrong."""
    layout: str = ""
    """`NCHW` for memory in the order of the shape, `WHCN` for the reverse, empty for any."""
    device: str = ""
    """Where it must be: `cpu`, `cuda`, `meta`; empty for anywhere."""
    source: str = "check what was fed to this stage"
    """What to do about a shape."""
    cure: str = "try float32 or bfloat16, or check the weights"
    """What to do about values."""

    def expected(self, dims: Mapping[str, int]) -> str:
        """Return shape and dtype, each name with its size where `dims` has it."""
        return f"{_shape_text(self.shape, dims)} {' or '.join(self.dtypes)}"


TOKEN_IDS = Spec(
    "token ids",
    ("N", "tokens"),
    ("int64", "int32"),
    low=0,
    source="check the tokenizer",
    cure="use the tokenizer that the text encoder was trained with",
)
TEXT_EMBEDDINGS = Spec(
    "text embeddings", ("copies*N", "tokens", "text_width"), source="check the text encoder"
)
LATENTS = Spec("latents", ("N", "latent_C", "H/scale", "W/scale"))
UNET_OUTPUT = Spec("UNet output", ("copies*N", "latent_C", "H/scale", "W/scale"))
DECODED = Spec("decoded image", ("N", 3, "H", "W"), source="check the VAE's configuration")
IMAGE = Spec("image", ("H", "W", 3), ("uint8",), varied=True)
"""A PIL image, mode RGB."""
BATCH = Spec(
    "batch",
    ("N", "C", SIZE, SIZE),
    ("float32",),
    low=0,
    high=1,
    layout="NCHW",
    cure="divide 8-bit levels by 255",
)
WHCN = Spec(
    "WHCN batch",
    (SIZE, SIZE, "C", "N"),
    ("float32",),
    low=0,
    high=1,
    layout="WHCN",
    cure="divide 8-bit levels by 255",
)
"""The same memory as `BATCH`, as Julia sees it."""
SCORES = Spec("scores", ("N", "classes"), ("float32",), varied=True, cure="check the weights")


def require(violations: Sequence[Violation]) -> None:
    """Raise `ContractError` with the first of `violations`, if there is one."""
    if violations:
        first = violations[0]
        raise ContractError(f"{first.boundary}: {first.given}", first.expected, first.remedy)


def check(
    value: Any, spec: Spec, dims: Dims | None = None, values: bool | None = None
) -> list[Violation]:
    """Return what of `spec` does not hold for a tensor, an array or a PIL image.

    `dims` is filled in where the shape holds. Values are read where all else holds, and never on
    the meta device; `values` None asks the environment.
    """
    if dims is None:
        dims = {}
    if values is None:
        values = os.environ.get(VALUES_VARIABLE) != "0"
    if hasattr(value, "getbands") and len(spec.shape) == 3:
        return _check_image(value, spec, dims, values)
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        given = f"of type {type(value).__name__}"
        return [Violation(spec.boundary, given, "a tensor or an array", spec.source)]
    found = _check_shape(tuple(value.shape), spec, dims)
    name = _dtype(value)
    if name not in spec.dtypes:
        wanted = " or ".join(spec.dtypes)
        found.append(Violation(spec.boundary, f"dtype {name}", wanted, f"convert it to {wanted}"))
    place = str(getattr(value, "device", "cpu")).partition(":")[0]
    if spec.device and place != spec.device:
        remedy = f"move it to {spec.device}"
        found.append(Violation(spec.boundary, f"on {place}", f"on {spec.device}", remedy))
    if not found:
        found = _check_layout(value, spec)
        if values and place != "meta":
            found += _check_values(value, spec)
    return found


def describe(value: Any) -> str:
    """Return a tensor's or an array's shape and dtype as `Spec.expected` words them."""
    return f"{tuple(value.shape)} {_dtype(value)}"


def check_images(images: "Sequence[Image]", count: int, size: Size | None) -> list[Violation]:
    """Check decoded images: how many, mode RGB, (width, height) `size`, and not one flat colour.

    A black picture is how half precision fails silently in a VAE (invoke-ai/InvokeAI#4083).
    """
    found = []
    if len(images) != count:
        found.append(Violation("images", f"{len(images)} of them", str(count), "check the count"))
    for number, image in enumerate(images, 1):
        dims = {"W": size[0], "H": size[1]} if size is not None else {}
        found += check(image, replace(IMAGE, boundary=f"image {number}"), dims)
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
    return check(batch, replace(BATCH, shape=tuple(shape)))


def check_input(batch: Any, shape: Sequence[int | str], dtype: str) -> list[Violation]:
    """Check a batch at Flux's boundary, a tensor or an array; a name in `shape` takes any size.

    Float64 would be converted with a warning on every call, and Float16 takes a path that is tens
    of times slower without one (NNlib's `conv_direct`). Values are left alone.
    """
    spec = Spec("batch", tuple(shape), (dtype,), source="preprocess the images first")
    return check(batch, spec, values=False)


def check_scores(scores: Any, shape: Sequence[int]) -> list[Violation]:
    """Check scores, a numpy array: `shape` (N, classes), float32, finite, not all the same."""
    return check(scores, replace(SCORES, shape=tuple(shape)))


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
    """Check an array's shape and dtype alone."""
    return check(array, Spec(boundary, tuple(shape), (dtype,)), values=False)


def _check_image(image: "Image", spec: Spec, dims: Dims, values: bool) -> list[Violation]:
    from PIL import ImageStat

    if image.mode != "RGB":
        return [Violation(spec.boundary, f"mode {image.mode}", "mode RGB", "convert it")]
    found = []
    wanted = (dims.setdefault("W", image.width), dims.setdefault("H", image.height))
    if image.size != wanted:
        given, expected = size_label(image.size), size_label(wanted)
        remedy = "check the size that was asked for"
        found.append(Violation(spec.boundary, given, expected, remedy))
    contrast = max(ImageStat.Stat(image).stddev) if values and spec.varied else None
    if contrast is not None and contrast <= MINIMUM_CONTRAST:
        given = f"one flat colour (standard deviation {contrast:.2f} of 255)"
        remedy = "try float32, another seed, or no safety checker"
        found.append(Violation(spec.boundary, given, "a picture", remedy))
    return found


def _check_shape(given: tuple[int, ...], spec: Spec, dims: Dims) -> list[Violation]:
    """Hold a shape to the spec's; where it holds, names without a size get theirs."""
    met = dict(dims)
    holds = len(given) == len(spec.shape) and 0 not in given
    for wanted, size in zip(spec.shape, given, strict=False):
        holds = holds and _fits(wanted, size, met)
    if holds:
        dims.update(met)
        return []
    expected = f"shape {_shape_text(spec.shape, dims)}"
    return [Violation(spec.boundary, f"shape {given}", expected, spec.source)]


def _fits(wanted: int | str, size: int, dims: Dims) -> bool:
    """Say whether `size` is what `wanted` stands for; its one unknown name, if any, gets a size."""
    if isinstance(wanted, int):
        return size == wanted
    known = _value(wanted, dims)
    if known is not None:
        return size == known
    left, operator, right = _split(wanted)
    if not operator:
        dims[left] = size
    elif operator == "/" and right in dims:
        dims[left] = size * dims[right]
    elif operator == "*" and (left in dims) != (right in dims):
        factor, unknown = (dims[left], right) if left in dims else (dims[right], left)
        dims[unknown] = size // factor
        return size % factor == 0
    return True


def _value(wanted: int | str, dims: Mapping[str, int]) -> int | None:
    """Return the size that `wanted` stands for, None where a name of it has none yet."""
    if isinstance(wanted, int):
        return wanted
    left, operator, right = _split(wanted)
    if left not in dims or (operator and right not in dims):
        return None
    if not operator:
        return dims[left]
    return dims[left] * dims[right] if operator == "*" else dims[left] // dims[right]


def _split(wanted: str) -> tuple[str, str, str]:
    operator = "*" if "*" in wanted else "/" if "/" in wanted else ""
    left, _, right = wanted.partition(operator) if operator else (wanted, "", "")
    return left, operator, right


def _shape_text(shape: Sequence[int | str], dims: Mapping[str, int]) -> str:
    """Return `(2, 4, latent_C)`: as a tuple prints, with names where there is no size yet."""
    sizes = [known if (known := _value(side, dims)) is not None else side for side in shape]
    return f"({', '.join(map(str, sizes))}{',' if len(sizes) == 1 else ''})"


def _dtype(value: Any) -> str:
    return str(value.dtype).removeprefix("torch.")


def _check_layout(value: Any, spec: Spec) -> list[Violation]:
    if not spec.layout:
        return []
    reverse = spec.layout == "WHCN"
    if hasattr(value, "data_ptr"):  # torch
        seen = value.permute(*reversed(range(value.ndim))) if reverse else value
        holds, strides, remedy = seen.is_contiguous(), tuple(value.stride()), "call .contiguous()"
    else:
        holds = value.flags.f_contiguous if reverse else value.flags.c_contiguous
        strides = tuple(stride // value.itemsize for stride in value.strides)
        remedy = f"call numpy.{'asfortranarray' if reverse else 'ascontiguousarray'}"
    if holds:
        return []
    if reverse:
        remedy = "reverse the dimensions of a contiguous NCHW batch"
    return [Violation(spec.boundary, f"strides {strides}", f"contiguous {spec.layout}", remedy)]


def _check_values(value: Any, spec: Spec) -> list[Violation]:
    low, high = value.min().item(), value.max().item()  # NaN passes through both
    if isfinite(spec.low):
        if not (low >= spec.low and high <= spec.high and isfinite(high)):
            given = f"values from {low:.4g} to {high:.4g}"
            expected = f"finite values in [{spec.low:g}, {spec.high:g}]"
            return [Violation(spec.boundary, given, expected, spec.cure)]
    elif not (isfinite(low) and isfinite(high)):
        return [Violation(spec.boundary, "a value that is not finite", "finite", spec.cure)]
    if spec.varied and low == high and value.shape != (1, 1):
        return [Violation(spec.boundary, "all equal", f"{spec.boundary} that differ", spec.cure)]
    return []
