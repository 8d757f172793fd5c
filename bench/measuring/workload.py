"""The reference workload: fixed work at the start and at the end of a run, as rates.

It is the only part of a run that is the same on every machine. Where the end differs from the
start, the machine changed while it measured.
"""

from collections.abc import Callable, Iterable
from functools import partial
from time import perf_counter
from typing import Any

from bench.measuring import clock, memory

__all__ = ["measured"]

SECONDS = {"cpu": 0.05, "cuda": 0.2}
"""Time for each part, of at least three repetitions; a GPU needs longer to raise its clock."""

SIDES = {"cpu": 512, "cuda": 8192}
"""Rows and columns of the matrices: 0.27 and 1100 GFLOP a product."""

COPIED_BYTES = {"cpu": 2**26, "cuda": 2**30}
"""More than the caches hold."""

STEPS = 200_000


def measured(used: Iterable[tuple[str, str]], unread: dict[str, str]) -> dict[str, float]:
    """Return the highest rate of several repetitions of each part, by names that end in the unit.

    `used` are pairs of device and dtype, such as `("cuda", "float16")`: for each, two square
    matrices are multiplied, by torch as it is set (threads, TF32). A copy of n bytes reads and
    writes them: 2 n are counted. A part that does not fit into memory is left out; for one that
    fails, as all do after a fatal error of CUDA, `unread` gets the reason.
    """
    rates = {
        "python_loop_steps_per_s": STEPS / _fastest(_loop, "cpu"),
        "copy_cpu_bytes_per_s": 2 * COPIED_BYTES["cpu"] / _fastest(_copy_on_cpu(), "cpu"),
    }
    parts: dict[str, tuple[str, Callable[[], tuple[Callable[[], Any], float]]]] = {
        f"matrix_{device}_{dtype}_flop_per_s": (device, partial(_matrix, device, dtype))
        for device, dtype in sorted(set(used))
    }
    if any(device == "cuda" for device, _ in parts.values()):
        parts["copy_cuda_bytes_per_s"] = ("cuda", _copy_on_cuda)
    for name, (device, make) in parts.items():
        try:
            call, work = make()
            rates[name] = work / _fastest(call, device)
            del call
        except RuntimeError as error:
            if not memory.ran_out(error):
                unread[f"reference workload: {name}"] = " ".join(str(error).split())[:200]
        if device == "cuda":
            memory.give_back()
    return rates


def _fastest(call: Callable[[], object], device: str) -> float:
    """Return the seconds of the fastest repetition: disturbances only make one slower."""
    call = clock.synchronised(call, device)
    seconds: list[float] = []
    with clock.untraced():
        call()
        while len(seconds) < 3 or sum(seconds) < SECONDS[device]:
            begun = perf_counter()
            call()
            seconds.append(perf_counter() - begun)
    return min(seconds)


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


def _copy_on_cuda() -> tuple[Callable[[], Any], float]:
    import torch

    source = torch.ones(COPIED_BYTES["cuda"], dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return lambda: target.copy_(source), 2.0 * COPIED_BYTES["cuda"]


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
