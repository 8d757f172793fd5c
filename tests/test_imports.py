"""Importing is cheap, each library has one place, and what a module offers is what it says."""

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from support.helpers import ROOT, fresh_python

HEAVY = {"torch", "diffusers", "torchvision", "transformers", "juliacall", "numpy"}
MODULES = sorted((ROOT / "pipeline").rglob("*.py"))
SOURCES = [*MODULES, *sorted((ROOT / "bench").rglob("*.py")), ROOT / "conftest.py"]


def module_name(path: Path) -> str:
    """The name that a file of the repository is imported by."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(importtime: str) -> set[str]:
    """The top-level packages that `python -X importtime` lists."""
    lines = [line for line in importtime.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_collecting_the_benchmarks_imports_nothing_heavy() -> None:
    # Without -s pytest captures what -X importtime writes during collection, and drops it.
    done = fresh_python(
        *("-X", "importtime", "-m", "pytest", str(ROOT / "bench")),
        *("--collect-only", "-q", "-s", "-p", "no:cacheprovider", f"--rootdir={ROOT}"),
    )
    assert done.returncode == 0, done.stdout
    assert "tests collected" in done.stdout
    assert {"pytest", "pipeline", "bench"} <= imported(done.stderr)
    assert imported(done.stderr) & HEAVY == set()


def test_importing_the_pipeline_imports_nothing_heavy() -> None:
    code = f"import {', '.join(map(module_name, MODULES))}"
    done = fresh_python("-X", "importtime", "-c", code)
    assert done.returncode == 0, done.stderr
    assert imported(done.stderr) & (HEAVY | {"PIL", "rich", "bench"}) == set()


def test_the_commands_of_bench_import_neither_pytest_nor_anything_heavy() -> None:
    done = fresh_python("-X", "importtime", "-c", "import bench.__main__")
    assert done.returncode == 0, done.stderr
    assert imported(done.stderr) & (HEAVY | {"pytest", "_pytest", "PIL", "rich"}) == set()


@cache
def imports(path: Path) -> tuple[str, ...]:
    """What a file imports, at any depth; names of `from … import` stand behind their module."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(library: str) -> set[str]:
    """The files of pipeline/ and bench/ that import `library`."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if any(name.partition(".")[0] == library for name in imports(path))
    }


@pytest.mark.parametrize(
    ("library", "modules"),
    [
        (
            "diffusers",
            {
                "pipeline/stable_diffusion/components.py",
                "pipeline/stable_diffusion/diffusion.py",
                "pipeline/stable_diffusion/kinds.py",
                "pipeline/stable_diffusion/models.py",
            },
        ),
        (
            "torchvision",
            {
                "pipeline/preprocessing/preprocess.py",
                "pipeline/preprocessing/resizing.py",
                "bench/workloads/peers.py",
            },
        ),
        ("cv2", {"bench/workloads/peers.py"}),
        ("albumentations", {"bench/workloads/peers.py"}),
        ("kornia", {"bench/workloads/peers.py"}),
        ("torchcodec", {"bench/workloads/peers.py"}),
        ("juliacall", {"pipeline/flux/julia.py"}),
        ("juliapkg", {"pipeline/flux/julia.py"}),
        ("matplotlib", {"bench/reporting/plots.py"}),
        ("jinja2", {"bench/reporting/report.py"}),
        (
            "ray",
            {"bench/fleet/cluster.py", "bench/fleet/watching.py", "pipeline/bulk/cluster.py"},
        ),
    ],
)
def test_a_library_is_imported_in_its_own_module_alone(library: str, modules: set[str]) -> None:
    assert importers(library)
    assert importers(library) <= modules


def test_the_pipeline_never_imports_what_measures_it() -> None:
    assert not [path for path in importers("bench") if path.startswith("pipeline/")]
    assert not [path for path in importers("pytest") if path.startswith("pipeline/")]


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.parent.name == "pipeline" or path.stem != "__init__"],
    ids=module_name,
)
def test_what_a_module_offers_is_sorted_and_exists(path: Path) -> None:
    module = importlib.import_module(module_name(path))
    offered = module.__all__
    # Constants, classes, functions: the order that ruff asks for.
    assert offered == sorted(
        set(offered), key=lambda word: (not word.isupper(), not word[0].isupper(), word)
    )
    assert [word for word in offered if not hasattr(module, word)] == []
    assert module.__doc__
