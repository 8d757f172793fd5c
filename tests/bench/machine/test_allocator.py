import ctypes
import sys

import pytest

from bench.machine import allocator
from support.helpers import fresh_python

LINUX = sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "mallinfo2")

MAPPED = """
import ctypes
from bench.machine import allocator

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
        "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
libc.malloc.restype = ctypes.c_void_p
allocator.pin()
before = libc.mallinfo2().hblks
libc.malloc(ctypes.c_size_t({size}))
print(libc.mallinfo2().hblks - before)
"""


def mapped(size: int, **variables: str) -> str:
    """Return how many mappings a process makes for one allocation of `size` bytes."""
    unset = dict.fromkeys((*allocator.VARIABLES, "GLIBC_TUNABLES"), "")
    done = fresh_python("-c", MAPPED.format(size=size), **{**unset, **variables})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(not LINUX, reason="glibc 2.33 or later tells what it has mapped")
class TestPin:
    def test_three_megabytes_come_from_the_heap(self) -> None:
        assert mapped(3 * 2**20) == "0"

    def test_more_than_the_threshold_is_mapped_as_glibc_does_in_the_end(self) -> None:
        assert mapped(allocator.MMAP_THRESHOLD + 2**20) == "1"

    def test_a_variable_of_the_user_is_left_to_rule(self) -> None:
        assert mapped(3 * 2**20, MALLOC_MMAP_THRESHOLD_="131072") == "1"
        assert mapped(3 * 2**20, GLIBC_TUNABLES="glibc.malloc.mmap_threshold=131072") == "1"

    def test_huge_pages_leave_the_thresholds_to_be_pinned(self) -> None:
        assert mapped(3 * 2**20, GLIBC_TUNABLES="glibc.malloc.hugetlb=1") == "0"


def test_settings_say_what_was_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_pinned", {})
    for name in (*allocator.VARIABLES, "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="not pinned"):
        allocator.settings()
    allocator.pin()
    if LINUX:
        assert allocator.settings() == {
            "mmap_threshold_bytes": 33554432,
            "trim_threshold_bytes": 1073741824,
        }
