"""Progress on standard error: a bar on a terminal, a plain line at the end elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress"]


@contextmanager
def progress(label: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Give a function that is told how many of `total` are done."""
    begun = time.monotonic()
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (label, BarColumn(), MofNCompleteColumn(), unit, TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda done: bar.update(task, completed=done)
    else:
        yield lambda done: None
    seconds = time.monotonic() - begun
    print(f"{label}: {total} {unit} in {seconds:.1f} s", file=sys.stderr, flush=True)
