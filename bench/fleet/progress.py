"""Progress on standard error: one live line a node on a terminal, plain lines elsewhere."""

import sys
from time import monotonic
from typing import Any

from bench.fleet.places import Place

__all__ = ["Progress"]

PERIOD_S = 10.0
"""Between two plain lines of a node."""


class Progress:
    """How far every node is."""

    def __init__(self) -> None:
        """Show nothing yet."""
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        self._said: dict[str, float] = {}
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bars
            from rich.table import Column

            cell = TextColumn("{task.fields[cell]}", table_column=Column(no_wrap=True, ratio=1))
            name = TextColumn("{task.description}", table_column=Column(no_wrap=True))
            columns = (name, BarColumn(8), MofNCompleteColumn(), TimeRemainingColumn(), cell)
            console = Console(stderr=True)
            self._bars = Bars(
                *columns, console=console, transient=True, expand=True, refresh_per_second=2
            )

    def __enter__(self) -> "Progress":
        """Begin to show."""
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the live lines."""
        if self._bars is not None:
            self._bars.stop()

    def show(self, place: Place) -> None:
        """Show how far a node is."""
        if self._bars is not None:
            if place.name not in self._tasks:
                self._tasks[place.name] = self._bars.add_task(place.name, total=None, cell="")
            total = len(place.planned) or None
            task = self._tasks[place.name]
            self._bars.update(task, completed=place.done, total=total, cell=place.cell)
        elif place.cell and monotonic() - self._said.get(place.name, 0) >= PERIOD_S:
            self._said[place.name] = monotonic()
            left = f", about {seconds:.0f} s left" if (seconds := _left(place)) else ""
            done = f"{place.done} of {len(place.planned)} cells{left}"
            print(f"{place.name}: {done} · {place.cell}", file=sys.stderr, flush=True)


def _left(place: Place) -> float:
    """Return how long the rest may take, by the cells' shares of the budget; 0 if not known."""
    shares = [float(planned["cell"].get("weight", 1)) for planned in place.planned]
    ended = sum(shares[: place.done])
    if not ended or place.begun is None:
        return 0.0
    return (monotonic() - place.begun) / ended * sum(shares[place.done :])
