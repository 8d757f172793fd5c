"""Which room may import which: arrows run down one list, and no imports form a circle."""

import ast
from graphlib import TopologicalSorter

import pytest

from support.helpers import ROOT
from test_imports import imports, module_name

ROOMS = {
    "bench": (
        "bench",
        "bench.fleet",
        "bench.grid",
        "bench.history",
        "bench.reporting",
        "bench.comparing",
        "bench.workloads",
        "bench.measuring",
        "bench.results",
        "bench.machine",
        "bench.statistics",
        "pipeline",
    ),
    "pipeline": (
        "pipeline",
        "pipeline.bulk",
        "pipeline.targets",
        "pipeline.validation",
        "pipeline.flux",
        "pipeline.preprocessing",
        "pipeline.stable_diffusion",
    ),
}
"""The rooms of each package, each above those that it may import."""

BASE = {
    *("errors", "exits", "arguments", "availability", "contracts", "files", "pregenerated"),
    "progress",
}
"""The modules of `pipeline/` that every room may import; they import each other alone."""

SIBLINGS = {"pipeline.flux", "pipeline.preprocessing", "pipeline.stable_diffusion"}
"""Rooms that know nothing of each other."""

MOST_MODULES = 12
MOST_LINES = 400


SOURCES = {module_name(path): path for package in ROOMS for path in (ROOT / package).rglob("*.py")}
"""The files of both packages, by the name that they are imported by."""


def own_imports(name: str) -> list[str]:
    """The modules of this project that a module imports, at any depth."""
    candidates = ((other, other.rpartition(".")[0]) for other in imports(SOURCES[name]))
    known = ([other for other in pair if other in SOURCES] for pair in candidates)
    return [modules[0] for modules in known if modules]


def room_of(name: str) -> str:
    """The folder that a module lives in, as a package."""
    return name if SOURCES[name].name == "__init__.py" else name.rpartition(".")[0]


def is_base(name: str) -> bool:
    return room_of(name) == "pipeline" and name.rpartition(".")[2] in BASE


def may_import(name: str, other: str) -> bool:
    """Whether the arrow from one module to another runs down the list."""
    if is_base(other):
        return True
    if is_base(name):
        return False
    package, target = name.partition(".")[0], other.partition(".")[0]
    if package != target:
        return package == "bench"
    here, there = room_of(name), room_of(other)
    if here == there:
        return True
    if {here, there} <= SIBLINGS:
        return False
    order = ROOMS[package]
    return order.index(here) < order.index(there)


def test_every_folder_is_a_room_of_the_list() -> None:
    rooms = {room_of(name) for name in SOURCES}
    assert rooms == {room for order in ROOMS.values() for room in order}


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_module_imports_only_what_stands_below_it(name: str) -> None:
    assert [other for other in own_imports(name) if not may_import(name, other)] == []


def test_no_import_goes_round_in_a_circle() -> None:
    graph = {name: set(own_imports(name)) - {name} for name in SOURCES}
    for name in ROOMS:  # A package offers names of its own modules: that is no circle.
        graph.pop(name)
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("room", sorted({room_of(name) for name in SOURCES}))
def test_a_room_is_small_and_says_what_lives_there(room: str) -> None:
    modules = [name for name in SOURCES if room_of(name) == room and name != room]
    families = [name for name in modules if name.rpartition(".")[2].startswith("test_")]
    assert len(modules) - len(families) <= MOST_MODULES
    assert ast.get_docstring(ast.parse(SOURCES[room].read_text(encoding="utf-8")))


def test_no_file_is_long() -> None:
    files = [*SOURCES.values(), *(ROOT / "tests").rglob("*.py")]
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in files
    }
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}
