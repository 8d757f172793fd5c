"""One task a node: submitted, followed row by row, and stopped when it must be."""

import sys
from collections.abc import Iterable, Sequence
from time import monotonic, sleep
from typing import Any

from bench.fleet import node as remote
from bench.fleet.cluster import Node
from bench.fleet.places import AGAIN, Place
from bench.fleet.progress import Progress
from pipeline.errors import counted, one_line

__all__ = ["follow", "looks", "say"]

LOOK_S = 60.0
"""Seconds in which a node must say what it is; its worker starts, and the tree is unpacked."""

INSTALL_S = 1800.0
"""The same where its environment is installed first."""

LOOK_AGAIN_S = 0.5
"""Between two questions to Ray whether a node is free; it learns that ten times a second."""

WAIT_LONGER = "wait until it is free, or raise --wait"

STOP_S = 5.0
"""Seconds in which a task may end pytest by itself; then its worker is killed."""


def looks(
    nodes: Sequence[Node], digest: str, below: str, wait: float, installing: bool
) -> list[dict[str, Any]]:
    """Ask every node at the same time what it is; why a node does not fit is under `unfit`.

    Nothing is started on a node that is busy: it is waited for up to `wait` seconds. The answer to
    `unfit` is under `remedy`, which is empty where it is to install.
    """
    import ray

    free = _free(nodes, wait)
    if installing and free:
        say(f"installing on {counted(len(free), 'node')}; it may take minutes")
    task = ray.remote(max_retries=0)(remote.look)
    asked = {node.id: task.options(**_whole(node)).remote(digest, below) for node in free}
    limit = INSTALL_S if installing else LOOK_S
    if asked:
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=limit)
    answers: list[dict[str, Any]] = []
    for node in nodes:
        if node.id not in asked:
            answers.append({"unfit": _not_free(wait), "remedy": WAIT_LONGER})
            continue
        try:
            answers.append(ray.get(asked[node.id], timeout=0))
        except ray.exceptions.GetTimeoutError:
            ray.cancel(asked[node.id], force=True)
            cause = f"it said nothing within {limit:g} s"
            answers.append({"unfit": cause, "remedy": "see ray status, and Ray's logs there"})
        except ray.exceptions.RuntimeEnvSetupError as error:
            answers.append({"unfit": _cause(error), "remedy": ""})
        except ray.exceptions.RayError as error:
            answers.append({"unfit": _cause(error), "remedy": "start Ray there again"})
    return answers


def follow(
    places: Sequence[Place],
    arguments: Sequence[str],
    below: str,
    wait: float,
    timeout: float,
    progress: Progress,
) -> bool:
    """Measure on all places at the same time; return whether Ctrl-C or a signal ended it.

    A node that is not free within `wait` seconds is given up, and one that takes longer than
    `timeout` is stopped. A second Ctrl-C raises KeyboardInterrupt.
    """
    import ray

    task = ray.remote(max_retries=0, num_returns="streaming")(remote.measured)
    running: dict[Any, Place] = {}
    stopping: list[Any] = []

    def stop(generators: Iterable[Any], fault: str, remedy: str = AGAIN) -> None:
        for generator in list(generators):
            running.pop(generator).fail(fault, remedy)
            ray.cancel(generator)
            stopping.append(generator)

    try:
        for place in places:
            place.submitted = monotonic()
            options = _whole(place.node)
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
                _not_free(wait),
                WAIT_LONGER,
            )
            busy = [g for g, place in running.items() if place.begun is not None]
            stop(
                (g for g in busy if now > (running[g].begun or now) + timeout),
                f"it was stopped after --timeout {timeout:g} s",
                "raise --timeout, or select fewer cells",
            )
    except (KeyboardInterrupt, SystemExit):  # `scratch` makes the latter of a signal
        say("stopping; Ctrl-C again ends at once")
        stop(running, "it was interrupted")
        return True
    finally:
        _stopped(stopping)
    return False


def say(line: str) -> None:
    """Print a line on standard error at once."""
    print(line, file=sys.stderr, flush=True)


def _free(nodes: Sequence[Node], wait: float) -> list[Node]:
    """Return the nodes of which Ray has given away nothing, after up to `wait` seconds."""
    from ray._private import state

    deadline = monotonic() + max(wait, 2 * LOOK_AGAIN_S)
    said = False
    while True:
        left = state.available_resources_per_node()
        free = [
            node
            for node in nodes
            if left.get(node.id, {}).get("CPU", 0) >= node.cpus
            and left[node.id].get("GPU", 0) >= node.gpus
        ]
        if len(free) == len(nodes) or monotonic() > deadline:
            return free
        if not said:
            busy = counted(len(nodes) - len(free), "node")
            say(f"waiting up to --wait {wait:g} s for {busy} that Ray uses")
            said = True
        sleep(LOOK_AGAIN_S)


def _not_free(wait: float) -> str:
    return f"it was not free within --wait {wait:g} s"


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


def _whole(node: Node) -> dict[str, Any]:
    """Return the options of a task that takes all of this node, or does not run."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    strategy = NodeAffinitySchedulingStrategy(node.id, soft=False)
    return {"scheduling_strategy": strategy, "num_cpus": node.cpus, "num_gpus": node.gpus}


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
