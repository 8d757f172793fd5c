"""Stages: generate → preprocess → forward, each from a table of items to a larger table.

In this process and on Ray the same ones are called. An item that fails keeps its row, with its
error; a later stage leaves such a row as it is. Pictures travel as bytes of RGB levels, the batch
as bytes of float32: both are read in place.
"""

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.bulk import dataset
from pipeline.bulk.settings import FILES, FLUX, NONE, PARQUET, REFERENCE, Settings
from pipeline.errors import PipelineError
from pipeline.files import writing
from pipeline.flux import forward as flux
from pipeline.flux import julia, network
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.preprocessing.streaming import default_workers
from pipeline.stable_diffusion import diffusion, pictures

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["NAMES", "Forward", "Generate", "Preprocess", "drawing_of", "traced"]

GENERATE, PREPROCESS, FORWARD = NAMES = ("generate", "preprocess", "forward")

BATCH = "batch"
"""The column of preprocessed pictures: float32 `(C, 224, 224)`, in C order."""

SCORED = 2
"""Images scored in one call. The first layer makes 3 MB an image; from about 25 MB on, memory goes
back to the system after each call, and getting it again costs more than scoring."""

Stage = Callable[["pa.Table"], "pa.Table"]


def traced(name: str, stage: Stage, table: "pa.Table") -> "pa.Table":
    """Run a stage; its column `name` says when each row began, its seconds, where, and memory."""
    import psutil
    import pyarrow as pa

    begun, start = time.time(), time.perf_counter()
    result = stage(table)
    count = max(len(table), 1)
    trace = {
        "begun": begun,
        "ended": time.time(),
        "seconds": (time.perf_counter() - start) / count,
        "worker": f"{platform.node()} {os.getpid()} {threading.get_ident()}",
        "memory": psutil.Process().memory_info().rss,
    }
    kind = pa.struct(
        {
            "begun": pa.float64(),
            "ended": pa.float64(),
            "seconds": pa.float64(),
            "worker": pa.string(),
            "memory": pa.int64(),
        }
    )
    return result.append_column(name, pa.array([trace] * len(result), kind))


class Generate:
    """Draw the picture of each prompt; the model is loaded once."""

    def __init__(
        self, settings: Settings, out: Path, stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """Load the model; raises as `Drawing.load`. `stopped` is asked after each step."""
        threads = int(os.environ.get("OMP_NUM_THREADS") or default_workers())
        self._threads = 1 if settings.model == "tiny" else threads  # too small to share
        self._settings, self._out, self._stopped = settings, out, stopped
        self._pipe = drawing_of(settings, {}).load()

    def __call__(self, table: "pa.Table") -> "pa.Table":
        """Add `pixels`, `width`, `height`, `made_by` and `error`."""
        import pyarrow as pa
        import torch

        torch.set_num_threads(self._threads)  # of this thread, here and below
        drawn = [self._draw(row) for row in table.to_pylist()]
        return (
            table.append_column("pixels", _column(drawn, "pixels", pa.large_binary()))
            .append_column("width", _column(drawn, "width", pa.int32()))
            .append_column("height", _column(drawn, "height", pa.int32()))
            .append_column("made_by", _column(drawn, "made_by", pa.string()))
            .append_column("error", _column(drawn, "error", pa.string()))
        )

    def _draw(self, row: dict[str, Any]) -> dict[str, Any]:
        def step(index: int, done: int) -> None:
            if self._stopped():
                raise KeyboardInterrupt

        try:
            drawing = drawing_of(self._settings, row, self._pipe)
            path = self._out / dataset.image_path(row["id"])
            kept = pictures.find(path, drawing, 0) if self._settings.store == FILES else None
            image = kept or drawing.draw(0, step)
        except PipelineError as error:
            return {"error": str(error)}
        width, height = image.size
        info = drawing.info(0) | {"size": f"{width}x{height}"}
        made_by = json.dumps(info, ensure_ascii=False)
        return {"pixels": image.tobytes(), "width": width, "height": height, "made_by": made_by}


def drawing_of(settings: Settings, row: dict[str, Any], pipe: Any = None) -> diffusion.Drawing:
    """Return the drawing of one row, with the run's settings where the row has none."""
    steps, guidance = row.get("steps"), row.get("guidance")
    return diffusion.Drawing(
        row.get("prompt") or "",
        row.get("seed") or 0,
        settings.size_of(row.get("size")),
        settings.steps if steps is None else steps,
        settings.model,
        settings.device,
        negative_prompt=row.get("negative_prompt") or settings.negative_prompt,
        guidance=settings.guidance if guidance is None else guidance,
        scheduler=settings.scheduler,
        dtype=settings.dtype or None,
        pipe=pipe,
    )


class Preprocess:
    """Turn each picture into its row of a batch, and keep a picture that was drawn."""

    def __init__(
        self, settings: Settings, out: Path, stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """Take the settings and the folder that pictures go to; `stopped` is asked an item."""
        self._settings, self._out, self._stopped = settings, out, stopped

    def __call__(self, table: "pa.Table") -> "pa.Table":
        """Add `batch`, `image` and `image_bytes`; pictures that were drawn lose their pixels."""
        import torch

        torch.set_num_threads(1)
        settings = preprocessing.Settings(grayscale=self._settings.grayscale)
        batch = preprocessing.empty(len(table), settings).zero_()
        fill = self._fill_drawn if self._settings.draws else self._fill_read
        errors = _errors(table)
        rows = table.drop_columns(["pixels"] if self._settings.draws else []).to_pylist()
        images = []
        for index, (row, slot) in enumerate(zip(rows, batch, strict=True)):
            kept: dict[str, Any] = {}
            if self._stopped():
                raise KeyboardInterrupt
            if errors[index] is None:
                try:
                    kept = fill(slot, row, table, index, settings)
                except PipelineError as error:
                    if isinstance(error.__cause__, OSError) and self._settings.draws:
                        raise  # the folder cannot be written: no fault of the item
                    errors[index] = str(error)
            images.append(kept)
        return _preprocessed(table, batch.numpy(), images, errors, self._settings)

    def _fill_read(
        self,
        slot: Any,
        row: dict[str, Any],
        table: "pa.Table",
        index: int,
        settings: preprocessing.Settings,
    ) -> dict[str, Any]:
        """Read an image file; its own size is the one that counts."""
        preprocessing.fill(slot, row["source"], settings)
        width, height = _size_of(row["source"])
        return {"image": row["source"], "width": width, "height": height}

    def _fill_drawn(
        self,
        slot: Any,
        row: dict[str, Any],
        table: "pa.Table",
        index: int,
        settings: preprocessing.Settings,
    ) -> dict[str, Any]:
        from PIL import Image

        size = (row["width"], row["height"])
        levels = table["pixels"][index].as_buffer()
        image = Image.frombuffer("RGB", size, levels, "raw", "RGB", 0, 1)
        preprocessing.fill(slot, image, settings)
        image.info.update(json.loads(row["made_by"]))
        encoded = pictures.encode(image)
        if self._settings.store == PARQUET:
            return {"image_bytes": encoded}
        name = dataset.image_path(row["id"])
        with writing(self._out / name, follow=False) as file:
            file.write(encoded)
        return {"image": name}


def _size_of(path: str) -> tuple[int, int]:
    """Return the width and height in an image's header, as it lies in the file."""
    from PIL import Image

    from pipeline.preprocessing.opening import opened

    with opened(path, f"image {path}") as image:
        assert isinstance(image, Image.Image)
        return image.size


def _preprocessed(
    table: "pa.Table",
    batch: "np.ndarray",
    images: Sequence[dict[str, Any]],
    errors: Sequence[str | None],
    settings: Settings,
) -> "pa.Table":
    import pyarrow as pa

    kind = pa.binary(batch[0].nbytes) if len(batch) else pa.binary(1)
    memory = [None, pa.py_buffer(batch)]
    column = pa.FixedSizeBinaryArray.from_buffers(kind, len(batch), memory)
    if settings.draws:
        table = table.drop_columns(["pixels", "error"])
    else:
        table = table.append_column("width", _column(images, "width", pa.int32()))
        table = table.append_column("height", _column(images, "height", pa.int32()))
        table = table.append_column("made_by", pa.nulls(len(table), pa.string()))
    return (
        table.append_column(BATCH, column)
        .append_column("image", _column(images, "image", pa.string()))
        .append_column("image_bytes", _column(images, "image_bytes", pa.large_binary()))
        .append_column("error", pa.array(errors, pa.string()))
    )


class Forward:
    """Score each row of a batch, and write the rows as one part of the dataset."""

    def __init__(self, settings: Settings, out: Path) -> None:
        """Start Julia, before torch, where Flux.jl scores; raises as `flux.load`."""
        self._settings, self._out = settings, out
        if settings.engine == FLUX:
            julia.start()
            flux.load(self._channels)
        elif settings.engine == REFERENCE:
            network.load(self._channels)

    @property
    def _channels(self) -> int:
        return 1 if self._settings.grayscale else 3

    def __call__(self, table: "pa.Table") -> "pa.Table":
        """Write `scores` and `top_class` of the rows; return them without what is large."""
        import numpy as np
        import pyarrow as pa

        errors = _errors(table)
        rows = [index for index, error in enumerate(errors) if error is None]
        scores: list[Any] = [None] * len(table)
        if rows and self._settings.engine != NONE:
            for index, row in zip(rows, self._score(self._batch(table, rows)), strict=True):
                if np.isfinite(row).all():
                    scores[index] = row
                else:
                    errors[index] = "scores: expected finite numbers; check the weights"
        top = [None if row is None else int(row.argmax()) for row in scores]
        done = (
            table.drop_columns([BATCH, "error"])
            .append_column("scores", pa.array(scores, pa.list_(pa.float32())))
            .append_column("top_class", pa.array(top, pa.int32()))
            .append_column("error", pa.array(errors, pa.string()))
        )
        dataset.write(done, self._out)
        return done.select(["id", "error", *(name for name in NAMES if name in done.column_names)])

    def _batch(self, table: "pa.Table", rows: Sequence[int]) -> "np.ndarray":
        """Return the rows of the column `batch`, `(N, C, 224, 224)`, in place where all hold."""
        import numpy as np

        column = table[BATCH].combine_chunks()
        item = column.type.byte_width
        memory = column.buffers()[1][column.offset * item : (column.offset + len(column)) * item]
        shape = preprocessing.Settings(grayscale=self._settings.grayscale).shape(len(column))
        batch = np.frombuffer(memory, np.float32).reshape(shape)
        return batch if len(rows) == len(batch) else batch[list(rows)]

    def _score(self, batch: "np.ndarray") -> "Iterator[np.ndarray]":
        parts = (batch[first : first + SCORED] for first in range(0, len(batch), SCORED))
        if self._settings.engine == FLUX:
            yield from chain.from_iterable(map(flux.forward, parts))
            return
        import torch

        torch.set_num_threads(1)  # the other cores have other stages
        for part in parts:
            writable = part if part.flags.writeable else part.copy()  # torch warns of others
            yield from network.forward(torch.from_numpy(writable))


def _errors(table: "pa.Table") -> list[str | None]:
    if "error" not in table.column_names:
        return [None] * len(table)
    errors: list[str | None] = table["error"].to_pylist()
    return errors


def _column(rows: Sequence[dict[str, Any]], name: str, kind: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    return pa.array([row.get(name) for row in rows], kind)
