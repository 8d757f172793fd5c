"""The report: how busy each stage was, where the bottleneck is, and what to raise."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.bulk.stages import FORWARD, GENERATE, NAMES, PREPROCESS

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Report", "StageReport", "Tally"]

BUSY = 0.5
"""Below this share of its time, no stage was what a run waited for."""


SHOWN = 10
"""Errors that are kept to be printed; the dataset has them all."""


@dataclass(frozen=True)
class StageReport:
    """One stage of a run."""

    stage: str
    workers: int
    """Threads or actors that did some of the work."""
    items: int
    items_per_second: float
    """Of one worker at work, times the workers: what the stage could do if it never waited."""
    busy: float
    """Share of the workers' time, from the first batch to the last, that they worked."""
    memory_bytes: int
    """The largest resident memory of one of its processes, seen after each batch."""


@dataclass(frozen=True)
class Report:
    """One run."""

    items: int
    failed: int
    done_before: int
    seconds: float
    """From the first batch's begin to the last one's end: models load before."""
    startup_seconds: float
    """The rest of the run: checking the input, importing libraries, loading models."""
    items_per_second: float
    stages: Sequence[StageReport]
    bottleneck: str
    advice: str

    def as_dict(self) -> dict[str, Any]:
        """Return the values by name, for JSON."""
        return asdict(self)


@dataclass
class _Stage:
    seconds: float = 0.0
    items: int = 0
    memory: int = 0
    workers: set[str] = field(default_factory=set)


class Tally:
    """Adds up the traces of a run's batches."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.items = self.failed = 0
        self.errors: list[tuple[str, str]] = []
        self._begun, self._ended = float("inf"), 0.0
        self._stages: dict[str, _Stage] = {}

    def add(self, table: "pa.Table") -> None:
        """Add what the last stage returned for a batch."""
        self.items += len(table)
        for row in table.select(["id", "error"]).to_pylist():
            if row["error"] is not None:
                self.failed += 1
                if len(self.errors) < SHOWN:
                    self.errors.append((row["id"], row["error"]))
        for name in NAMES:
            if name in table.column_names:
                for trace in table[name].to_pylist():
                    self._add_trace(name, trace)

    def _add_trace(self, name: str, trace: Mapping[str, Any]) -> None:
        stage = self._stages.setdefault(name, _Stage())
        stage.seconds += trace["seconds"]
        stage.items += 1
        stage.memory = max(stage.memory, trace["memory"])
        stage.workers.add(trace["worker"])
        self._begun = min(self._begun, trace["begun"])
        self._ended = max(self._ended, trace["ended"])

    def rates(self) -> dict[str, float]:
        """Return what each stage does a second while it works."""
        return {
            name: stage.items / max(stage.seconds, 1e-9) * len(stage.workers)
            for name, stage in self._stages.items()
        }

    def report(self, seconds: float, done_before: int, on_ray: bool) -> Report:
        """Return the report of a run that took `seconds`, loading included."""
        span = max(self._ended - self._begun, 1e-9) if self.items else 0.0
        rates = self.rates()
        stages = [
            StageReport(
                name,
                len(stage.workers),
                stage.items,
                rates[name],
                min(1.0, stage.seconds / (span * len(stage.workers))),
                stage.memory,
            )
            for name, stage in self._stages.items()
        ]
        busiest = max(stages, key=lambda stage: stage.busy, default=None)
        slow = busiest is not None and busiest.busy >= BUSY
        name = busiest.stage if busiest is not None and slow else ""
        return Report(
            items=self.items,
            failed=self.failed,
            done_before=done_before,
            seconds=span,
            startup_seconds=max(0.0, seconds - span),
            items_per_second=self.items / span if span else 0.0,
            stages=stages,
            bottleneck=name,
            advice=_advice(name, on_ray) if self.items else "",
        )


def _advice(bottleneck: str, on_ray: bool) -> str:
    """Return what makes a run with this bottleneck faster."""
    if not bottleneck:
        return "no stage was busy more than half the time: the run is too short to say more"
    ray = {
        GENERATE: "add GPUs, or let several share one: --gpus-per-worker 0.5",
        PREPROCESS: "raise --workers preprocess=N, or add nodes with CPUs",
        FORWARD: "raise --workers forward=N",
    }
    local = {
        GENERATE: "use several processes or GPUs: --ray local, or --ray auto on a cluster",
        PREPROCESS: "raise --workers preprocess=N",
        FORWARD: "use several processes: --ray local",
    }
    return (ray if on_ray else local)[bottleneck]
