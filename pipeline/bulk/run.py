"""One run: plan, run what is missing, watch, report."""

import argparse
import json
import sys
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.bulk import cluster, dataset, local, table
from pipeline.bulk.plan import Plan, batch_of, limit_of, plan
from pipeline.bulk.report import Tally
from pipeline.bulk.stages import NAMES, PREPROCESS
from pipeline.errors import plain
from pipeline.exits import DOES_NOT_HOLD, HOLDS
from pipeline.progress import progress

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["run"]


class _TooManyErrorsError(Exception):
    pass


def run(options: argparse.Namespace) -> int:
    """Do what is missing of the options' prompts or images; return the exit code."""
    begun = time.perf_counter()
    made = plan(options)
    out: Path = options.out
    with dataset.locked(out):
        dataset.claim(out, made.settings)
        dataset.sweep(out)
        done = dataset.read(out)
        missing = done.missing(made.items)
        before = len(made.items) - len(missing)
        if before:
            items = "item was" if before == 1 else "items were"
            print(f"{before} {items} done before", file=sys.stderr)
        tally = Tally()
        stopped = False
        if len(missing):
            stopped = _watch(missing, made, options, tally)
        report = tally.report(time.perf_counter() - begun, before, bool(options.ray))
    for id_, error in tally.errors:
        print(plain(f"{id_}: {error}"), file=sys.stderr)
    if tally.failed > len(tally.errors):
        more = tally.failed - len(tally.errors)
        print(f"and {more} more, in the column error", file=sys.stderr)
    if stopped:
        limit = f"more than --max-errors {options.max_errors}"
        print(f"stopped: {tally.failed} errors, {limit}; the same command goes on", file=sys.stderr)
    failed = done.failed + tally.failed
    if options.json:
        print(json.dumps(report.as_dict() | {"failed_in_dataset": failed}, indent=2))
    else:
        table.show(report, failed)
    return DOES_NOT_HOLD if failed or stopped else HOLDS


def _watch(missing: "pa.Table", made: Plan, options: argparse.Namespace, tally: Tally) -> bool:
    """Run the missing items; return whether too many have failed."""
    most = limit_of(options.max_errors, len(missing))
    try:
        with (
            progress("run", len(missing), "item") as show,
            closing(_results(missing, made, options)) as results,
        ):
            for result in results:
                tally.add(result)
                rates = [f"{name} {rate:.3g}/s" for name, rate in tally.rates().items()]
                errors = f"{tally.failed} error{'' if tally.failed == 1 else 's'}"
                show(tally.items, ", ".join([errors, *rates]))
                if tally.failed > most:
                    raise _TooManyErrorsError
    except _TooManyErrorsError:
        return True
    return False


def _results(
    missing: "pa.Table", made: Plan, options: argparse.Namespace
) -> "Generator[pa.Table, None, None]":
    batch = batch_of(len(missing), options.batch)
    if not options.ray:
        yield from local.run(missing, batch, made.settings, options.out, made.workers)
        return
    stages = NAMES if made.settings.draws else NAMES[NAMES.index(PREPROCESS) :]
    with cluster.connected(options.ray, stages, made.workers):
        yield from cluster.run(
            missing, batch, made.settings, options.out, made.workers, options.gpus_per_worker
        )
