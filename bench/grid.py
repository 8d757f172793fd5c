"""The grids: which cells each family has, from the options, before anything heavy is imported."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from bench.results.cell import Cell
from bench.workloads import cold, modes, peers, pictures
from pipeline import availability
from pipeline.arguments import Size, parse_count, parse_list, parse_size, size_label
from pipeline.errors import PipelineError
from pipeline.flux import forward as flux
from pipeline.stable_diffusion import diffusion
from pipeline.stable_diffusion import models as sd_models

__all__ = [
    "Options",
    "cold_starts",
    "end_to_end",
    "forward",
    "generate",
    "harness",
    "image_cell",
    "model_of",
    "preprocess",
]

FULL_SIZE_WEIGHT = 15.0
"""A full-size Stable Diffusion cell's share of time: one image takes seconds, not milliseconds."""

COLD_WEIGHT = 2.0
"""A start takes seconds, whatever the budget is; this makes the bound that is said before true."""

NOOP_WEIGHT = 0.25
"""Nothing takes 50 ns."""
PREPROCESS_WEIGHT = 0.4
"""A picture takes milliseconds; one of 12 megapixels has more time."""

PEER_WEIGHT = 0.2

BRIDGE_WEIGHT = 0.5
"""A call without a model takes microseconds: its rounds fit in less."""


@dataclass(frozen=True)
class Options:
    """The axes as users give them; an empty value is the family's default."""

    sd_model: str = ""
    sd_size: str = ""
    sd_steps: str = ""
    sd_batch: str = ""
    sd_mode: str = ""
    sd_device: str = ""
    sd_dtype: str = ""
    preprocess_regime: str = ""
    preprocess_color: str = ""
    preprocess_format: str = ""
    preprocess_size: str = ""
    preprocess_threads: str = ""
    preprocess_device: str = ""
    preprocess_peer: str = ""
    preprocess_images: str = ""
    flux_engine: str = ""
    flux_device: str = ""
    flux_batch: str = ""
    flux_model: str = ""

    def check(self) -> None:
        """Raise `PipelineError` for the first value that is wrong."""
        for family in (generate, preprocess, forward, end_to_end):
            family(self)


def generate(options: Options) -> list[Cell]:
    """Return the cells of Stable Diffusion: model × device × dtype × mode × batch × size × steps.

    Without `--sd-model` the tiny pipeline on the CPU and `arch:sd15` on CUDA, on every machine. An
    id leaves out a batch of 1 and the mode `eager`.
    """
    return [cell for name in _models(options).values() for cell in _generate(name, options)]


def model_of(cell: Cell, options: Options) -> str:
    """Return what `--sd-model` calls the model that `cell` is of."""
    return _models(options)[str(cell.axes["model"])]


def preprocess(options: Options) -> list[Cell]:
    """Return the cells of preprocessing: regime × format × size × color × device × threads × peer.

    Regimes: `decode` (file to pixels), `transform` (pixels in memory to tensor), `file` (both, one
    by one), `stream` (both, 32 files in a batch, by threads). The peers do `transform` and `file`
    in color. A folder of one's own takes the place of format and size.
    """
    regimes = _choices(options.preprocess_regime, "--preprocess-regime", _REGIMES)
    colors = _choices(options.preprocess_color, "--preprocess-color", ("rgb", "gray"))
    devices = _choices(options.preprocess_device, "--preprocess-device", _DEVICES)
    threads = _counts(options.preprocess_threads or "1,2", "--preprocess-threads")
    chosen = _choices(options.preprocess_peer, "--preprocess-peer", (*peers.NEEDS, "none"))
    sources = _sources(options)
    cells = []
    for regime in regimes:
        for source in _of_regime(regime, sources):
            by_color = ["rgb"] if regime == "decode" else colors  # the same work
            by_color = by_color[:1] if regime == "stream" else by_color
            for color, device in product(by_color, devices):
                axes = {"regime": regime, **source, "color": color}
                if device == "cuda" and (regime not in ("transform", "file") or color == "gray"):
                    continue
                if regime == "stream":
                    cells += [_preprocess(axes, options, threads=count) for count in threads]
                else:
                    cells.append(_preprocess(axes, options, device=device))
                if regime in ("transform", "file") and color == "rgb":
                    cells += [
                        _preprocess(axes, options, device=device, peer=peer)
                        for peer in peers.NEEDS
                        if peer in chosen and ("cuda" in peers.NEEDS[peer]) == (device == "cuda")
                    ]
    return cells


def forward(options: Options) -> list[Cell]:
    """Return the cells of the network that scores images: engine × device × batch.

    Engines: `flux` as Python sees it, `flux-inside` its forward alone by Julia's clock,
    `flux-bridge` the same call without a model, `reference` the network in PyTorch, `compiled` that
    through torch.compile. With `--flux-model` the three of Flux alone: PyTorch has no such network.
    """
    batches = _counts(options.flux_batch or "1,8,32", "--flux-batch")
    model = _flux_model(options)
    return [
        Cell(
            "forward",
            model | {"engine": engine, "device": device, "batch": batch},
            needs=_needs(engine, device),
            images=batch,
            device=device,
            dtype="" if engine == "flux-bridge" else "float32",
            budget_factor=BRIDGE_WEIGHT if engine == "flux-bridge" else 1.0,
            regime=_FORWARD_REGIMES.get(engine, _FORWARD_REGIMES["reference"]),
        )
        for engine, device, batch in product(
            _flux_engines(options), _flux_devices(options), batches
        )
        if not (model and engine in ("reference", "compiled"))
        and not (engine == "flux-bridge" and device == "cuda")  # it never reaches a device
    ]


def end_to_end(options: Options) -> list[Cell]:
    """Return the cells of the whole chain: engine × device, on three images.

    Images are those of `image_cell`, or the pre-generated ones.
    """
    source = image_cell(options)
    needs = source.needs if source else ()
    return [
        Cell(
            "end_to_end",
            {"engine": engine, "device": device},
            needs=tuple(dict.fromkeys(needs + _needs(engine, device))),
            images=3,
            device=device,
            dtype="float32",
            budget_factor=source.budget_factor if source else 1.0,
            regime={"images": source.id if source else "pregenerated"},
        )
        for engine, device in product(_flux_engines(options), _flux_devices(options))
        if engine in ("flux", "reference")
    ]


def harness() -> list[Cell]:
    """Return the one cell of the harness's own cost."""
    return [Cell("harness", {"call": "harness-noop"}, budget_factor=NOOP_WEIGHT)]


def cold_starts() -> list[Cell]:
    """Return the cells of `cold`: each start of `cold.STARTS`, in a process of its own."""
    return [
        Cell(
            "cold",
            {"start": name},
            needs=start.needs,
            device=start.device,
            budget_factor=FULL_SIZE_WEIGHT if name.startswith("sd15") else COLD_WEIGHT,
            regime={"process": "fresh"},
        )
        for name, start in cold.STARTS.items()
    ]


def image_cell(options: Options) -> Cell | None:
    """Return the cell of `generate` whose images the end-to-end benchmark takes.

    It is the first of the first `--sd-model`, eager and of batch 1; without one, of `arch:sd15`
    where the driver has a CUDA device, and elsewhere None: the pre-generated images stand in.
    """
    plain = replace(options, sd_batch="", sd_mode="")
    if options.sd_model:
        return generate(plain)[0]
    return None if availability.cuda() else _generate("arch:sd15", plain)[0]


STREAMED = 32
"""Files in one batch of the regime `stream`."""

_REGIMES: dict[str, dict[str, str | int]] = {
    "decode": {"includes": "decode", "batch": 1, "layout": "Pillow's RGB"},
    "transform": {"includes": "resize, convert", "batch": 1},
    "file": {"includes": "decode, resize, convert", "batch": 1},
    "stream": {"includes": "decode, resize, convert", "batch": STREAMED},
}

_TENSOR: dict[str, str | int] = {
    "layout": "contiguous NCHW float32",
    "antialias": "bilinear",
    "output": "224x224",
}


def _sources(options: Options) -> list[dict[str, str | int]]:
    """Return what an id says of the pictures: format and size, or the folder's name."""
    formats = _choices(options.preprocess_format, "--preprocess-format", ("png", "jpeg"))
    text = options.preprocess_size or "512"
    sizes = [parse_size(part, "--preprocess-size") for part in parse_list(text)]
    known = dict.fromkeys(size for _, size in pictures.FILES)
    for size in sizes:
        if size not in known:
            labels = " or ".join(map(size_label, known))
            given = f"--preprocess-size {size_label(size)}"
            raise PipelineError(given, labels, "change it, or add --preprocess-images FOLDER")
    if options.preprocess_images:
        pictures.folder(options.preprocess_images)
        name = Path(options.preprocess_images).resolve().name
        return [{"images": re.sub(r"[^\w.]+", "_", name)}]
    found: list[dict[str, str | int]] = [
        {"format": format_, "size": size_label(size)}
        for size, format_ in product(dict.fromkeys(sizes), formats)
        if (format_, size) in pictures.FILES
    ]
    if not found:
        given = f"--preprocess-format {options.preprocess_format} of {size_label(sizes[0])}"
        raise PipelineError(given, "jpeg, as that size has no other", "add jpeg")
    return found


def _of_regime(regime: str, sources: list[dict[str, str | int]]) -> list[dict[str, str | int]]:
    """Leave the format out where pictures are in memory: it says nothing of them."""
    if regime != "transform":
        return sources
    decoded = [
        {axis: value for axis, value in source.items() if axis != "format"} for source in sources
    ]
    return [each for index, each in enumerate(decoded) if each not in decoded[:index]]


def _preprocess(
    axes: dict[str, str | int],
    options: Options,
    device: str = "cpu",
    threads: int = 1,
    peer: str = "",
) -> Cell:
    regime = str(axes["regime"])
    own = len(pictures.folder(options.preprocess_images)) if options.preprocess_images else 0
    pixels = 1 if own else _megapixels(str(axes["size"]))
    more: dict[str, str | int] = {"device": device} if device != "cpu" else {}
    more |= {"threads": threads} if regime == "stream" else {}
    more |= {"peer": peer} if peer else {}
    stated = _REGIMES[regime] | ({} if regime == "decode" else _TENSOR) | {"threads": threads}
    stated |= {"images": "a folder's"} if own else {}
    cuda = ("cuda",) if device == "cuda" else ()
    return Cell(
        "preprocess",
        axes | more,
        needs=tuple(dict.fromkeys(cuda + (peers.NEEDS[peer] if peer else ()))),
        images=STREAMED if regime == "stream" else own or 1,
        device=device,
        dtype="" if regime == "decode" else "float32",
        budget_factor=(PEER_WEIGHT if peer else PREPROCESS_WEIGHT) * pixels,
        regime=stated,
    )


def _megapixels(label: str) -> int:
    """Return a size's megapixels, rounded up: its weight."""
    width, height = parse_size(label)
    return -(-width * height // 1_100_000)


def _models(options: Options) -> dict[str, str]:
    """Return the models' names by their labels; a label is what an id can hold."""
    names = parse_list(options.sd_model) if options.sd_model else ["tiny", "arch:sd15"]
    models: dict[str, str] = {}
    for name in names:
        label = sd_models.resolve(name).label
        if label in models:
            raise PipelineError(
                f"--sd-model {name}", f"one model called {label}", "rename one of the two folders"
            )
        models[label] = name
    return models


def _generate(name: str, options: Options) -> list[Cell]:
    model = sd_models.resolve(name)
    tiny = name == "tiny"
    sizes = _sizes(options.sd_size or ("64,128" if tiny else "512,768"))
    steps = _counts(options.sd_steps or ("2,4,8" if tiny else "10,20,30,50"), "--sd-steps")
    batches = _counts(options.sd_batch or "1", "--sd-batch")
    modes_ = _choices(options.sd_mode or modes.EAGER, "--sd-mode", modes.MODES)
    default_device = diffusion.default_device(name)
    devices = _choices(options.sd_device or default_device, "--sd-device", _DEVICES)
    cells = []
    for device in devices:
        dtypes = _choices(
            options.sd_dtype or diffusion.default_dtype(device), "--sd-dtype", diffusion.DTYPES
        )
        for dtype, mode, batch, size, count in product(dtypes, modes_, batches, sizes, steps):
            axes: dict[str, str | int] = {
                "model": model.label,
                "device": device,
                "dtype": dtype,
                "size": size_label(size),
                **({"batch": batch} if batch > 1 else {}),
                **({"mode": mode} if mode != modes.EAGER else {}),
                "steps": count,
            }
            cells.append(
                Cell(
                    "generate",
                    axes,
                    needs=_mode_needs(mode, device),
                    images=batch,
                    steps=count,
                    device=device,
                    dtype=dtype,
                    budget_factor=(1.0 if tiny else FULL_SIZE_WEIGHT) * batch,
                    regime={"batch": batch, "mode": mode},
                )
            )
    return cells


_FORWARD_REGIMES: dict[str, dict[str, str | int]] = {
    "flux-inside": {"includes": "forward", "clock": "julia"},
    "flux-bridge": {"includes": "batch into Julia, scores out", "model": "none"},
    "reference": {"includes": "batch from the CPU, forward, scores to the CPU"},
}

_ENGINES = ("flux", "flux-inside", "flux-bridge", "reference", "compiled")
_DEVICES = ("cpu", "cuda")


def _sizes(text: str) -> list[Size]:
    return list(dict.fromkeys(parse_size(part, "--sd-size") for part in parse_list(text)))


def _counts(text: str, name: str) -> list[int]:
    return list(dict.fromkeys(parse_count(part, name) for part in parse_list(text)))


def _flux_engines(options: Options) -> list[str]:
    return _choices(options.flux_engine, "--flux-engine", _ENGINES)


def _flux_devices(options: Options) -> list[str]:
    return _choices(options.flux_device, "--flux-device", _DEVICES)


def _flux_model(options: Options) -> dict[str, str | int]:
    """Return what an id says of a user's Flux model; nothing without one."""
    if not options.flux_model:
        return {}
    file, name = flux.split_name(options.flux_model)
    return {"model": f"{Path(file).stem}.{name}"}


def _mode_needs(mode: str, device: str) -> tuple[str, ...]:
    """Return what a mode needs: on CUDA, Triton compiles its launchers in C."""
    cuda = ("cuda",) if device == "cuda" or mode == "graph" else ()
    return cuda + (("compiler",) if mode != modes.EAGER else ())


def _needs(engine: str, device: str) -> tuple[str, ...]:
    """CUDA first: asking for it costs nothing, asking for Julia starts it."""
    cuda = ("cuda",) if device == "cuda" else ()
    compiler = ("compiler",) if engine == "compiled" else ()
    return cuda + compiler + (("julia",) if engine.startswith("flux") else ())


def _choices(text: str, name: str, known: Iterable[str]) -> list[str]:
    """Return the values of `text` in its order; all of `known` where it is empty."""
    known = list(known)
    values = parse_list(text) if text else known
    for value in values:
        if value not in known:
            raise PipelineError(f"{name} {value}", " or ".join(known), f"change {name}")
    return values
