"""Cluster: the stages on Ray Data, each with a pool of its own that grows and shrinks.

Ray schedules, retries and moves data; nothing here does. Each stage runs in actors, which have the
next batch at hand: between two tasks Ray Data (2.60) may wait 0.1 s for tasks of other stages. Each
batch is one block, so that a batch that is run again, after a node is lost, writes the same part.
"""

import logging
import os
import socket
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.bulk import dataset
from pipeline.bulk.settings import Settings
from pipeline.bulk.stages import (
    FORWARD,
    GENERATE,
    PREPROCESS,
    Forward,
    Generate,
    Preprocess,
    traced,
)
from pipeline.errors import PipelineError, one_line
from pipeline.preprocessing import preprocess as preprocessing

if TYPE_CHECKING:
    import pyarrow as pa
    import ray.data

__all__ = ["LOCAL", "check_address", "connected", "run"]

AUTO, LOCAL = "auto", "local"

RETRIES = 3
"""How often a batch is run again, and an actor started again: an item that kills its process
would otherwise come back for ever."""

CONNECT_S = 5.0

IN_FLIGHT = 2
"""Batches that an actor has: the one at hand, and one that is brought meanwhile."""

JULIA = {
    "PYTHON_JULIACALL_HANDLE_SIGNALS": "no",
    "PYTHON_JULIACALL_THREADS": "1",
}
"""The environment of the actors that score. A worker process of another environment, which may
have imported torch before Julia, is never reused for them."""


def check_address(address: str) -> None:
    """Raise `PipelineError` for an address that nothing answers at, within seconds."""
    given = f"--ray {address}"
    if address in (AUTO, LOCAL):
        return
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdigit() and 0 < int(port) < 2**16):
        expected = "auto, local, or an address such as 10.0.0.1:6379"
        raise PipelineError(given, expected, "change --ray")
    try:
        with suppress(TimeoutError):
            socket.create_connection((host, int(port)), CONNECT_S).close()
            return
        reason = f"no answer within {CONNECT_S:.0f} s"
    except OSError as error:
        reason = error.strerror or one_line(error)
    raise _no_cluster(given, reason)


@contextmanager
def connected(address: str, stages: Sequence[str], workers: Mapping[str, int]) -> Iterator[None]:
    """Connect to a cluster, or start one of this machine alone that ends with the block.

    One that is started has a CPU for each worker that `workers` names. Raises `PipelineError`
    where there is no cluster, or it is too small for one worker a stage.
    """
    import ray

    given = f"--ray {address}"
    was_connected = ray.is_initialized()
    options: dict[str, Any] = {}
    if address == LOCAL:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        asked = sum(workers.get(stage, 1) for stage in stages)
        options = {"num_cpus": max(cores or 1, asked), "include_dashboard": False}
    if not was_connected:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # errors of ours are raised
        try:
            ray.init(address, log_to_driver=False, logging_level="ERROR", **options)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise _no_cluster(given, one_line(error)) from error
    try:
        _require_cpus(given, len(stages))
        yield
    finally:
        if not was_connected:
            ray.shutdown()


def run(
    items: "pa.Table",
    batch: int,
    settings: Settings,
    out: Path,
    workers: Mapping[str, int],
    gpus: float = 1.0,
) -> Iterator["pa.Table"]:
    """Yield what `Forward` returns for each batch of items, as it is done.

    `workers` are the most of each stage, where a stage is named; `gpus` is what one worker of
    `generate` takes of an accelerator on CUDA. Raises `PipelineError` for what a worker raises.
    """
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True  # or a worker's error loses its class
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it raises is said once
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")  # nothing else bounds
        rows = _pipeline(items, batch, settings, out.resolve(), workers, gpus)
    try:
        yield from rows.iter_batches(batch_size=None, batch_format="pyarrow")
    except ray.exceptions.RayError as error:
        raise _of_worker(error) from error


def _pipeline(
    items: "pa.Table",
    batch: int,
    settings: Settings,
    out: Path,
    workers: Mapping[str, int],
    gpus: float,
) -> "ray.data.Dataset":
    import ray
    from ray.data import ActorPoolStrategy

    arguments = {"settings": settings, "out": out}
    # Batches wait for a node that is lost until Ray knows; restarts bound a batch that kills.
    bounded = {"max_restarts": RETRIES, "max_task_retries": -1}
    blocks = [items.slice(first, batch) for first in range(0, len(items), batch)]

    cpus = int(ray.cluster_resources().get("CPU", 1))
    all_fit = sum(workers.values()) <= cpus

    def actors(stage: str, default: int) -> Any:
        most = workers.get(stage, max(1, default))
        return ActorPoolStrategy(
            min_size=1,
            max_size=most,
            initial_size=most if stage in workers and all_fit else 1,
            max_tasks_in_flight_per_actor=IN_FLIGHT,
        )

    rows = ray.data.from_arrow(blocks)
    # A block a call, since Ray would join a short one with whichever comes next; with GPUs it wants
    # a number, and there the blocks still come in order.
    common: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow"}
    if settings.draws:
        on_cuda = settings.device == "cuda"
        devices = int(ray.cluster_resources().get("GPU", 0) / gpus) if on_cuda else cpus // 2
        rows = rows.map_batches(
            _Generate,
            fn_constructor_kwargs=arguments,
            compute=actors(GENERATE, devices),
            **common,
            **bounded,
            **({"num_gpus": gpus, "batch_size": batch} if on_cuda else {"num_cpus": 1}),
        )
    rows = rows.map_batches(
        _Preprocess,
        fn_constructor_kwargs=arguments,
        compute=actors(PREPROCESS, cpus),
        num_cpus=1,
        **common,
        **bounded,
    )
    rows = rows.map_batches(
        _Forward,
        fn_constructor_kwargs=arguments,
        compute=actors(FORWARD, cpus // 4),
        num_cpus=1,
        runtime_env={"env_vars": JULIA},
        **common,
        **bounded,
    )
    return rows


class _Generate:
    def __init__(self, settings: Settings, out: Path) -> None:
        dataset.require_shared(out, settings)
        self._stage = Generate(settings, out)

    def __call__(self, table: "pa.Table") -> "pa.Table":
        return traced(GENERATE, self._stage, table)


class _Preprocess:
    def __init__(self, settings: Settings, out: Path) -> None:
        preprocessing.load(usual=True)
        self._stage = Preprocess(settings, out)

    def __call__(self, table: "pa.Table") -> "pa.Table":
        return traced(PREPROCESS, self._stage, table)


class _Forward:
    """Scores in a thread of its own: Julia may be called only from the one that started it.

    Ray Data makes an actor's object in another thread than it calls it in.
    """

    def __init__(self, settings: Settings, out: Path) -> None:
        dataset.require_shared(out, settings)
        self._thread = ThreadPoolExecutor(1, FORWARD)
        self._stage = self._thread.submit(Forward, settings, out).result()

    def __call__(self, table: "pa.Table") -> "pa.Table":
        return self._thread.submit(traced, FORWARD, self._stage, table).result()


def _of_worker(error: BaseException) -> PipelineError:
    """Return the error that a worker raised, or one that says how a worker ended."""
    cause: BaseException | None = error
    while cause is not None:
        inner = getattr(
            cause, "cause", None
        )  # Ray's, which is an instance of its cause's class too
        if isinstance(cause, PipelineError) and inner is None:
            return cause
        cause = inner or cause.__cause__
    given, expected = "a worker of the cluster", f"one that goes on ({one_line(error)})"
    return PipelineError(given, expected, "look at Ray's logs; the same command goes on")


def _require_cpus(given: str, least: int) -> None:
    import ray

    cpus = int(ray.cluster_resources().get("CPU", 0))
    if cpus < least:
        expected = f"at least {least} CPUs, one for each worker, but the cluster has {cpus}"
        remedy = "start its nodes with --num-cpus, which Ray does not check, or add nodes"
        raise PipelineError(given, expected, remedy)


def _no_cluster(given: str, reason: str) -> PipelineError:
    remedy = "start one: ray start --head; or use --ray local"
    return PipelineError(given, f"a Ray cluster ({reason})", remedy)
