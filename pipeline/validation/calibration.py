"""What a device takes beyond tensors: a guess, or learnt from result files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from pipeline.errors import PipelineError, counted, one_line

__all__ = ["GUESS", "Overhead", "learnt"]

_KEYS = ("gpu_process_bytes", "peak_reserved_bytes", "estimated_bytes")


@dataclass(frozen=True)
class Overhead:
    """What a device takes beyond the tensors that are alive at once."""

    slack: float
    """What the allocator and workspaces take, relative to the estimated peak."""
    context_bytes: int
    """CUDA's context and libraries."""
    rows: int = 0
    """Measured rows that it was learnt from; 0 where it is a guess."""
    error: float = 0.0
    """The most by which one of those rows lies above or below what it says, relative."""
    left_out: int = 0
    """Measured rows that cannot be true: they reserved less than the estimate, or held less."""
    gpus: tuple[str, ...] = ()
    """Kinds of GPU that the rows were measured on, where the files name them."""


GUESS = Overhead(slack=0.2, context_bytes=500_000_000)
"""Where nothing was measured: torch's own profile of the tiny pipeline on a CPU shows a peak up to
1.2 times the estimate, and a CUDA context with cuDNN and cuBLAS takes about half a gigabyte."""


class _Cell(msgspec.Struct):
    extra: dict[str, Any] = {}


class _Extra(msgspec.Struct):
    cell: _Cell | None = None


class _Benchmark(msgspec.Struct):
    extra_info: _Extra


class _Gpu(msgspec.Struct):
    model: str | None = None


class _Hardware(msgspec.Struct):
    gpus: list[_Gpu] | None = None


class _Machine(msgspec.Struct):
    hardware: _Hardware | None = None


class _Record(msgspec.Struct):
    machine: _Machine | None = None


class _Results(msgspec.Struct):
    """As much of a result file as is read."""

    benchmarks: list[_Benchmark]
    sd_flux_bench: _Record | None = None


@dataclass(frozen=True)
class _Reading:
    """The memory of one measured row, in bytes."""

    process: float
    reserved: float
    estimated: float
    gpus: tuple[str, ...]

    @property
    def is_possible(self) -> bool:
        return self.process >= self.reserved >= self.estimated


def learnt(path: Path) -> Overhead:
    """Return the overhead that result files, one or a folder of them, show for CUDA.

    A row counts that has what the process held, what torch reserved, and the estimate, each at
    least the next one; rows of all models, types and GPUs together. Raises `PipelineError` for a
    path that cannot be read, and where no row counts.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    measured = [reading for file in files for reading in _readings(file)]
    rows = [reading for reading in measured if reading.is_possible]
    left_out = len(measured) - len(rows)
    if not rows:
        expected = "a result file with the measured memory of a generate row on CUDA"
        if left_out:
            expected = (
                "rows whose process held what torch reserved, and that at least the estimate, "
                f"not {counted(left_out, 'row')} with less"
            )
        remedy = "measure: pytest bench/test_generate.py --benchmark-only --benchmark-json FILE"
        raise PipelineError(f"--calibrate {path}", expected, remedy)
    slack = median(row.reserved / row.estimated for row in rows) - 1
    context = round(median(row.process - row.reserved for row in rows))
    errors = (abs((row.estimated * (1 + slack) + context) / row.process - 1) for row in rows)
    gpus = tuple(sorted({gpu for row in rows for gpu in row.gpus}))
    return Overhead(slack, context, len(rows), max(errors), left_out, gpus)


def _readings(file: Path) -> Iterator[_Reading]:
    """Yield what each row measured that has all of it."""
    try:
        document = msgspec.json.decode(file.read_bytes(), type=_Results)
        machine = document.sd_flux_bench and document.sd_flux_bench.machine
        hardware = machine and machine.hardware
        gpus = tuple(gpu.model or "an unnamed GPU" for gpu in (hardware and hardware.gpus) or ())
        for benchmark in document.benchmarks:
            extra = benchmark.extra_info.cell.extra if benchmark.extra_info.cell else {}
            if all(key in extra for key in _KEYS):
                process, reserved, estimated = (float(extra[key]) for key in _KEYS)
                if not all(0 < one < float("inf") for one in (process, reserved, estimated)):
                    raise ValueError("memory that is not positive")
                yield _Reading(process, reserved, estimated, gpus)
    except OSError as error:
        expected = f"a file that can be read ({error.strerror})"
        raise PipelineError(f"--calibrate {file}", expected, "check the path") from error
    except (ValueError, TypeError, msgspec.MsgspecError, RecursionError) as error:
        expected = f"a result file of --benchmark-json ({one_line(error)})"
        remedy = "name another file or folder"
        raise PipelineError(f"--calibrate {file}", expected, remedy) from error
