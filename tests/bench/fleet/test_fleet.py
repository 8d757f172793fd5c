"""`python -m bench fleet` on three nodes of a real Ray: files, table, and the plain process."""

import json
import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.comparing import sides
from bench.comparing.comparison import compare
from bench.comparing.verdict import SAME, UNDECIDED
from bench.machine import records
from support.fleets import QUICK, Fleet
from support.repositories import commit
from support.runs import python_in

TIMES = {"datetime", "time", "author_time"}


@dataclass(frozen=True)
class Answer:
    """What one run printed and wrote, beside a run by hand."""

    code: int
    out: str
    err: str
    folder: Path
    processes: dict[str, Any]
    hand: Path

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())


@pytest.fixture(scope="module")
def answer(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """All three nodes, then by hand."""
    commit(fleet.project, {})
    folder = tmp_path_factory.mktemp("out")
    code, out, err = fleet.run("--out", str(folder), "--", *QUICK)
    hand = folder.parent / "hand.json"
    options = (*QUICK, "--benchmark-only", f"--benchmark-json={hand}")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # xdist's workers ignore it
    done = python_in(fleet.project, "-m", "pytest", *options, FLEET_TEST_NODE="hand")
    signal.signal(signal.SIGINT, before)
    assert done.code == 0, done.out
    processes = {zone: fleet.at(zone) for zone in ("a", "b", "c", "hand")}
    return Answer(code, out, err, folder, processes, hand)


def test_three_nodes_make_three_files_and_one_table(answer: Answer) -> None:
    assert answer.code == 0, answer.err
    key = records.hardware_key(records.hardware())
    assert [file.name for file in answer.files] == [f"{key}-{n}.json" for n in (1, 2, 3)]
    lines = answer.out.splitlines()
    for number, label in enumerate(("A (baseline)", "B", "C")):
        (first,) = [at for at, line in enumerate(lines) if line.startswith(f"{label}:")]
        assert str(answer.files[number]) in "".join(map(str.strip, lines[first : first + 3]))
    headings = [line.split()[1:4] for line in lines if line.startswith("cell ")]
    assert headings == [["A", "B", "B/A"], ["A", "C", "C/A"]]
    for name in ("first", "second", "third"):
        assert len([line for line in lines if line.startswith(name)]) == 2
    assert answer.err.count(": 3 cells in ") == 3


def test_no_name_or_address_of_a_machine_is_in_a_file_or_its_name(
    answer: Answer, fleet: Fleet
) -> None:
    address = fleet.cluster.address.partition(":")[0]
    for file in answer.files:
        assert socket.gethostname() not in file.name
        text = file.read_text()
        assert [word for word in (address, str(fleet.project)) if word in text] == []
        assert f'"{socket.gethostname()}"' not in text


def shape(value: Any, place: str = "") -> set[str]:
    """The keys of a document, at any depth."""
    if isinstance(value, dict):
        return {f"{place}.{key}" for key in value} | {
            found for key, inner in value.items() for found in shape(inner, f"{place}.{key}")
        }
    if isinstance(value, list):
        return {found for inner in value for found in shape(inner, f"{place}[]")}
    return set()


def test_a_file_of_the_fleet_is_one_made_by_hand_but_for_its_times(answer: Answer) -> None:
    hand = json.loads(answer.hand.read_text())
    for file in answer.files:
        document = json.loads(file.read_text())
        assert shape(document) == shape(hand)
        for key in ("machine_info", "commit_info", "version"):
            assert document[key] == hand[key]
        ids = [entry["fullname"] for entry in hand["benchmarks"]]
        assert [entry["fullname"] for entry in document["benchmarks"]] == ids
        ours, theirs = (data["sd_flux_bench"] for data in (document, hand))
        assert ours["rows"] == theirs["rows"] == []
        for record in ("hardware", "software"):
            assert ours["machine"][record] == theirs["machine"][record]


def test_a_file_of_the_fleet_is_as_fast_as_one_made_by_hand(answer: Answer) -> None:
    for file in answer.files:
        comparison = compare(sides.gather([str(answer.hand), str(file)]))
        words = {line.verdicts[0].word for line in comparison.lines}
        assert len(comparison.lines) == 3
        assert words <= {SAME, UNDECIDED}, comparison.lines


def test_the_measured_process_has_nothing_of_ray(answer: Answer) -> None:
    hand = answer.processes["hand"]
    own = {"FLEET_TEST_NODE", "PYTEST_CURRENT_TEST", "PYTHONPATH", "COLUMNS", "NO_COLOR", "PWD"}
    own |= {"CUDA_VISIBLE_DEVICES", "PYTEST_VERSION", "OLDPWD", "_", "LD_PRELOAD"}
    for zone in ("a", "b", "c"):
        process = answer.processes[zone]
        for key in ("niceness", "oom_score_adj", "blocked", "handlers", "cpus"):
            assert process[key] == hand[key], key
        names = set(process["variables"])
        assert [name for name in names if name.startswith("RAY_")] == []
        theirs = {name for name in hand["variables"] if not name.startswith("RAY_")}
        assert names - own == theirs - own
        assert process["variables"]["OMP_NUM_THREADS"] == hand["variables"]["OMP_NUM_THREADS"]
        assert process["variables"].get("CUDA_VISIBLE_DEVICES") == os.environ.get(
            "CUDA_VISIBLE_DEVICES"
        )
