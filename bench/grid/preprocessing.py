"""The grid of preprocessing: what each regime takes, and on which pictures."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from math import ceil
from pathlib import Path

from bench.grid.axes import DEVICES, Axis, Options, calls, choice, own_call, text
from bench.results.cell import Cell
from bench.workloads import peers, pictures
from pipeline.arguments import Size, parse_count, parse_size, size_label
from pipeline.errors import PipelineError

__all__ = ["AXES", "CALL", "IMAGES", "STREAMED", "preprocess"]

BUDGET = 0.4
"""Budget factor a megapixel: a picture takes milliseconds."""

PEER_BUDGET = 0.2

STREAMED = 32
"""Files in one batch of the regime `stream`."""

NONE = "none"
"""The value of `--preprocess-peer` that leaves the peers out."""

_REGIMES: dict[str, dict[str, str | int]] = {
    "decode": {"includes": "decode", "batch": 1, "layout": "Pillow's RGB"},
    "transform": {"includes": "resize, convert", "batch": 1},
    "file": {"includes": "decode, resize, convert", "batch": 1},
    "stream": {"includes": "decode, resize, convert", "batch": STREAMED},
    "scaled": {"includes": "decode at a fraction, resize, convert", "batch": 1},
}

_TENSOR: dict[str, str | int] = {
    "layout": "contiguous NCHW float32",
    "antialias": "bilinear",
    "output": "224x224",
}


def _parse_size(value: str, option: str) -> Size:
    size = parse_size(value, option)
    known = dict.fromkeys(size_label(size) for _, size in pictures.FILES)
    if size_label(size) not in known:
        remedy = f"change it, or add {IMAGES.option} FOLDER"
        raise PipelineError(f"{option} {size_label(size)}", " or ".join(known), remedy)
    return size


REGIME = choice(
    "--preprocess-regime",
    "decode (file to pixels), transform (pixels to tensor), file (both), stream (both, "
    f"{STREAMED} files by threads), scaled (both, JPEG decoded at a fraction of its size)",
    list(_REGIMES),
)
FORMAT = choice("--preprocess-format", "png, jpeg", ["png", "jpeg"])
SIZE = Axis("--preprocess-size", "512, 1024, 4000x3000 (JPEG only)", _parse_size, "512")
COLOR = choice("--preprocess-color", "rgb, gray", ["rgb", "gray"])
THREADS = Axis("--preprocess-threads", "threads of stream", parse_count, "1,2")
DEVICE = choice("--preprocess-device", "cpu, cuda", DEVICES)
PEER = choice("--preprocess-peer", ", ".join([*peers.NEEDS, NONE]), [*peers.NEEDS, NONE])
IMAGES = Axis("--preprocess-images", "a folder of your own; its first 32 files are used", text)
CALL = Axis(
    "--preprocess-call",
    "your own: FILE.py:NAME, a function of a picture's path that returns a tensor (3, 224, 224)",
    own_call,
)
AXES = (REGIME, FORMAT, SIZE, COLOR, THREADS, DEVICE, PEER, IMAGES, CALL)


@dataclass(frozen=True)
class _Source:
    """The pictures of a cell: a file of `fixtures/`, or those of a user's folder."""

    axes: dict[str, str | int]
    images: int = 1
    megapixels: int = 1
    regime: dict[str, str | int] = field(default_factory=dict)


def preprocess(options: Options) -> list[Cell]:
    """Return the cells of preprocessing: regime × format × size × color × device × threads × peer.

    Regimes: `decode` (file to pixels), `transform` (pixels in memory to tensor), `file` (both, one
    by one), `stream` (both, 32 files in a batch, by threads), `scaled` (as `file`, JPEG alone, at a
    fraction of its size). The peers do `transform` and `file` in color. A folder of the user's
    takes the place of format and size. Each `--preprocess-call` does `file` in color on the CPU.
    """
    cells = [
        _cell(regime, source, color, device, threads, peer)
        for regime in REGIME.values(options)
        for source in _sources(regime, options)
        for color in _colors(regime, options)
        for device, threads, peer in _ways(regime, color, options)
    ]
    for label in calls(CALL, options):
        for source in _sources("file", options):
            cell = _cell("file", source, "rgb", "cpu", 0, "")
            regime = {"includes": _REGIMES["file"]["includes"], "batch": 1, **source.regime}
            cells.append(replace(cell, axes={**cell.axes, "call": label}, regime=regime))
    return cells


def _sources(regime: str, options: Options) -> list[_Source]:
    """Return the pictures; the id of `transform`, whose pictures are in memory, has no format."""
    sizes, formats = SIZE.values(options), FORMAT.values(options)
    if options[IMAGES]:
        name = re.sub(r"[^\w.]+", "_", Path(options[IMAGES]).resolve().name)
        count = len(pictures.folder(options[IMAGES]))
        return [_Source({"images": name}, count, regime={"images": "a folder's"})]
    files = [pair for pair in product(sizes, formats) if pair[::-1] in pictures.FILES]
    if not files:
        given = f"{FORMAT.option} {options[FORMAT]} of {size_label(sizes[0])}"
        raise PipelineError(given, "jpeg, as that size has no other", "add jpeg")
    if regime == "transform":
        in_memory = dict.fromkeys(size for size, _ in files)
        return [_Source({"size": size_label(size)}, 1, _megapixels(size)) for size in in_memory]
    return [
        _Source({"format": format_, "size": size_label(size)}, 1, _megapixels(size))
        for size, format_ in files
        if regime != "scaled" or format_ == "jpeg"
    ]


def _colors(regime: str, options: Options) -> list[str]:
    """Return the colors; `decode` does the same work for each, and `stream` takes the first."""
    colors = COLOR.values(options)
    return {"decode": ["rgb"], "stream": colors[:1], "scaled": colors[:1]}.get(regime, colors)


def _ways(regime: str, color: str, options: Options) -> Iterator[tuple[str, int, str]]:
    """Yield device, threads (0 where the id has none) and peer ("" for this project's own code)."""
    transforms = regime in ("transform", "file")
    for device in DEVICE.values(options):
        if device == "cuda" and not (transforms and color == "rgb"):
            continue
        if regime == "stream":
            yield from ((device, threads, "") for threads in THREADS.values(options))
            continue
        yield device, 0, ""
        if transforms and color == "rgb":
            chosen = PEER.values(options)
            for peer, needs in peers.NEEDS.items():
                if peer in chosen and ("cuda" in needs) == (device == "cuda"):
                    yield device, 0, peer


def _cell(regime: str, source: _Source, color: str, device: str, threads: int, peer: str) -> Cell:
    axes: dict[str, str | int] = {"regime": regime, **source.axes, "color": color}
    axes |= {"device": device} if device != "cpu" else {}
    axes |= {"threads": threads} if threads else {}
    axes |= {"peer": peer} if peer else {}
    needs = [*(["cuda"] if device == "cuda" else []), *peers.NEEDS.get(peer, ())]
    tensor = {} if regime == "decode" else _TENSOR
    return Cell(
        "preprocess",
        axes,
        needs=tuple(dict.fromkeys(needs)),
        images=STREAMED if regime == "stream" else source.images,
        device=device,
        dtype="float32" if tensor else "",
        budget_factor=(PEER_BUDGET if peer else BUDGET) * source.megapixels,
        regime={
            **_REGIMES[regime],
            **tensor,
            "threads": threads or 1,
            **source.regime,
        },
    )


def _megapixels(size: Size) -> int:
    """Return the megapixels of a size, rounded up."""
    return ceil(size[0] * size[1] / 1_100_000)
