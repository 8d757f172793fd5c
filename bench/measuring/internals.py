"""The one place that reaches into pytest-benchmark, beyond its options, hooks and fixture."""

from typing import Any

__all__ = ["READ_AGAINST", "is_disabled", "samples", "withdraw"]

READ_AGAINST = "5.3.1"
"""The version of pytest-benchmark whose `fixture.py`, `session.py` and `stats.py` were read."""


def is_disabled(benchmark: Any) -> bool:
    """Return whether the plugin makes one call and measures nothing (`--benchmark-disable`)."""
    return bool(benchmark.disabled)


def samples(benchmark: Any) -> list[float]:
    """Return the seconds of the rounds, as the plugin's own list: what is changed is published.

    Its statistics are computed from this list when the session ends.
    """
    data: list[float] = benchmark.stats.stats.data
    return data


def withdraw(benchmark: Any) -> None:
    """Keep a test that failed out of the plugin's JSON, which asks `has_error`, and its table."""
    benchmark.has_error = True
    if benchmark.stats is not None:
        samples(benchmark).clear()
