"""The cluster: reached or started, its living nodes, and which of them a selection means."""

import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

from bench.fleet.packing import Package
from pipeline.errors import PipelineError, one_line

__all__ = ["Node", "connected", "nodes", "parse_selector", "selected"]

ANSWER_S = 3.0
"""Seconds in which an address must answer; Ray itself asks for two minutes."""

STOP_S = 10.0
"""Seconds in which the processes of our own Ray end after it was stopped."""

HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""The preface of HTTP/2 with empty settings (RFC 9113, 3.4): gRPC, which Ray speaks, answers it."""

SETTINGS = 4
"""The type of HTTP/2's first frame, its fourth byte."""

OWN = {
    "RAY_RUNTIME_ENV_IGNORE_GITIGNORE": "1",  # `packing` has asked git itself
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what Ray prints when a node dies, `log_to_driver` or not
    "RAY_worker_niceness": "0",
}
"""Settings of Ray, unless the user has set them; the last is for a Ray of our own."""

LONGEST = 40
"""Characters of a folder of Ray's, which puts sockets below it: their paths have at most 103."""

Selector = tuple[str, str]


@dataclass(frozen=True)
class Node:
    """A living node, as Ray knows it."""

    id: str
    cpus: float
    gpus: float
    labels: Mapping[str, str]
    """Labels and resources without those that name a node or an address."""


@contextmanager
def connected(address: str, package: Package, packages: Sequence[str]) -> Iterator[list[int]]:
    """Reach the cluster at `address`, or start a Ray of our own where that is empty.

    Every worker gets the package as its working directory, and an environment with `packages` if
    there are any. At the end, Ctrl-C and signals included, our own Ray is stopped, and its folder
    removed. Gives SIGTERM and SIGHUP once heard: where one comes while Ray works, Ray raises
    KeyboardInterrupt instead of what the handler raises. Raises `PipelineError`.
    """
    if find_spec("ray") is None:
        raise PipelineError("fleet", "Ray, which is not installed", 'pip install -e ".[cluster]"')
    for name, value in OWN.items():
        os.environ.setdefault(name, value)
    import ray
    from ray.exceptions import RayError

    if address:
        _ask(address)
    else:
        line = "starting a Ray on this machine; it is stopped at the end"
        print(line, file=sys.stderr, flush=True)
    # Otherwise a node unpacks the tree, or installs, as soon as Ray is joined, busy or not.
    config = {"eager_install": False}
    environment: dict[str, Any] = {"working_dir": str(package.folder), "config": config}
    if packages:
        environment["pip"] = {"packages": list(packages), "pip_check": False}
    own: dict[str, Any] = {} if address else {"include_dashboard": False}
    if not address and len(str(package.folder.parent)) <= LONGEST:
        own["_temp_dir"] = str(package.folder.parent)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}
    heard: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        if callable(handler := handlers[number]):
            handler(number, frame)

    session = None
    try:
        try:
            context = ray.init(
                address=address or "local",
                runtime_env=environment,
                log_to_driver=False,
                logging_level="ERROR",
                **own,
            )
        except (OSError, RuntimeError, ValueError, SystemExit, RayError) as error:
            for sent in numbers:  # Ray's own handler, while it starts, exits with the number
                if isinstance(error, SystemExit) and error.code in (sent, 128 + sent):
                    sys.exit(128 + sent)
            expected = f"a Ray cluster that this Ray can join ({one_line(error)})"
            remedy = "run it on a node of the cluster, with its versions of Ray and Python"
            if not address:
                expected = f"a Ray that starts here ({one_line(error)})"
                remedy = "mend that, or start one by hand and name it with --address"
            raise PipelineError(
                f"--address {address}" if address else "fleet", expected, remedy
            ) from error
        session = None if address else Path(context.address_info["session_dir"])
        for number, handler in handlers.items():  # Ray's own for SIGTERM aborts the process
            is_ours = callable(handler) and number != signal.SIGINT
            signal.signal(number, hear if is_ours else handler)
        try:
            yield heard
        except KeyboardInterrupt:
            if heard:
                sys.exit(128 + heard[0])
            raise
    finally:
        for number in numbers:  # a Ray of our own must not stay
            signal.signal(number, signal.SIG_IGN)
        _shut_down(session)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def nodes() -> list[Node]:
    """Return the living nodes that offer a CPU; raises `PipelineError` where there is none."""
    import ray

    found = []
    for node in ray.nodes():
        resources = node["Resources"]
        if node["Alive"] and resources.get("CPU"):
            labels = {
                key: f"{value:g}" if isinstance(value, float) else str(value)
                for key, value in (resources | node["Labels"]).items()
                if not key.startswith(("node:", "ray.io/node-id")) and "memory" not in key
            }
            cpus, gpus = resources["CPU"], resources.get("GPU", 0)
            found.append(Node(node["NodeID"], cpus, gpus, labels))
    if not found:
        raise PipelineError(
            "fleet", "a living node that offers a CPU", "ray start one, see ray status"
        )
    return sorted(found, key=lambda node: node.id)


def parse_selector(text: str) -> Selector:
    """Read `key=value`; raises `PipelineError` for anything else."""
    key, sign, value = text.partition("=")
    if not (key and sign and value):
        raise PipelineError(f"--select {text}", "key=value, such as GPU=1", "change --select")
    return key, value


def selected(every: Sequence[Node], selectors: Sequence[Selector]) -> list[Node]:
    """Return the nodes that have all of these labels, or resources of that amount.

    Raises `PipelineError`, with the labels that there are, where no node has them.
    """
    chosen = [node for node in every if all(node.labels.get(key) == v for key, v in selectors)]
    if not chosen:
        known = sorted({f"{key}={value}" for node in every for key, value in node.labels.items()})
        given = " ".join(f"--select {key}={value}" for key, value in selectors)
        raise PipelineError(given, f"a node that has it, of {', '.join(known)}", "change --select")
    return chosen


def _shut_down(session: Path | None) -> None:
    """Leave the cluster, or stop our own Ray, and then remove the folder of its session."""
    import psutil
    import ray

    children = [] if session is None else psutil.Process().children(recursive=True)
    ray.shutdown()
    if session is not None:
        psutil.wait_procs(children, timeout=STOP_S)  # they write there until they end
        shutil.rmtree(session, ignore_errors=True)
        latest = session.with_name("session_latest")
        if latest.is_symlink() and not latest.exists():
            latest.unlink()


def _ask(address: str) -> None:
    """Raise `PipelineError` where nobody answers at `address` as Ray's head does."""
    from ray._private import services  # Ray offers no other way to learn what `auto` means

    remedy = "ray start --head on one machine, and name what it prints, such as 10.0.0.1:6379"
    given = f"--address {address}"
    if "://" in address:
        raise PipelineError(given, "auto or HOST:PORT, on a node of the cluster", remedy)
    try:
        host, _, port = str(services.canonicalize_bootstrap_address_or_die(address)).rpartition(":")
        number = int(port)
    except (OSError, ValueError) as error:
        raise PipelineError(given, f"a cluster ({one_line(error)})", remedy) from error
    try:
        with socket.create_connection((host, number), ANSWER_S) as connection:
            connection.sendall(HTTP2)
            answer = b"" if os.environ.get("RAY_USE_TLS") == "1" else connection.recv(9)
            if answer[3:4] != bytes([SETTINGS]) and os.environ.get("RAY_USE_TLS") != "1":
                raise ConnectionError("something else than Ray answers there")
    except OSError as error:
        cause = error.strerror or str(error)
        raise PipelineError(given, f"a Ray cluster that answers ({cause})", remedy) from error
