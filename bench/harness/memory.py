"""Running out of memory: recognised without importing torch, and given back."""

import gc
import sys

__all__ = ["REMEDY", "gist", "give_back", "ran_out"]

REMEDY = "a smaller size or batch, float16, or a device with more memory"


def ran_out(error: BaseException) -> bool:
    """Say whether an exception is torch's of memory that ran out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)


def gist(error: BaseException, estimated: float | None = None) -> str:
    """Return what torch says before it begins to advise: how much was asked for and is free.

    `estimated` are the bytes that the call should have needed in all, as was said before it.
    """
    told = " ".join(str(error).split())[:200].split(" See documentation")[0]
    return told if estimated is None else f"{told} Estimated before: {estimated / 1e9:.3g} GB."


def give_back() -> None:
    """Return what nothing refers to any more to the device."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
