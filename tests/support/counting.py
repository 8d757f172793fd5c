"""What suites share that count their calls, in `calls.json`."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

__all__ = ["CALLS", "calls_file", "counted"]

CALLS: Counter[str] = Counter()


def counted(name: str, work: Callable[[], Any]) -> Callable[[], Any]:
    def call() -> Any:
        CALLS[name] += 1
        return work()

    return call


@pytest.fixture(scope="module", autouse=True)
def calls_file() -> Iterator[None]:
    yield
    Path("calls.json").write_text(json.dumps(CALLS))
