"""One task a node: submitted, followed row by row, and stopped when it must be."""

import sys
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Any

from bench.fleet import node as remote
from bench.fleet.cluster import Node
from bench.fleet.places import Place
from bench.fleet.progress import Progress
from pipeline.errors import one_line

__all__ = ["follow", "looks"]

LOOK_S = 60.0
"""Seconds in which a node must say what it is; its worker starts, and the tree is unpacked."""

INSTALL_S = 1800.0
"""The same where its environment is installed first."""

STOP_S = 5.0
"""Seconds in which a task may end pytest by itself; then its worker is killed."""


def looks(nodes: Sequence[Node], digest: str, below: str, installing: bool) -> list[dict[str, Any]]:
    """Ask every node at the same time what it is; why a node does not fit is under `unfit`."""
    import ray

    task = ray.remote(max_retries=0, num_cpus=0)(remote.look)
    asked = [task.options(**_only(node)).remote(digest, below) for node in nodes]
    limit = INSTALL_S if installing else LOOK_S
    ray.wait(asked, num_returns=len(asked), timeout=limit)
    answers = []
    for reference in asked:
        try:
            answers.append(ray.get(reference, timeout=0))
        except ray.exceptions.GetTimeoutError:
            ray.cancel(reference, force=True)
            answers.append({"unfit": f"it said nothing within {limit:g} s"})
        except ray.exceptions.RayError as error:
            answers.append({"unfit": _cause(error)})
    return answers


def follow(
    places: Sequence[Place],
    arguments: Sequence[str],
    below: str,
    wait: float,
    timeout: float,
    progress: Progress,
) -> bool:
    """Measure on all places at the same time; return whether Ctrl-C ended it.

    A node that is not free within `wait` seconds is given up, and one that takes longer than
    `timeout` is stopped. A second Ctrl-C raises KeyboardInterrupt.
    """
    import ray

    task = ray.remote(max_retries=0, num_returns="streaming")(remote.measured)
    running: dict[Any, Place] = {}
    stopping: list[Any] = []

    def stop(generators: Iterable[Any], fault: str) -> None:
        for generator in list(generators):
            running.pop(generator).fail(fault)
            ray.cancel(generator)
            stopping.append(generator)

    try:
        for place in places:
            node = place.node
            options = _only(node) | {"num_cpus": node.cpus, "num_gpus": node.gpus}
            place.submitted = monotonic()
            running[task.options(**options).remote(list(arguments), below)] = place
        while running:
            ready, _ = ray.wait(list(running), timeout=1.0)
            for generator in ready:
                place = running[generator]
                if not _step(generator, place):
                    del running[generator]
                progress.show(place)
            now = monotonic()
            idle = [g for g, place in running.items() if place.begun is None]
            stop(
                (g for g in idle if now > running[g].submitted + wait),
                f"it was not free within --wait {wait:g} s",
            )
            busy = [g for g, place in running.items() if place.begun is not None]
            stop(
                (g for g in busy if now > (running[g].begun or now) + timeout),
                f"it was stopped after --timeout {timeout:g} s",
            )
    except KeyboardInterrupt:
        print("stopping; Ctrl-C again ends at once", file=sys.stderr, flush=True)
        stop(running, "it was interrupted")
        return True
    finally:
        _stopped(stopping)
    return False


def _step(generator: Any, place: Place) -> bool:
    """Take the next event of a place; return whether more may follow."""
    import ray

    try:
        kind, data = ray.get(next(generator))
    except StopIteration:
        return False
    except ray.exceptions.RayError as error:
        place.fail(_cause(error))
        return False
    if kind == remote.BEGUN:
        place.begin()
    elif kind == remote.LINES:
        place.add(data)
    else:
        place.end(*data)
        place.seconds = monotonic() - (place.begun or place.submitted)
    return True


def _stopped(generators: Sequence[Any]) -> None:
    """Wait until cancelled tasks have ended their pytest; then kill what has not."""
    import ray

    deadline = monotonic() + STOP_S
    left = list(generators)
    while left and monotonic() < deadline:
        ready, left = ray.wait(left, timeout=0.2)
        for generator in ready:
            try:
                ray.get(next(generator))
                left.append(generator)
            except (StopIteration, ray.exceptions.RayError):
                pass
    for generator in left:
        ray.cancel(generator, force=True)


def _only(node: Node) -> dict[str, Any]:
    """Return the options of a task that runs on this node or not at all."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node.id, soft=False)}


def _cause(error: Exception) -> str:
    """Say in a few words why a task of Ray ended."""
    import ray

    known = {
        ray.exceptions.NodeDiedError: "the node died",
        ray.exceptions.TaskUnschedulableError: "the node died",
        ray.exceptions.OutOfMemoryError: "Ray killed its worker: the node had no memory left",
        ray.exceptions.WorkerCrashedError: "its worker was killed",
        ray.exceptions.ObjectLostError: "the node died",
    }
    for kind, text in known.items():
        if isinstance(error, kind):
            return text
    if isinstance(error, ray.exceptions.RuntimeEnvSetupError):  # a traceback: its last line says it
        return next(filter(str.strip, reversed(str(error).splitlines())), "").strip()
    return one_line(getattr(error, "cause", None) or error)
