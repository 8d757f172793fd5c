"""The one place that reaches into pytest-benchmark, beyond its options, hooks and fixture."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

__all__ = [
    "READ_AGAINST",
    "avoid_loop",
    "commit_info",
    "compared",
    "gate",
    "is_disabled",
    "iterations",
    "refuse_replacements",
    "samples",
    "statistics",
    "take_over",
    "withdraw",
]

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


def iterations(benchmark: Any) -> int:
    """Return how many calls the plugin grouped into one round."""
    return int(benchmark.stats.iterations)


def withdraw(benchmark: Any) -> None:
    """Keep a test that failed out of the plugin's JSON, which asks `has_error`, and its table."""
    benchmark.has_error = True
    if benchmark.stats is not None:
        samples(benchmark).clear()


def take_over(
    config: pytest.Config,
    hide_table: bool,
    write_json: Callable[[dict[str, Any]], None],
    failed: Callable[[OSError], None],
    regressed: Callable[[], None],
) -> None:
    """Let `write_json` write what `--benchmark-json` asks for; hide the plugin's own table.

    `failed` is told of an error of the plugin's own files, such as a full disk for
    `--benchmark-save`: raised, it would cost the tables too. `regressed` is called where
    `--benchmark-compare-fail` fails, which the plugin says and then raises as an internal error.
    """
    from pytest_benchmark.session import PerformanceRegression

    session = config._benchmarksession  # type: ignore[attr-defined]
    finish, check = session.finish, session.check_regressions

    def guarded() -> None:
        try:
            finish()
        except OSError as error:
            failed(error)

    def checked() -> None:
        try:
            check()
        except PerformanceRegression:
            regressed()

    session.save_json, session.finish, session.check_regressions = write_json, guarded, checked
    session.quiet = session.quiet or hide_table


def commit_info() -> dict[str, Any]:
    """Return what the plugin says of the commit here, without the name of the folder."""
    from pytest_benchmark.utils import get_commit_info

    commit: dict[str, Any] = get_commit_info()  # type: ignore[no-untyped-call]
    return {key: value for key, value in commit.items() if key != "project"}


def compared(config: pytest.Config) -> list[Path]:
    """Return the saved files that `--benchmark-compare` named."""
    session = config._benchmarksession  # type: ignore[attr-defined]
    folder = getattr(session.storage, "path", Path())  # their names are relative to it
    return [folder / path for path in session.compared_mapping or ()]


def gate(config: pytest.Config) -> str:
    """Return the option of `compare` that stands for `--benchmark-compare-fail`; empty for none."""
    from pytest_benchmark.utils import PercentageRegressionCheck

    for check in config.option.benchmark_compare_fail or ():
        if isinstance(check, PercentageRegressionCheck):
            return f" --fail-on slower:{check.threshold:g}%"
    return ""


def avoid_loop(config: pytest.Config) -> None:
    """Give the plugin no folder where its own is a link to itself: it would raise.

    The journal has its place in that folder too, and says that it cannot be written.
    """
    try:
        Path(config.option.benchmark_storage.removeprefix("file://")).resolve()
    except (OSError, RuntimeError):
        config.option.benchmark_storage = f"file://{os.devnull}"


def refuse_replacements(config: pytest.Config) -> None:
    """Raise `pytest.UsageError` where pytest-codspeed has put its own fixture in place."""
    codspeed = getattr(config.option, "codspeed", False)
    variable = config.pluginmanager.hasplugin("codspeed") and "CODSPEED_ENV" in os.environ
    if codspeed or variable:
        name = "--codspeed" if codspeed else "CODSPEED_ENV"
        raise pytest.UsageError(
            f"{name}: expected pytest-benchmark's fixture, which CodSpeed replaces; leave it out"
        )


def statistics(data: tuple[float, ...]) -> dict[str, Any]:
    """Return the plugin's statistics of these samples, as its JSON has them."""
    from pytest_benchmark import stats as plugin

    stats: Any = plugin.Stats()  # type: ignore[no-untyped-call]
    stats.data = list(data)
    summary: dict[str, Any] = stats.as_dict()
    return summary | {"data": list(data)}
