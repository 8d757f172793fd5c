"""Look at a node before it measures: its hardware, whose code it imports, whether it fits.

`python -m bench.fleet.preflight` prints JSON; it is run where the measured pytest will be.
"""

import json
import os
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.machine import records

__all__ = ["unfit"]


def unfit(project: Mapping[str, Any], python: str) -> str:
    """Say what this Python has in another version than `[project]` of pyproject.toml asks for.

    `python` is its own version; the answer is empty where everything fits.
    """
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    wanted = project.get("requires-python", "")
    if not SpecifierSet(wanted).contains(python, prereleases=True):
        return f"Python {python}, expected {wanted}"
    for line in project.get("dependencies", ()):
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            return f"{requirement.name} is not installed, expected {line}"
        if not requirement.specifier.contains(installed, prereleases=True):
            return f"{requirement.name} {installed}, expected {line}"
    return ""


def _answer() -> dict[str, Any]:
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8")).get("project", {})
    own = Path.cwd().resolve()
    origins = {name: find_spec(name) for name in ("bench", "pipeline")}
    foreign = [
        name
        for name, spec in origins.items()
        if spec is None or not Path(spec.origin or "").resolve().is_relative_to(own)
    ]
    niceness = os.getpriority(os.PRIO_PROCESS, 0) if hasattr(os, "getpriority") else 0
    return {
        "foreign": foreign,
        "hardware": records.hardware(),
        "niceness": niceness,
        "unfit": unfit(project, ".".join(map(str, sys.version_info[:3]))),
    }


if __name__ == "__main__":
    print(json.dumps(_answer()))
