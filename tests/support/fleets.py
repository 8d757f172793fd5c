"""A Ray of several nodes on this machine, and the command that measures on them."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.helpers import PYTEST, ROOT, SUITES
from support.repositories import repository

LIMIT_S = 240
PATIENCE = {"health_check_period_ms": 500, "health_check_failure_threshold": 4}
"""With which Ray takes a node that says nothing for lost after two seconds."""

QUICK = ("bench/test_cells.py", "--benchmark-max-time=0.1")


@dataclass(frozen=True)
class Fleet:
    """A cluster, and a project to start the command in."""

    cluster: Any
    project: Path
    folder: Path
    """What the cells write to, and look at."""

    def add(self, zone: str, **options: Any) -> Any:
        """Start a node that its cells know as `zone`."""
        variables = {"FLEET_TEST_NODE": zone, **PYTEST, **options.pop("env_vars", {})}
        own: dict[str, Any] = {"num_cpus": 1, "labels": {"zone": zone}, "env_vars": variables}
        if self.cluster.head_node is not None:  # or all unpack the tree over one another's
            own["runtime_env_dir_name"] = f"runtime-{zone}"
        return self.cluster.add_node(**own | options)

    def start(
        self, *arguments: str, address: str = "", **variables: str
    ) -> "subprocess.Popen[str]":
        """Start the command; Ctrl-C reaches all of its session, as from a terminal."""
        address = address or self.cluster.address
        return start(self.project, "--address", address, *arguments, **variables)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run the command; return its exit code and what it printed."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=LIMIT_S)
        return process.returncode, out, err

    def hold(self, *zones: str) -> None:
        """Let the second cell of these nodes wait."""
        for file in self.folder.glob("*.json"):
            file.unlink()
        (self.folder / "hold").write_text(" ".join(zones))

    def release(self) -> None:
        """Let every cell go on."""
        (self.folder / "hold").unlink(missing_ok=True)

    def at(self, zone: str) -> Any:
        """Wait until a node is at its second cell; return what its process says of itself."""

        def written() -> Any:
            with suppress(OSError, ValueError):
                return json.loads((self.folder / f"{zone}.json").read_text())

        return until(written)


def start(project: Path, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.Popen(
        [sys.executable, "-m", "bench", "fleet", *arguments],
        cwd=project,
        env=kept | PYTEST | {"COLUMNS": "80", "CUDA_VISIBLE_DEVICES": ""} | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def project(path: Path, folder: Path) -> Path:
    """A repository with the harness of this one and the cells of `suites/fleet.py` alone."""
    made = repository(path, {".gitignore": ".benchmarks/\n__pycache__/\n*.secret\n"})
    for name in ("bench", "pipeline"):
        ignored = shutil.ignore_patterns("__pycache__", "test_*")
        shutil.copytree(ROOT / name, made / name, ignore=ignored)
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, made / name)
    cells = (SUITES / "fleet.py").read_text().replace('"FOLDER"', repr(str(folder)))
    (made / "bench" / "test_cells.py").write_text(cells)
    (made / "a.secret").write_text("what git ignores\n")
    return made


def until(answer: Callable[[], Any]) -> Any:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if result := answer():
            return result
        time.sleep(0.05)
    raise TimeoutError("it did not happen")
