"""What several test files share: rows of every kind, a result file of them, and bad files."""

import json
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from bench.results import record, run
from bench.results.cell import (
    CHECKED,
    FAILED,
    MEASURED,
    OUT_OF_MEMORY,
    UNAVAILABLE,
    Axis,
    Cell,
    Row,
)

MACHINE: dict[str, Any] = {
    "hardware": {
        "architecture": "x86_64",
        "cores": 16,
        "cpu": "AMD EPYC 9354",
        "gpus": [
            {"memory_bytes": 85520809984, "model": "NVIDIA H100 80GB HBM3", "power_limit_w": 700}
        ],
        "ram_gib": 128,
        "unread": {},
    },
    "software": {
        "driver": "580.65.06",
        "packages": {"diffusers": "0.42.1", "torch": "2.15.0+cu130"},
        "python": "3.11.7",
        "unread": {"torch": "no torch imported here"},
    },
    "state": {"load_per_cpu": 0.02, "unread": {}},
}

NO_JULIA = (
    "no Julia: juliacall found no Julia of version 1.10 or later and could not install one",
    "install Julia from julialang.org and run python -m pipeline doctor",
)
NO_CUDA = (
    "no CUDA: the NVIDIA driver (libcuda.so.1) is not installed",
    "run on a machine with an NVIDIA GPU and its driver",
)


def named(family: str, axes: Mapping[str, Axis], status: str, **known: Any) -> Row:
    """A row of a cell with these axes, under the id that pytest would give it."""
    of_cell = {key: known.pop(key) for key in ("images", "steps", "regime") if key in known}
    cell = Cell(family, axes, device=str(axes.get("device", "cpu")), **of_cell)
    return Row(f"bench/test_{family}.py::test_{family}[{cell.id}]", cell, status, **known)


def generate(model: str, device: str, size: str, steps: int, status: str, **known: Any) -> Row:
    dtype = "float16" if device == "cuda" else "float32"
    axes = {"model": model, "device": device, "dtype": dtype, "size": size, "steps": steps}
    return named("generate", axes, status, steps=steps, **known)


def samples(count: int, seconds: float, spread: float) -> tuple[float, ...]:
    """The same numbers in every run, up to `spread` above `seconds`."""
    random = Random(count).random
    return tuple(seconds * (1 + spread * random() ** 2) for _ in range(count))


def drifting(count: int, seconds: float, spread: float) -> tuple[float, ...]:
    """Samples of which each is like the one before."""
    return tuple(seconds * (1 + spread * index / count) for index in range(count))


def rows() -> list[Row]:
    """Rows of every status and with every footnote, in the order of a run."""
    hub = "stabilityai/stable-diffusion-xl-base-1.0"
    tiny = {"weights": "tiny, trained", "threads": 1}
    return [
        generate("tiny", "cpu", "64x64", 2, MEASURED, samples=samples(113, 0.0169, 0.03),
                 first_call=0.0386, limited_by="precision", **tiny),
        generate("tiny", "cpu", "64x64", 8, MEASURED, samples=drifting(33, 0.048, 0.3),
                 first_call=0.0494, limited_by="budget", **tiny),
        generate("sd15", "cuda", "512x512", 10, MEASURED, samples=samples(300, 0.241, 0.004),
                 first_call=1.93, limited_by="precision"),
        generate("sd15", "cuda", "512x512", 30, MEASURED, samples=samples(42, 0.672, 0.004),
                 first_call=0.684, limited_by="precision"),
        generate("sd15", "cuda", "2048x2048", 30, OUT_OF_MEMORY,
                 reason="CUDA out of memory: 96 GiB more were asked for, 41 GiB are free",
                 remedy="a smaller --sd-size, or --sd-dtype float16"),
        generate("sd15", "cpu", "512x512", 50, MEASURED, samples=(213.4,), first_call=213.4,
                 limited_by="first call"),
        generate(hub, "cuda", "1024x1024", 50, MEASURED, samples=samples(6, 5.41, 0.05),
                 first_call=7.2, limited_by="budget"),
        generate("tiny", "cuda", "64x64", 2, CHECKED, **tiny),
        generate("tiny", "cuda", "64x64", 4, CHECKED, **tiny),
        named("preprocess", {"regime": "decode", "color": "rgb"}, MEASURED,
              regime={"decoder": "kornia-rs 0.2.0, simplejpeg 1.9.0"},
              samples=samples(1000, 0.00552, 0.02), first_call=0.0071, limited_by="cap"),
        named("preprocess", {"regime": "transform", "color": "rgb"}, MEASURED,
              samples=samples(88, 0.000412, 0.4), first_call=0.0121, limited_by="precision"),
        named("preprocess", {"regime": "transform", "color": "gray"}, FAILED,
              reason="values from 0 to 1.01", remedy="divide by 255 after the resize"),
        *(
            named("forward", {"engine": "flux", "device": "cpu", "batch": batch}, UNAVAILABLE,
                  images=batch, reason=NO_JULIA[0], remedy=NO_JULIA[1])
            for batch in (1, 8, 32)
        ),
        named("forward", {"engine": "reference", "device": "cpu", "batch": 1}, MEASURED,
              samples=samples(500, 4.1e-5, 0.05), iterations=3, first_call=0.00093,
              limited_by="precision"),
        named("forward", {"engine": "reference", "device": "cpu", "batch": 32}, MEASURED,
              images=32, samples=samples(5, 0.00081, 0.05), first_call=0.0009,
              limited_by="budget"),
        named("forward", {"engine": "reference", "device": "cuda", "batch": 8}, UNAVAILABLE,
              images=8, reason=NO_CUDA[0], remedy=NO_CUDA[1]),
        named("end_to_end", {"engine": "flux", "device": "cpu"}, UNAVAILABLE,
              images=3, reason=NO_JULIA[0], remedy=NO_JULIA[1]),
        named("end_to_end", {"engine": "reference", "device": "cpu"}, MEASURED,
              images=3, samples=samples(19, 0.0171, 0.1), first_call=0.031, limited_by="budget"),
    ]  # fmt: skip


def document(given: Iterable[Row]) -> dict[str, Any]:
    """A result file as pytest-benchmark and the harness write it together."""
    kept = list(given)
    output = {
        "machine_info": {"machine": "x86_64", "python_version": "3.11.7"},
        "commit_info": {"id": "0123456789abcdef", "branch": "main", "dirty": False},
        "benchmarks": [_benchmark(row) for row in kept if row.status == MEASURED],
        "datetime": "2026-11-22T16:10:35.927224+00:00",
        "version": "5.3.1",
    }
    record.update(output, kept, deepcopy(MACHINE))
    return output


def write_journal(path: Path, given: Iterable[Row], ended: int | None = 0) -> None:
    """The journal of a run with this exit code; with None, of one that was cut short."""
    journal = record.Journal(path, MACHINE)
    for row in given:
        journal.add(row)
    journal.end(ended or 0)
    if ended is None:
        *lines, _ = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines))


def small() -> list[Row]:
    """One row with a number and one without."""
    return [
        replace(rows()[0], samples=(0.017, 0.018, 0.0175), fingerprint="0a141e" * 64),
        next(row for row in rows() if row.status == UNAVAILABLE),
    ]


def numbered(number: int) -> Row:
    """One of many rows that differ in their steps."""
    seconds = 0.01 * (number + 1)
    return generate("tiny", "cpu", "64x64", number + 1, MEASURED, samples=(seconds,) * 6)


def _benchmark(row: Row) -> dict[str, Any]:
    return {
        "group": row.cell.family,
        "name": row.name.rpartition("::")[2],
        "fullname": row.name,
        "params": {"cell": "UNSERIALIZABLE[Cell]"},
        "param": row.cell.id,
        "extra_info": {"cell": row.as_dict() | {"samples": []}},
        "options": {"disable_gc": False, "timer": "wall clock, device synchronised"},
        "stats": {
            "min": min(row.samples),
            "median": median(row.samples),
            "rounds": len(row.samples),
            "iterations": row.iterations,
            "data": list(row.samples),
        },
    }


def _changed(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        content = document(small())
        change(content)
        path.write_text(json.dumps(content, indent=4))

    return make


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(run.MAXIMUM_BYTES + 1)


def _truncated(path: Path) -> None:
    text = json.dumps(document(small()), indent=4)
    path.write_text(text[: text.index('"stats"')])


def _twice(content: dict[str, Any]) -> None:
    content["benchmarks"] *= 2


def _stats(content: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = content["benchmarks"][0]["stats"]
    return found


def _own(content: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = content["benchmarks"][0]["extra_info"]["cell"]
    return found


def _line(key: str) -> int:
    """The first line of a result file that has this key."""
    lines = json.dumps(document(small()), indent=4).splitlines()
    return next(number for number, line in enumerate(lines, 1) if f'"{key}": ' in line)


TINY = "bench/test_generate.py::test_generate[tiny-cpu-float32-64x64-2steps]"
DATA = "benchmarks[0].stats.data"
CELL = "benchmarks[0].extra_info.cell"

BAD_FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (
        lambda path: None,
        "a file that can be read (No such file or directory); check the path",
    ),
    "a folder": (Path.mkdir, "a file that can be read (Is a directory); check the path"),
    "under a file": (
        lambda path: (path.parent.rmdir(), path.parent.write_text("")),
        "a file that can be read (Not a directory); check the path",
    ),
    "binary": (
        lambda path: path.write_bytes(bytes(range(256))),
        "a text file; pass what --benchmark-json wrote",
    ),
    "over 1 GB": (_sparse, "at most 1 GB; measure fewer cells into one file"),
    "empty": (
        Path.touch,
        "whole JSON (Expecting value at line 1, column 1); it may be cut off: measure again",
    ),
    "truncated": (
        _truncated,
        f"whole JSON (Expecting property name enclosed in double quotes at line {_line('stats')}, "
        "column 13); "
        "it may be cut off: measure again",
    ),
    "not JSON": (
        lambda path: path.write_text("cell,seconds\ntiny,0.017\n"),
        "whole JSON (Expecting value at line 1, column 1); it may be cut off: measure again",
    ),
    "nested deep": (
        lambda path: path.write_text("[" * 100_000),
        "JSON that is not nested this deep; measure again",
    ),
    "a number of 5000 digits": (
        lambda path: path.write_text(f'{{"benchmarks": [], "x": {"9" * 5000}}}'),
        "numbers of fewer than 4300 digits; measure again",
    ),
    "a list": (
        lambda path: path.write_text("[]"),
        "a result file of pytest-benchmark; pass what --benchmark-json wrote",
    ),
    "of another tool": (
        lambda path: path.write_text('{"results": [{"command": "sleep 1", "mean": 1.0}]}'),
        "a result file of pytest-benchmark; pass what --benchmark-json wrote",
    ),
    "of pytest-benchmark alone": (
        _changed(lambda content: content.pop("sd_flux_bench")),
        "a result file of this harness (no 'sd_flux_bench' in it); measure with pytest bench/",
    ),
    "of a newer schema": (
        _changed(lambda content: content["sd_flux_bench"].update(schema=2)),
        "schema 1 or older, not 2; update sd-flux-bench",
    ),
    "of no schema": (
        _changed(lambda content: content["sd_flux_bench"].pop("schema")),
        "a schema version, not None; measure again",
    ),
    "of a strange schema": (
        _changed(lambda content: content["sd_flux_bench"].update(schema=True)),
        "a schema version, not True; measure again",
    ),
    "NaN in the samples": (
        _changed(lambda content: _stats(content)["data"].insert(1, float("nan"))),
        f"finite numbers, not NaN (line {_line('data') + 2}); measure again",
    ),
    "NaN in a string first": (
        lambda path: path.write_text('["NaN",\n "\\" NaN",\n -Infinity]'),
        "finite numbers, not -Infinity (line 3); measure again",
    ),
    "a sample of 1e999": (
        lambda path: path.write_text(json.dumps(document(small())).replace("0.0175]", "1e999]")),
        f"a number from 0 at {DATA}[2], not inf; measure again",
    ),
    "a negative sample": (
        _changed(lambda content: _stats(content).update(data=[0.017, -0.5])),
        f"a number from 0 at {DATA}[1], not -0.5; measure again",
    ),
    "a sample that is text": (
        _changed(lambda content: _stats(content).update(data=["0.017"])),
        f"a number from 0 at {DATA}[0], not '0.017'; measure again",
    ),
    "a sample that is a boolean": (
        _changed(lambda content: _stats(content).update(data=[0.017, True])),
        f"a number from 0 at {DATA}[1], not True; measure again",
    ),
    "samples that are no list": (
        _changed(lambda content: _stats(content).update(data={"0": 0.017})),
        f"a list at {DATA}, not an object; measure again",
    ),
    "no samples": (
        _changed(lambda content: _stats(content).pop("data")),
        f"samples of {TINY}, as --benchmark-json keeps them; measure again",
    ),
    "no stats": (
        _changed(lambda content: content["benchmarks"][0].pop("stats")),
        "'stats' at benchmarks[0]; measure again",
    ),
    "a benchmark that is a number": (
        _changed(lambda content: content["benchmarks"].append(7)),
        "an object at benchmarks[1], not 7; measure again",
    ),
    "extra_info null": (
        _changed(lambda content: content["benchmarks"][0].update(extra_info=None)),
        "an object at benchmarks[0].extra_info, not null; measure again",
    ),
    "no name": (
        _changed(lambda content: _own(content).pop("name")),
        f"'name' at {CELL}; measure again",
    ),
    "axes that are a list": (
        _changed(lambda content: _own(content)["cell"].update(axes=["tiny"])),
        f"an object at {CELL}.cell.axes, not a list; measure again",
    ),
    "an axis that is null": (
        _changed(lambda content: _own(content)["cell"]["axes"].update(steps=None)),
        f"text or a whole number from 0 at {CELL}.cell.axes.steps, not null; measure again",
    ),
    "an unknown status": (
        _changed(lambda content: _own(content).update(status="fine")),
        "a status (measured, unavailable, out of memory, failed, not comparable, checked) "
        f"at {CELL}, not 'fine'; measure again",
    ),
    "no image": (
        _changed(lambda content: _own(content)["cell"].update(images=0)),
        f"at least one image and one call at {CELL}; measure again",
    ),
    "rows that are no list": (
        _changed(lambda content: content["sd_flux_bench"].update(rows="none")),
        "a list at sd_flux_bench.rows, not 'none'; measure again",
    ),
    "a measured row without a number": (
        _changed(lambda content: content["sd_flux_bench"]["rows"][0].update(status="measured")),
        "samples of bench/test_forward.py::test_forward[flux-cpu-batch1], "
        "as --benchmark-json keeps them; measure again",
    ),
    "duplicate cells": (
        _changed(_twice),
        f"each cell once, but {TINY} is there twice; measure again",
    ),
    "no machine": (
        _changed(lambda content: content["sd_flux_bench"].pop("machine")),
        "an object at sd_flux_bench.machine, not null; measure again",
    ),
    "a machine that is odd": (
        _changed(lambda content: content["sd_flux_bench"]["machine"]["hardware"].update(cpu=9)),
        "records of a machine at sd_flux_bench.machine; measure again",
    ),
    "a date that is a number": (
        _changed(lambda content: content.update(datetime=2026)),
        "text at datetime, not 2026; measure again",
    ),
    "two faults": (
        _changed(lambda content: (_own(content).update(reason=1), content.update(datetime=2026))),
        f"text at {CELL}.reason, not 1; measure again",
    ),
}
"""How to make each bad file, and what is said of it after its path."""
