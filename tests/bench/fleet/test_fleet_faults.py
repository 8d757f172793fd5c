"""What a fleet keeps when a node dies, a worker is killed, a run hangs, or after Ctrl-C."""

import json
import os
import signal
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import psutil
import pytest

from support import fleets
from support.fleets import LIMIT_S, QUICK, Fleet, until


def rows(folder: Path) -> list[dict[str, Any]]:
    """Of each file of a folder: the ids that were measured, and the reasons of the others."""
    found = []
    for file in sorted(folder.glob("*.json")):
        document = json.loads(file.read_text())
        others = {
            row["name"].partition("[")[2].removesuffix("]"): row["reason"]
            for row in document["sd_flux_bench"]["rows"]
        }
        measured = [entry["param"] for entry in document["benchmarks"]]
        found.append({"measured": measured, "others": others})
    return found


def arrived(folder: Path) -> int:
    """How many journals of a folder have a row."""
    return sum('"row"' in file.read_text() for file in folder.glob("*.jsonl"))


def broken(reason: str) -> dict[str, Any]:
    return {"measured": ["first"], "others": {"second": reason, "third": reason}}


WHOLE = {"measured": ["first", "second", "third"], "others": {}}


def test_a_node_that_dies_and_a_killed_worker_lose_no_row_and_stop_no_other_node(
    fleet: Fleet, tmp_path: Path
) -> None:
    old = tmp_path / "old" / "torch-1.0.dist-info"
    old.mkdir(parents=True)
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 1.0\n")
    fleet.hold("c", "d")
    later = fleet.add("d")
    unfit = fleet.add("e", env_vars={"PYTHONPATH": str(tmp_path / "old")})
    out = tmp_path / "out"
    process = fleet.start("--out", str(out), "--markdown", "--", *QUICK)
    try:
        killed, dead = fleet.at("c"), fleet.at("d")
        until(lambda: arrived(out) == 4)
        os.kill(killed["parent"], signal.SIGKILL)
        fleet.cluster.remove_node(later, allow_graceful=False)
        printed, err = process.communicate(timeout=LIMIT_S)
    finally:
        fleet.release()
        fleet.cluster.remove_node(unfit)
        process.kill()
    assert process.returncode == 1, err
    kept = rows(out)
    assert kept.count(WHOLE) == 2
    assert broken("its worker was killed") in kept
    assert broken("the node died") in kept
    assert len(kept) == 4
    assert "torch 1.0, expected torch>=" in err
    assert "or add --install" in err
    assert "raylet" not in printed + err  # what Ray itself says of the node
    assert list(out.glob("*.jsonl")) == []
    assert "| cell |" in printed
    for parent in (killed["parent"], dead["parent"]):
        until(lambda parent=parent: not psutil.pid_exists(parent))
    assert len([line for line in printed.splitlines() if line.startswith("results: ")]) == 4


def test_a_hang_ctrl_c_and_sigterm_keep_rows_and_a_second_run_finds_no_free_node(
    fleet: Fleet, tmp_path: Path
) -> None:
    fleet.hold("a", "b", "c")
    hung, one, two, three = (tmp_path / name for name in ("hung", "one", "two", "three"))
    selected = ("--select", "zone=b", "--select", "GPU=1", "--timeout", "30")
    hangs = fleet.start("--out", str(hung), *selected, "--", *QUICK)
    process = fleet.start("--out", str(one), "--select", "zone=a", "--", *QUICK)
    ended = fleet.start("--out", str(three), "--select", "zone=c", "--", *QUICK)
    try:
        fleet.at("a")
        until(lambda: arrived(one) == arrived(three) == 1)
        ended.send_signal(signal.SIGTERM)
        other = fleet.run("--out", str(two), "--select", "zone=a", "--wait", "1", "--", *QUICK)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=LIMIT_S)
        _, said = hangs.communicate(timeout=LIMIT_S)
        table, last = ended.communicate(timeout=LIMIT_S)
        folder = Path(fleet.at("b")["cwd"])
    finally:
        fleet.release()
        ended.kill()
        process.kill()
        hangs.kill()
    assert other[:2] == (2, "")
    assert "waiting up to --wait 1 s for 1 node that Ray uses" in other[2]
    assert ": node " not in other[2]  # nothing was started there
    assert "it was not free within --wait 1 s); wait until it is free" in other[2].splitlines()[-1]
    assert not two.exists()
    assert process.returncode == 1, err
    assert rows(one) == [broken("it was interrupted")]
    assert hangs.returncode == 1, said
    assert "it was stopped after --timeout 30 s" in said
    assert "; raise --timeout, or select fewer cells" in said
    assert rows(hung) == [broken("it was stopped after --timeout 30 s")]
    assert not folder.exists()
    assert ended.returncode == 128 + signal.SIGTERM, last
    assert rows(three) == [broken("it was interrupted")]
    assert "SIGTERM" not in last
    (file,) = three.iterdir()
    assert f"results: {file} (node " in table.splitlines()[-1]


def test_ctrl_c_twice_ends_at_once_and_leaves_no_process(fleet: Fleet, tmp_path: Path) -> None:
    fleet.hold("own")
    mark = {"FLEET_TEST_NODE": "own", "FLEET_TEST_MARK": tmp_path.name}
    process = fleets.start(fleet.project, "--out", str(tmp_path), "--", *QUICK, **mark)
    try:
        fleet.at("own")
        until(lambda: arrived(tmp_path) == 1)
        os.killpg(process.pid, signal.SIGINT)
        assert process.stderr is not None
        started = next(process.stderr)
        next(line for line in process.stderr if "Ctrl-C again ends at once" in line)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=LIMIT_S)
    finally:
        fleet.release()
        process.kill()
    # The first may have ended everything before the second comes.
    assert process.returncode in (1, 130), err
    until(lambda: not marked(tmp_path.name))
    (kept,) = tmp_path.iterdir()
    assert "test_cell[first]" in kept.read_text()
    assert "starting a Ray on this machine" in started
    assert list(Path(gettempdir()).glob(f"*/session_*_{process.pid}")) == []


def marked(mark: str) -> list[str]:
    """The processes whose first variables hold a mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("FLEET_TEST_MARK") == mark:
                found.append(process.name())
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("selector", ["zone=nowhere"])
def test_a_selector_that_no_node_has_names_the_labels_that_there_are(
    fleet: Fleet, selector: str, tmp_path: Path
) -> None:
    code, out, err = fleet.run("--out", str(tmp_path), "--select", selector)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"--select {selector}: expected a node that has it, of CPU=1, GPU=1, ")
    assert "zone=a, zone=b, zone=c; change --select" in line
