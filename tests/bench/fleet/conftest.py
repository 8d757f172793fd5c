"""A Ray cluster of three nodes on this machine, for all tests of the fleet."""

import os
import shutil
import signal
from collections.abc import Iterator

import pytest

from support import fleets
from support.fleets import Fleet


@pytest.fixture(scope="package")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three nodes; Ray believes that one of them has a GPU."""
    pytest.importorskip("ray", reason='no Ray: pip install -e ".[cluster]"')
    from ray.cluster_utils import Cluster

    folder = tmp_path_factory.mktemp("said")
    made = fleets.project(tmp_path_factory.mktemp("fleet") / "project", folder)
    fleet = Fleet(Cluster(), made, folder)
    patch = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
        patch.delenv(name)  # nodes inherit it, and a benchmark does not measure in such a worker
    try:
        fleet.add("a", include_dashboard=False, _system_config=fleets.PATIENCE)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a script's `nohup … &` has it
        fleet.add("b", num_gpus=1)
        signal.signal(signal.SIGINT, before)
        fleet.add("c")
        yield fleet
    finally:
        patch.undo()
        session = fleet.cluster.head_node and fleet.cluster.head_node.get_session_dir_path()
        fleet.cluster.shutdown()
        if session:
            shutil.rmtree(session, ignore_errors=True)
