"""What every test gets."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent

RAY = (TESTS / "bench" / "fleet", TESTS / "pipeline" / "bulk" / "test_cluster.py")
"""Tests that start a Ray of several nodes; two at once on one machine hinder each other."""


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say what one worker of `--dist loadgroup` runs: a file, or all tests with a Ray."""
    for item in items:
        on_ray = any(item.path.is_relative_to(path) for path in RAY)
        item.add_marker(pytest.mark.xdist_group("ray" if on_ray else str(item.path)))
