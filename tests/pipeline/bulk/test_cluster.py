"""Bulk runs on a real Ray of several nodes on this machine: equal, bounded, and nothing lost."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.bulk import cluster, dataset, items
from pipeline.bulk.settings import Settings
from pipeline.bulk.stages import NAMES
from support import fleets
from support.bulk import REFERENCE, TINY, images, pictures, prompts, rows
from support.commands import Command
from support.helpers import ROOT

pytest.importorskip("ray", reason="no Ray: pip install -e '.[cluster]'")

OUT = Path("out")

STORE_BYTES = 150 * 2**20

pytestmark = [
    # Ray's own, on its way out of a process and of options.
    pytest.mark.filterwarnings("default::ResourceWarning"),
    pytest.mark.filterwarnings("default::DeprecationWarning"),
    pytest.mark.filterwarnings("default::FutureWarning"),
    pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A head with a CPU for each stage; a test may add nodes."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # else whatever runs beside it goes first
        started = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": len(NAMES),
                "object_store_memory": STORE_BYTES,
                "include_dashboard": False,
                "_system_config": fleets.PATIENCE,
            },
        )
        yield started
        started.shutdown()


@pytest.fixture(scope="module")
def job(nodes: Any) -> Iterator[Any]:
    """The same, and one connection for several runs: the processes that preprocess stay."""
    with cluster.connected(nodes.address, NAMES, {}):
        yield nodes


def results(nodes: Any, settings: Settings, table: Any, **workers: int) -> Iterator[Any]:
    """Run a table of items on the cluster, one a batch, into `OUT`."""
    dataset.claim(OUT, settings)
    with cluster.connected(nodes.address, NAMES, workers):
        yield from cluster.run(table, 1, settings, OUT, workers)


def process_of(table: Any, stage: str) -> int:
    """The process that did a stage of a batch."""
    return int(table[stage][0].as_py()["worker"].split()[1])


def photos(count: int, engine: str = "reference") -> tuple[Settings, Any]:
    table, _ = items.of_images([str(pictures(Path("photos"), count))], OUT)
    return Settings("images", engine), table


def worked(result: Any) -> set[int]:
    """The processes that did the stages of a batch of images."""
    return {process_of(result, stage) for stage in ("preprocess", "forward")}


def test_images_give_the_rows_that_one_process_gives(command: Command, nodes: Any) -> None:
    pictures(Path("photos"), 20)
    Path("photos/bad.png").write_bytes(b"no image")
    question = (*REFERENCE, "--images", "photos", "--batch", "4", "--out")
    assert command(*question, "here")[0] == 1
    code, out, err = command(*question, "out", "--ray", nodes.address)
    assert (code, err[0]) == (1, "run: 21 items")
    assert [line.split()[0] for line in out[:3]] == ["stage", "preprocess", "forward"]
    assert rows(OUT) == rows(Path("here"))
    assert command(*question, "out", "--ray", nodes.address)[1][0] == "nothing is missing"


def test_a_node_that_is_lost_loses_nothing(command: Command, nodes: Any) -> None:
    settings, table = photos(200, "none")
    node = nodes.add_node(num_cpus=2, object_store_memory=STORE_BYTES)
    nodes.wait_for_nodes()
    [raylet] = node.all_processes["raylet"]
    lost: set[int] = set()
    for result in results(nodes, settings, table, forward=2):
        if not lost:
            there = {child.pid for child in psutil.Process(raylet.process.pid).children(True)}
            lost = worked(result) & there
            if lost:
                nodes.remove_node(node, allow_graceful=False)
    assert lost
    assert len(rows(OUT)) == 200
    assert not any(row["error"] for row in rows(OUT))


def test_prompts_give_the_pictures_that_one_process_draws(command: Command, job: Any) -> None:
    table = items.of_prompts(prompts(Path("p.txt"), 4))
    settings = Settings("prompts", "reference", model="tiny", device="cpu", steps=2)
    processes: dict[str, set[int]] = {name: set() for name in NAMES}
    for result in results(job, settings, table):
        for name in NAMES:
            processes[name].add(process_of(result, name))
    assert not processes["preprocess"] & processes["forward"]  # Julia comes before torch there
    command(*TINY, "--prompts", "p.txt", "--out", "here")
    assert images(OUT) == images(Path("here"))
    assert rows(OUT) == [row | {"steps": None} for row in rows(Path("here"))]


def test_a_process_that_is_killed_loses_nothing(command: Command, job: Any) -> None:
    settings, table = photos(40)
    scorers: list[int] = []
    for result in results(job, settings, table, forward=1):
        scorers.append(process_of(result, "forward"))
        if len(scorers) == 1:
            os.kill(scorers[0], signal.SIGKILL)
    assert len(set(scorers)) == 2
    found = rows(OUT)
    assert len(found) == 40
    assert all(row["scores"] and not row["error"] for row in found)


def test_a_folder_that_cannot_be_written_ends_the_run_with_one_line(
    command: Command, job: Any
) -> None:
    pictures(Path("photos"), 2)
    OUT.mkdir()
    (OUT / "dataset").write_text("a file", encoding="utf-8")
    question = (*REFERENCE, "--images", "photos", "--out", "out", "--ray", job.address)
    code, _, err = command(*question)
    assert code == 2
    assert "expected a place that can be written (" in err[-1]


def test_julia_is_called_in_the_thread_that_started_it(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Scorer:
        def __init__(self, *_: Any) -> None:
            self.started_in = threading.get_ident()

        def __call__(self, table: Any) -> Any:
            assert threading.get_ident() == self.started_in
            return table

    monkeypatch.setattr(cluster, "Forward", Scorer)
    settings, table = photos(1)
    dataset.claim(OUT, settings)
    actor = cluster._Forward(settings, OUT)
    with ThreadPoolExecutor(1) as other:
        assert len(other.submit(actor, table).result()) == 1


def test_an_address_that_nothing_answers_at_is_one_line(command: Command) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    code, _, [line] = command(*REFERENCE, "--images", "photos", "--ray", address)
    assert code == 2
    assert line == (
        f"--ray {address}: expected a Ray cluster (Connection refused); start one: ray start "
        "--head; or use --ray local"
    )
