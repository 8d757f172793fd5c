"""Progress on standard error: a bar on a terminal, elsewhere plain lines, the last at the end."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.errors import counted

__all__ = ["progress"]

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress(
    label: str, total: int, unit: str, seconds: float | None = None
) -> Iterator[Callable[..., None]]:
    """Yield a function to call with the number of `total` that are done, and what else to say.

    `unit` is one of them. Plain lines lie at least `seconds` apart, by default
    `SECONDS_BETWEEN_LINES`.
    """
    apart = SECONDS_BETWEEN_LINES if seconds is None else seconds
    begun = time.monotonic()
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        console = Console(stderr=True)
        rate = "{task.fields[rate]}"
        columns = (
            label,
            BarColumn(),
            MofNCompleteColumn(),
            f"{unit}s",
            rate,
            TimeRemainingColumn(),
            "{task.fields[note]}",
        )
        to_terminal = sys.stdout.isatty()  # else what is printed belongs in a file or a pipe
        with Progress(
            *columns, console=console, transient=True, redirect_stdout=to_terminal
        ) as bar:
            task = bar.add_task(label, total=total, rate="", note="")

            def show(done: int, note: str = "") -> None:
                rate = f"{_rate(done, begun):.1f} {unit}s/s"
                bar.update(task, completed=done, rate=rate, note=note)

            yield show
    else:
        last = begun

        def show(done: int, note: str = "") -> None:
            nonlocal last
            if time.monotonic() - last >= apart:
                last = time.monotonic()
                rate = _rate(done, begun)
                left = f", {(total - done) / rate:.0f} s left" if rate else ""
                line = f"{label}: {done} of {counted(total, unit)}, {rate:.1f} {unit}s/s{left}"
                line += f"; {note}" if note else ""
                print(line, file=sys.stderr, flush=True)

        yield show
    took = time.monotonic() - begun
    print(f"{label}: {counted(total, unit)} in {took:.1f} s", file=sys.stderr, flush=True)


def _rate(done: int, begun: float) -> float:
    return done / max(time.monotonic() - begun, 1e-9)
