"""What must hold at every boundary: shape, dtype, range, layout, finiteness.

`check(batch, BATCH)` checks one tensor; `dims` carries named dimensions from one boundary to the
next. Checking values reads all the data: `values=False`, or `SD_FLUX_BENCH_CONTRACT_VALUES=0` for
a whole process, skips that and nothing else.
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
    "DTYPES",
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
    "dtype_of",
    "require",
]

SIZE = 224
"""Side of a preprocessed image in pixels."""

MINIMUM_CONTRAST = 1.0
"""Standard deviation, in levels of 255, that a picture must exceed: a black one has 0."""

TOLERANCE = 1e-4
"""How far the scores of one network may differ between runtimes; they are of the order of 1."""

VALUES_VARIABLE = "SD_FLUX_BENCH_CONTRACT_VALUES"
"""`0` skips the checks of values in a whole process; those of shape, dtype and layout stay."""

DTYPES = ("float16", "bfloat16", "float32")
"""The types that a pipeline runs in, as torch names them; also what `--dtype` takes."""

Dims = dict[str, int]
"""Sizes of named dimensions: the first check that meets a name sets it, later ones compare."""


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
    dtypes: tuple[str, ...] = DTYPES
    """Any of these, by the name that torch and numpy share."""
    low: float = -inf
    high: float = inf
    """Inclusive bounds of every value; values must be finite in any case."""
    varied: bool = False
    """Whether the values must not all be equal."""
    layout: str = ""
    """`NCHW`: contiguous in the order of the shape; `WHCN`: in reverse order; empty: any."""
    device: str = ""
    """`cpu`, `cuda` or `meta`; empty for any."""
    source: str = "check what was fed to this stage"
    """The remedy for a wrong shape."""
    cure: str = "try float32 or bfloat16, or check the weights"
    """The remedy for wrong values."""

    def expected(self, dims: Mapping[str, int]) -> str:
        """Return shape and dtype, with sizes for the names that `dims` has."""
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
WHCN = replace(BATCH, boundary="WHCN batch", shape=(SIZE, SIZE, "C", "N"), layout="WHCN")
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
    """Return what a tensor, an array or a PIL image violates of `spec`.

    Fills `dims` in where the shape holds. Checks values where all else holds, and never on the
    meta device; `values` None asks the environment.
    """
    if dims is None:
        dims = {}
    if values is None:
        values = os.environ.get(VALUES_VARIABLE) != "0"
    if hasattr(value, "getbands") and len(spec.shape) == 3:
        return _check_image(value, spec, dims, values)
    name = spec.boundary
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        given = f"of type {type(value).__name__}"
        return [Violation(name, given, "a tensor or an array", spec.source)]
    violations = _check_shape(tuple(value.shape), spec, dims)
    dtype = dtype_of(value)
    if dtype not in spec.dtypes:
        expected = " or ".join(spec.dtypes)
        violations.append(Violation(name, f"dtype {dtype}", expected, f"convert it to {expected}"))
    device = str(getattr(value, "device", "cpu")).partition(":")[0]
    if spec.device and device != spec.device:
        expected = f"on {spec.device}"
        violations.append(Violation(name, f"on {device}", expected, f"move it to {spec.device}"))
    if violations:
        return violations
    violations = _check_layout(value, spec)
    if values and device != "meta":
        violations += _check_values(value, spec)
    return violations


def describe(value: Any) -> str:
    """Return the shape and dtype of a tensor or an array, worded as `Spec.expected`."""
    return f"{tuple(value.shape)} {dtype_of(value)}"


def check_images(
    images: "Sequence[Image]", count: int, size: Size | None, names: Sequence[str] = ()
) -> list[Violation]:
    """Check decoded images: how many, mode RGB, (width, height) `size`, and not one flat colour.

    `names` replace `image 1` and so on. A black picture is how half precision fails silently in a
    VAE (invoke-ai/InvokeAI#4083).
    """
    violations = []
    if len(images) != count:
        violations.append(
            Violation("images", f"{len(images)} of them", str(count), "check the count")
        )
    for image, name in zip(images, names or _numbered(len(images)), strict=True):
        dims = {"W": size[0], "H": size[1]} if size is not None else {}
        violations += check(image, replace(IMAGE, boundary=name), dims)
    return violations


REMEDIES_OF_NAN = {
    "float16": "try float32 or bfloat16: half precision overflows in some VAEs",
    "bfloat16": "try float32, then check the weights and the configurations",
    "float32": "check the weights and the configurations, such as scaling_factor",
}


def check_drawn(
    images: "np.ndarray",
    blanked: Sequence[bool] = (),
    names: Sequence[str] = (),
    dtype: str = "float16",
) -> list[Violation]:
    """Check what a pipeline drew, (N, H, W, 3) in [0, 1], before it is rounded to 8-bit levels.

    Rounding would make NaN black. `blanked` says which images a safety checker made black; `names`
    replace `image 1` and so on; `dtype` is the pipeline's.
    """
    import numpy as np

    names = names or _numbered(len(images))
    violations = []
    for image, name in zip(images, names, strict=True):
        share = 1 - np.isfinite(image).mean()
        if share:
            given = f"NaN in {share:.0%} of its levels"
            violations.append(Violation(name, given, "finite levels", REMEDIES_OF_NAN[dtype]))
    for name, is_blank in zip(names, blanked, strict=False):
        if is_blank:
            remedy = "try another prompt or seed, or a model without a safety checker"
            given = "blanked by the safety checker"
            violations.append(Violation(name, given, "a picture", remedy))
    return violations


def check_batch(batch: "torch.Tensor", shape: Sequence[int]) -> list[Violation]:
    """Check a preprocessed batch: `shape` (N, C, H, W), float32, contiguous, finite, in [0, 1]."""
    return check(batch, replace(BATCH, shape=tuple(shape)))


def check_input(batch: Any, shape: Sequence[int | str], dtype: str) -> list[Violation]:
    """Check the shape and dtype of a batch at Flux's boundary; a name in `shape` takes any size.

    Flux would convert float64 with a warning on every call, and float16 takes a path that is tens
    of times slower without one (NNlib's `conv_direct`).
    """
    spec = Spec("batch", tuple(shape), (dtype,), source="preprocess the images first")
    return check(batch, spec, values=False)


def check_scores(scores: Any, shape: Sequence[int]) -> list[Violation]:
    """Check scores, a numpy array: `shape` (N, classes), float32, finite, not all the same."""
    return check(scores, replace(SCORES, shape=tuple(shape)))


def check_close(scores: Any, reference: Any, tolerance: float = TOLERANCE) -> list[Violation]:
    """Check that scores are within `tolerance` of the reference's, numpy arrays of one shape.

    NaN is within no tolerance.
    """
    violations = check_array("scores", scores, reference.shape, "float32")
    if violations:
        return violations
    difference = float(abs(scores - reference).max())
    if difference <= tolerance:
        return []
    given, expected = f"{difference:.3g} off the reference", f"at most {tolerance:g}"
    return [Violation("scores", given, expected, "compare the weights and their order")]


def check_array(boundary: str, array: Any, shape: Sequence[int], dtype: str) -> list[Violation]:
    """Check an array's shape and dtype alone."""
    return check(array, Spec(boundary, tuple(shape), (dtype,)), values=False)


def _numbered(count: int) -> list[str]:
    return [f"image {number}" for number in range(1, count + 1)]


def _check_image(image: "Image", spec: Spec, dims: Dims, values: bool) -> list[Violation]:
    from PIL import ImageStat

    if image.mode != "RGB":
        return [Violation(spec.boundary, f"mode {image.mode}", "mode RGB", "convert it")]
    violations = []
    size = (dims.setdefault("W", image.width), dims.setdefault("H", image.height))
    if image.size != size:
        given, remedy = size_label(image.size), "check the size that was asked for"
        violations.append(Violation(spec.boundary, given, size_label(size), remedy))
    contrast = max(ImageStat.Stat(image).stddev) if values and spec.varied else None
    if contrast is not None and contrast <= MINIMUM_CONTRAST:
        given = f"one flat colour (standard deviation {contrast:.2f} of 255)"
        remedy = "try float32, another seed, or no safety checker"
        violations.append(Violation(spec.boundary, given, "a picture", remedy))
    return violations


def _check_shape(shape: tuple[int, ...], spec: Spec, dims: Dims) -> list[Violation]:
    """Compare a shape with the spec's; where it holds, set the sizes of new names."""
    trial = dict(dims)
    holds = len(shape) == len(spec.shape) and 0 not in shape
    for side, size in zip(spec.shape, shape, strict=False):
        holds = holds and _fits(side, size, trial)
    if holds:
        dims.update(trial)
        return []
    expected = f"shape {_shape_text(spec.shape, dims)}"
    return [Violation(spec.boundary, f"shape {shape}", expected, spec.source)]


def _fits(side: int | str, size: int, dims: Dims) -> bool:
    """Compare `size` with a side of a spec's shape; set the size of its one new name, if any."""
    known = _value(side, dims)
    if known is not None or isinstance(side, int):
        return size == known
    left, operator, right = _split(side)
    if not operator:
        dims[left] = size
    elif operator == "/" and right in dims:
        dims[left] = size * dims[right]
    elif operator == "*" and (left in dims) != (right in dims):
        factor, unknown = (dims[left], right) if left in dims else (dims[right], left)
        dims[unknown] = size // factor
        return size % factor == 0
    return True


def _value(side: int | str, dims: Mapping[str, int]) -> int | None:
    """Return the size of a side of a spec's shape; None where a name in it has none yet."""
    if isinstance(side, int):
        return side
    left, operator, right = _split(side)
    if left not in dims or (operator and right not in dims):
        return None
    if not operator:
        return dims[left]
    return dims[left] * dims[right] if operator == "*" else dims[left] // dims[right]


def _split(side: str) -> tuple[str, str, str]:
    operator = "*" if "*" in side else "/" if "/" in side else ""
    left, _, right = side.partition(operator) if operator else (side, "", "")
    return left, operator, right


def _shape_text(shape: Sequence[int | str], dims: Mapping[str, int]) -> str:
    """Return `(2, 4, latent_C)`: as a tuple prints, with names that have no size yet."""
    sizes = [known if (known := _value(side, dims)) is not None else side for side in shape]
    return f"({', '.join(map(str, sizes))}{',' if len(sizes) == 1 else ''})"


def dtype_of(value: Any) -> str:
    """Return a dtype by the name that torch and numpy share."""
    return str(value.dtype).removeprefix("torch.")


def _check_layout(value: Any, spec: Spec) -> list[Violation]:
    if not spec.layout:
        return []
    reverse = spec.layout == "WHCN"
    if hasattr(value, "data_ptr"):  # torch
        view = value.permute(*reversed(range(value.ndim))) if reverse else value
        holds, strides, remedy = view.is_contiguous(), tuple(value.stride()), "call .contiguous()"
    else:
        holds = value.flags.f_contiguous if reverse else value.flags.c_contiguous
        strides = tuple(stride // value.itemsize for stride in value.strides)
        remedy = "call numpy.ascontiguousarray"
    if holds:
        return []
    if reverse:
        remedy = "reverse the dimensions of a contiguous NCHW batch"
    return [Violation(spec.boundary, f"strides {strides}", f"contiguous {spec.layout}", remedy)]


def _check_values(value: Any, spec: Spec) -> list[Violation]:
    low, high = value.min().item(), value.max().item()  # NaN wins in both
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
