"""What every test gets, and what the workers of pytest-xdist take first."""

from typing import Any

import pytest

RAY = ("tests/bench/fleet/", "tests/pipeline/bulk/test_cluster.py")
"""Tests that start a Ray of several nodes; two at once on one machine hinder each other."""

SIMULATED = ("tests/bench/test_first_contact.py", "tests/bench/test_on_simulated_cuda.py")
"""Tests whose runs are forks of one process, which takes its imports once."""

PAGES = "tests/test_pages.py"
"""Tests that share nothing: any worker may take any of them."""

LONGEST = (
    *RAY,
    "tests/bench/test_own_repository.py",
    "tests/pipeline/validation/test_validation.py",
    *SIMULATED,
    PAGES,
    "tests/bench/test_bench.py",
    "tests/bench/comparing/test_ab",
    "tests/pipeline/bulk/test_local.py",
)
"""Tests that take a minute or more: they come first, so that no worker ends with one alone."""


def pytest_collection() -> None:
    """Give properties no deadline: a busy machine is no fault of the code.

    Not at import: `pytest-benchmark compare` loads this file too, where hypothesis may be absent.
    """
    try:
        from hypothesis import settings
    except ModuleNotFoundError:
        line = "pytest: expected hypothesis, which is not installed; pip install -e '.[test]'"
        raise pytest.UsageError(line) from None
    settings.register_profile("no deadline", deadline=None)
    settings.load_profile("no deadline")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let a worker of xdist begin with what takes longest."""
    if hasattr(config, "workerinput"):
        items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    starts = [item.nodeid.startswith(path) for path in LONGEST]
    return starts.index(True) if True in starts else len(LONGEST)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let one worker run a file as with `--dist loadfile`, but all tests of a group.

    Not by marks and `--dist loadgroup`: xdist 3.8 sets a name that pytest 9.2 no longer reads.
    """
    from xdist.scheduler import LoadFileScheduling

    class Groups(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith(PAGES):
                return nodeid
            for group in (RAY, SIMULATED):
                if nodeid.startswith(group):
                    return group[0]
            return str(super()._split_scope(nodeid))

    return Groups(config, log) if config.getoption("dist") == "loadfile" else None
