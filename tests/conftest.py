"""What every test gets."""


def pytest_collection() -> None:
    """Give properties no deadline: a busy machine is no fault of the code.

    Not at import: `pytest-benchmark compare` loads this file too, where hypothesis may be absent.
    """
    from hypothesis import settings

    settings.register_profile("no deadline", deadline=None)
    settings.load_profile("no deadline")
