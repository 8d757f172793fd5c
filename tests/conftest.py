"""What every test gets."""

import pytest


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
