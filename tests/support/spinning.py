"""A repository with this harness and one cell that only spins."""

import shutil
from pathlib import Path

from support.helpers import ROOT
from support.repositories import commit, git, repository

SPIN = ROOT / "tests" / "suites" / "spin"

QUICK = ("bench/test_spin.py", "--benchmark-max-time=0.06", "--budget", "10000")


def work(seconds: float = 0.002, workload: int = 1) -> dict[str, str]:
    """The work of the cell, so many seconds of this version."""
    text = (SPIN / "work.py").read_text()
    text = text.replace("= 0.002", f"= {seconds}").replace("= 1", f"= {workload}")
    return {"pipeline/work.py": text}


def spinning(folder: Path) -> Path:
    """Make it, with commits that spin for 2 ms, 3 ms and not at all."""
    repository(folder, {".gitignore": ".benchmarks/\n"})
    unwanted = shutil.ignore_patterns("__pycache__", "test_*")
    for name in ("bench", "pipeline"):
        shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    commit(folder, work(0.003) | {"bench/test_spin.py": (SPIN / "spin.py").read_text()})
    git(folder, "tag", "slow")
    commit(folder, work(workload=2))
    git(folder, "tag", "other")
    commit(folder, {"pipeline/work.py": "raise OSError('this tree is broken')\n"})
    git(folder, "tag", "broken")
    return commit(folder, work())


def state(folder: Path) -> list[str]:
    """What a command could have changed."""
    questions = (("status", "--porcelain"), ("worktree", "list"), ("for-each-ref",), ("fsck",))
    return [git(folder, *question) for question in questions]
