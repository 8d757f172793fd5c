"""Wrong questions of `python -m bench fleet` are one line each; what it decides before a run."""

import importlib.util
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.__main__ import main
from bench.fleet import cluster, command, packing, places, watching
from bench.fleet.cluster import Node, parse_selector, selected
from bench.fleet.packing import Package, digest, packed
from bench.fleet.places import claimed
from bench.fleet.preflight import unfit
from bench.machine.records import hardware_key
from pipeline.errors import PipelineError
from support.repositories import repository

HARDWARE = {"gpus": [{"model": "NVIDIA A100"}]}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = {".gitignore": "*.secret\nout/\n", "one.py": "1\n", "below/two.py": "2\n"}
    made = repository(tmp_path / "tree", files)
    (made / "key.secret").write_text("x")
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def silent() -> Iterator[str]:
    """An address where something answers that is no Ray."""
    with socket.create_server(("", 0)) as server:  # Ray makes another address of 127.0.0.1

        def answer() -> None:
            with suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    connection.recv(100)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which a command is refused."""
    try:
        code = main(("fleet", *arguments))
    except SystemExit as left:
        code = int(str(left.code))
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    return str(line)


def test_without_ray_the_line_says_what_to_install(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    line = refused(capsys, "--out", "out")
    assert not Path("out").exists()
    assert line == 'fleet: expected Ray, which is not installed; pip install -e ".[cluster]"'


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:9", "expected a Ray cluster that answers (Connection refused)"),
        ("ray://127.0.0.1:10001", "expected auto or HOST:PORT, on a node of the cluster"),
        ("nowhere", "expected a cluster (Invalid address format: nowhere)"),
    ],
)
def test_an_address_that_nobody_answers_is_one_line(
    tree: Path, capsys: pytest.CaptureFixture[str], address: str, expected: str
) -> None:
    pytest.importorskip("ray", reason='no Ray: pip install -e ".[cluster]"')
    line = refused(capsys, "--address", address, "--out", "out")
    assert line.startswith(f"--address {address}: {expected}; ray start --head on one machine")


def test_what_answers_and_is_no_ray_is_one_line(
    tree: Path, capsys: pytest.CaptureFixture[str], silent: str
) -> None:
    pytest.importorskip("ray", reason='no Ray: pip install -e ".[cluster]"')
    line = refused(capsys, "--address", silent, "--out", "out")
    assert "expected a Ray cluster that answers (something else than Ray answers there)" in line


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--select", "zone"], "--select zone: expected key=value, such as GPU=1; change --select"),
        (["--wait", "soon"], "--wait soon: expected a number from 0; change --wait"),
        (["--timeout", "-1"], "--timeout -1: expected a number from 0; change --timeout"),
        (
            ["--out", "one.py"],
            "--out one.py: expected a folder, but one.py is a file; change --out",
        ),
        (
            ["--out", "/proc/none"],
            "--out /proc/none: expected a folder that can be written (No such file or directory); "
            "choose another folder",
        ),
        (
            ["--", "--benchmark-json=a.json"],
            "--benchmark-json=a.json: expected no file of pytest: every node has its own; "
            "use --out",
        ),
        (
            ["--", "bench/nope.py"],
            "bench/nope.py: expected a file or folder that is there; change what follows --",
        ),
        (
            ["--", "below", "below/nope.py::test_cell"],
            "below/nope.py::test_cell: expected a file or folder that is there; "
            "change what follows --",
        ),
        (
            ["--adress", "auto"],
            "python -m bench: unrecognized arguments: --adress auto; see python -m bench --help",
        ),
    ],
)
def test_a_wrong_option_is_one_line(
    tree: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert refused(capsys, *arguments) == expected


def test_a_value_of_an_option_is_no_path(tree: Path) -> None:
    words = ["one.py", "--sd-model", "some/model", "-k", "first or b.py"]
    assert command._arguments(words) == ["--benchmark-only", *words]


@pytest.mark.parametrize(
    ("faults", "line"),
    [
        (
            [("a", "raise --wait"), ("b", "raise --wait")],
            "fleet: expected a node that measures (a; b); raise --wait",
        ),
        (
            [("a", "raise --wait"), ("b", "start it again")],
            "fleet: expected a node that measures (a: raise --wait; b: start it again); "
            "mend one of these",
        ),
    ],
)
def test_a_remedy_is_that_of_its_cause(faults: list[tuple[str, str]], line: str) -> None:
    assert str(command._nothing(faults)) == line


@pytest.mark.parametrize(
    ("code", "result", "fault", "remedy"),
    [
        (5, None, "no cell was selected to be measured", "change what follows --"),
        (0, None, "no cell was selected to be measured", "change what follows --"),
        (4, None, "pytest ended with exit code 4: what it said", "change what follows --"),
        (3, None, "pytest ended with exit code 3: what it said", places.AGAIN),
        (0, "{}", "", ""),
    ],
)
def test_how_pytest_ended_has_its_own_remedy(
    tmp_path: Path, code: int, result: str | None, fault: str, remedy: str
) -> None:
    place = claimed(NODES[0], HARDWARE, tmp_path)
    place.end(code, result, "what it said")
    assert (place.fault, place.remedy) == (fault, remedy)


def test_what_git_ignores_and_the_results_are_not_sent(tree: Path, tmp_path: Path) -> None:
    (tree / "results").mkdir()
    (tree / "results" / "a.json").write_text("{}")
    (tree / "new.py").write_text("3\n")
    package = packed(tmp_path / "packed", Path("results"))
    sent = sorted(file.relative_to(package.folder).as_posix() for file in files(package.folder))
    assert sent == [".gitignore", "below/two.py", "new.py", "one.py"]
    assert package.size == sum(file.stat().st_size for file in files(package.folder))
    assert package.what.endswith("with 2 uncommitted files)")
    assert package.below == "."


def files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


def test_a_large_tree_is_refused_before_it_is_sent(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "MOST_BYTES", 1_000_000)
    (tree / "huge.bin").write_bytes(bytes(2_000_000))
    with pytest.raises(PipelineError) as refusal:
        packed(tmp_path / "packed", Path("out"))
    assert "of 2 MB: expected at most 1 MB to send to every node" in str(refusal.value)
    assert "the largest file is huge.bin (2 MB)" in str(refusal.value)


def test_outside_git_the_line_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PipelineError, match=r"^fleet: expected a git work tree with a commit"):
        packed(tmp_path / "packed", Path("out"))


def test_two_trees_have_the_same_digest_only_if_every_file_is_the_same(tree: Path) -> None:
    before = digest(tree)
    (tree / "__pycache__").mkdir()
    (tree / "__pycache__" / "one.pyc").write_text("whoever imports it writes this")
    assert digest(tree) == before
    (tree / "below" / "two.py").write_text("3\n")
    assert digest(tree) != before
    (tree / "below" / "two.py").write_text("2\n")
    assert digest(tree) == before
    (tree / "below" / "two.py").rename(tree / "below" / "three.py")
    assert digest(tree) != before


@pytest.mark.parametrize(
    ("project", "answer"),
    [
        ({"requires-python": ">=3.11", "dependencies": ["pytest>=8", "torch"]}, ""),
        ({"requires-python": ">=3.99"}, "Python 3.11.7, expected >=3.99"),
        (
            {"dependencies": ["nothing-of-this-name>=1"]},
            "nothing-of-this-name is not installed, expected nothing-of-this-name>=1",
        ),
        ({"dependencies": ["nothing-of-this-name; python_version < '3'"]}, ""),
    ],
)
def test_a_python_that_does_not_fit_is_named(project: dict[str, Any], answer: str) -> None:
    assert unfit(project, "3.11.7") == answer


def test_a_package_of_another_version_is_named() -> None:
    installed = importlib.metadata.version("pytest")
    assert unfit({"dependencies": ["pytest>=999"]}, "3.11.7") == (
        f"pytest {installed}, expected pytest>=999"
    )


NODES = [
    Node("a" * 56, 4, 0, {"CPU": "4", "zone": "a"}),
    Node("b" * 56, 8, 2, {"CPU": "8", "GPU": "2", "zone": "b", "accelerator_type:H200": "1"}),
]


def test_a_selection_means_nodes_that_have_all_of_it() -> None:
    assert selected(NODES, []) == NODES
    assert selected(NODES, [parse_selector("zone=a")]) == NODES[:1]
    assert selected(NODES, [parse_selector("GPU=2"), parse_selector("zone=b")]) == NODES[1:]
    with pytest.raises(PipelineError) as refusal:
        selected(NODES, [parse_selector("zone=c"), parse_selector("GPU=2")])
    assert str(refusal.value) == (
        "--select zone=c --select GPU=2: expected a node that has it, of CPU=4, CPU=8, GPU=2, "
        "accelerator_type:H200=1, zone=a, zone=b; change --select"
    )


def test_results_are_numbered_after_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "nvidia-a100-1.json").write_text("{}")
    names = [claimed(node, HARDWARE, tmp_path).name for node in NODES]
    assert names == ["nvidia-a100-2", "nvidia-a100-3"]


@pytest.mark.parametrize(("each", "count"), [("node", 2), ("hardware", 1)])
def test_each_hardware_is_measured_once_and_an_unfit_node_is_a_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    each: str,
    count: int,
) -> None:
    fits = {"unfit": "", "hardware": HARDWARE, "niceness": 15}
    answers = [fits, fits, {"unfit": "torch 1.0, expected torch>=2.11"}]
    monkeypatch.setattr(watching, "looks", lambda *_: answers)
    third = Node("c" * 56, 1, 0, {})
    options = SimpleNamespace(each=each, install=False, out=tmp_path, wait=1.0)
    package = Package(tmp_path, ".", "working tree", 1, "")
    places, lines = command._places([*NODES, third], package, options)  # type: ignore[arg-type]
    assert len(places) == count
    remedy = 'install it there (pip install -e ".[cluster]"), or add --install'
    assert lines == [("node cccccccc: torch 1.0, expected torch>=2.11", remedy)]
    err = capsys.readouterr().err
    assert "start Ray there with RAY_worker_niceness=0" in err
    assert ("node bbbbbbbb: left out, nvidia-a100 again" in err) == (each == "hardware")
    assert hardware_key(HARDWARE) == "nvidia-a100"
