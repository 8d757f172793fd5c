"""pytest-benchmark's JSON of a run that has left a journal alone."""

from datetime import UTC, datetime
from typing import Any

from bench.measuring.internals import READ_AGAINST, statistics
from bench.results import record
from bench.results.cell import MEASURED, Row
from bench.results.run import Run

__all__ = ["document"]


def document(run: Run) -> dict[str, Any]:
    """Return what `--benchmark-json` would have written of these rows."""
    hardware, software = (run.machine.get(name) or {} for name in ("hardware", "software"))
    output: dict[str, Any] = {
        "machine_info": {
            "machine": hardware.get("architecture"),
            "cpu": {"brand_raw": hardware.get("cpu"), "count": hardware.get("cores")},
            "python_implementation": software.get("implementation"),
            "python_version": software.get("python"),
            "system": software.get("system"),
        },
        "commit_info": dict(run.commit),
        "benchmarks": [_benchmark(row) for row in run.rows if row.status == MEASURED],
        "datetime": run.begun or datetime.now(UTC).isoformat(),
        "version": READ_AGAINST,
    }
    record.update(output, run.rows, run.machine)
    return output


def _benchmark(row: Row) -> dict[str, Any]:
    test = row.name.rpartition("::")[2]
    return {
        "group": row.cell.family,
        "name": test,
        "fullname": row.name,
        "params": dict(row.cell.axes),
        "param": test.partition("[")[2].removesuffix("]") or None,
        "extra_info": {"cell": row.as_dict() | {"samples": []}},
        "options": {},
        "stats": statistics(row.samples) | {"iterations": row.iterations},
    }
