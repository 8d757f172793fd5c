"""What the tests of `history` share: result files of many runs, and the commits that they name."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

from bench.results import record
from bench.results.cell import MEASURED
from support.repositories import commit, git, repository
from support.results import MACHINE, document, generate, named


def commits(folder: Path, count: int) -> list[str]:
    """Make a repository with so many commits; return their names, oldest first."""
    repository(folder, {"file.txt": "0"})
    for number in range(1, count):
        commit(folder, {"file.txt": str(number)})
        git(folder, "commit", "--amend", "--quiet", "--message", f"Change {number}")
    return git(folder, "rev-list", "--reverse", "HEAD").split()


def result(
    number: int,
    times: float = 1.0,
    commit_name: str = "",
    software: Mapping[str, str] | None = None,
    hardware: Mapping[str, Any] | None = None,
    day: str = "",
    dirty: bool = False,
) -> dict[str, Any]:
    """A result file with two cells, of which the first takes `times` as long."""
    noise = Random(number).lognormvariate
    cells = [
        generate("tiny", "cpu", "64x64", 2, MEASURED,
                 samples=(0.017 * times * noise(0, 0.01),) * 6),
        named("preprocess", {"regime": "file"}, MEASURED, samples=(0.002 * noise(0, 0.01),) * 6),
    ]  # fmt: skip
    content = document(cells)
    content["commit_info"] = {"id": commit_name or f"{number:02x}" * 20, "dirty": dirty}
    content["datetime"] = f"{day or f'2026-01-{number + 1:02}'}T10:00:00+00:00"
    machine = deepcopy(MACHINE)
    machine["hardware"].update(hardware or {})
    machine["software"]["packages"].update(software or {})
    content["sd_flux_bench"]["machine"] = machine
    return content


def write(folder: Path, results: Mapping[str, dict[str, Any]]) -> Path:
    """Write result files by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in results.items():
        record.write(folder / name, content)
    return folder


def slower_from(at: int, count: int, names: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """Result files of so many runs, a tenth slower from one on; torch changes with it."""
    return {
        f"run-{number:02}.json": result(
            number,
            1.1 if number >= at else 1.0,
            names[number] if names else "",
            {"torch": "2.16.0"} if number >= at else None,
        )
        for number in range(count)
    }
