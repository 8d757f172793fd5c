"""glibc's allocator, pinned to the settings of a long run: no cell depends on earlier ones."""

import ctypes
import os
import sys

__all__ = ["MMAP_THRESHOLD", "TRIM_THRESHOLD", "pin", "settings"]

MMAP_THRESHOLD = 32 * 2**20
"""Bytes from which on glibc maps an allocation anew, faults its pages in, and unmaps it.

glibc raises its own threshold from 128 KiB, with the sizes that are freed, to at most this
(`DEFAULT_MMAP_THRESHOLD_MAX`, mallopt(3)). A network whose buffers of 3 MB were mapped on each call
took five to ten times as long as after other cells had raised the threshold.
"""

TRIM_THRESHOLD = 2**30
"""Free bytes at the heap's end from which on they are given back to the system.

glibc has twice the other: then a forward of eight images took 11 ms or 45 ms in one run, depending
on whether its pages had been kept or given back.
"""

VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "LD_PRELOAD")
"""A user who sets one of these may have chosen other settings, or another allocator."""

TUNABLES, HUGE_PAGES = "glibc.malloc.", "glibc.malloc.hugetlb="
"""Of `GLIBC_TUNABLES`: those that may set the thresholds, and the one that does not."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h

_pinned: dict[str, int] = {}


def pin() -> None:
    """Set both thresholds for this process; without glibc do nothing."""
    if not sys.platform.startswith("linux") or _is_chosen():
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return
    if mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD) and mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD):
        _pinned.update(
            mmap_threshold_bytes=MMAP_THRESHOLD,
            trim_threshold_bytes=TRIM_THRESHOLD,
        )


def settings() -> dict[str, int]:
    """Return what `pin` has set, in bytes.

    Raises ValueError where it has set nothing.
    """
    if not _pinned:
        raise ValueError("not pinned: another allocator, or a variable that sets it")
    return dict(_pinned)


def _is_chosen() -> bool:
    tunables = os.environ.get("GLIBC_TUNABLES", "").split(":")
    return any(os.environ.get(name) for name in VARIABLES) or any(
        tunable.startswith(TUNABLES) and not tunable.startswith(HUGE_PAGES) for tunable in tunables
    )
