"""The reference workload: fixed work at the start and at the end of a run, as rates.

What a run's numbers are fractions of, and the only part of it that is the same on every machine:
where its end differs from its start, the machine changed while it measured.
"""

from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from typing import Any

from bench.measuring import clock, memory
from bench.results.reading import read

__all__ = ["DRIFT", "SUFFIXES", "drifts", "matrix_rate", "measured", "start_and_end"]

DRIFT = 0.05
"""Relative difference of end and start from which the run says that the machine changed."""

SUFFIXES = ("_flop_per_s", "_bytes_per_s", "_steps_per_s")
"""Units that the names of the rates end in."""

SECONDS = {"cpu": 0.05, "cuda": 0.2}
"""What each part may take, three repetitions at least; a GPU needs longer to raise its clock."""

SIDES = {"cpu": 512, "cuda": 8192}
"""Rows and columns of the matrices: 0.27 and 1100 GFLOP a product."""

COPIED_BYTES = {"cpu": 2**26, "cuda": 2**30}
"""More than caches hold."""

STEPS = 200_000


def measured(used: Iterable[tuple[str, str]]) -> dict[str, float]:
    """Return the highest rate of several repetitions of each part, by names that end in the unit.

    `used` are pairs of device and dtype, such as `("cuda", "float16")`: each has a product of two
    square matrices, by torch as it is set (threads, TF32). A copy of n bytes reads and writes them:
    2 n are counted. What memory does not suffice for is left out.
    """
    found = {
        "python_loop_steps_per_s": STEPS / _fastest(_loop, "cpu"),
        "copy_cpu_bytes_per_s": 2 * COPIED_BYTES["cpu"] / _fastest(_copy_on_cpu(), "cpu"),
    }
    pairs = sorted(set(used))
    for device, dtype in pairs:
        _add(found, f"matrix_{device}_{dtype}_flop_per_s", _matrix, device, dtype)
    if "cuda" in dict(pairs):
        _add(found, "copy_cuda_bytes_per_s", _copy_on_cuda, "cuda")
    return found


def matrix_rate(records: Mapping[str, Any], device: str, dtype: str) -> float | None:
    """Return FLOP/s of the matrix product at the start of a run: the ceiling of a fraction."""
    start, _ = start_and_end(records)
    return start.get(f"matrix_{device}_{dtype}_flop_per_s")


def start_and_end(records: Mapping[str, Any]) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return both sets of rates from a run's records, empty where there are none.

    Raises ValueError for anything else than numbers.
    """
    both = read(Mapping[str, Mapping[str, Any]], records.get("workload", {}), "workload")
    start, end = (
        read(Mapping[str, float], both.get(when, {}), f"workload.{when}")
        for when in ("start", "end")
    )
    return start, end


def drifts(start: Mapping[str, float], end: Mapping[str, float]) -> dict[str, float]:
    """Return by how much each rate differs at the end, relative to the start, where it matters."""
    both = {name: end[name] / rate - 1 for name, rate in start.items() if rate and name in end}
    return {name: change for name, change in both.items() if abs(change) > DRIFT}


def _fastest(call: Callable[[], object], device: str) -> float:
    """Seconds of the quickest repetition, the device synchronised: what disturbs only slows."""
    call = clock.synchronised(call, device)
    call()
    seconds: list[float] = []
    while len(seconds) < 3 or sum(seconds) < SECONDS[device]:
        begun = perf_counter()
        call()
        seconds.append(perf_counter() - begun)
    return min(seconds)


def _add(
    found: dict[str, float], name: str, make: Callable[..., Any], device: str, *dtype: str
) -> None:
    """Add one rate, unless memory does not suffice for it; give its memory back."""
    try:
        call, work = make(device, *dtype)
        found[name] = work / _fastest(call, device)
        del call
    except RuntimeError as error:
        if not memory.ran_out(error):
            raise
    if device == "cuda":
        memory.give_back()


def _loop() -> int:
    total = 0
    for number in range(STEPS):
        total += number
    return total


def _copy_on_cpu() -> Callable[[], None]:
    source = memoryview(bytearray(b"\1") * COPIED_BYTES["cpu"])
    target = memoryview(bytearray(COPIED_BYTES["cpu"]))

    def copy() -> None:
        target[:] = source

    return copy


def _copy_on_cuda(device: str) -> tuple[Callable[[], Any], float]:
    import torch

    size = COPIED_BYTES[device]
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return lambda: target.copy_(source), 2.0 * size


def _matrix(device: str, dtype: str) -> tuple[Callable[[], Any], float]:
    import torch

    side = SIDES[device]
    drawn = torch.Generator(device).manual_seed(0)  # equal numbers would take a GPU less power
    left, right = (
        torch.randn(side, side, device=device, generator=drawn).to(getattr(torch, dtype))
        for _ in range(2)
    )
    out = torch.empty_like(left)
    return lambda: torch.mm(left, right, out=out), 2.0 * side**3
