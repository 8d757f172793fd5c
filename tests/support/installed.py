"""This project as a wheel, in an environment of its own that has the libraries of this one."""

import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from support.helpers import PYTEST, ROOT

SOURCES = ("bench", "fixtures", "julia", "pipeline")
FILES = ("LICENSE", "README.md", "pyproject.toml", "sd_flux_bench.py", "setup.py")


def environment(folder: Path) -> Path:
    """Build a wheel from a copy of the sources, and install it; return the environment's Python.

    The copy is gone when this returns. Skips where nothing can build a wheel.
    """
    for name in ("pip", "setuptools"):
        try:
            version(name)
        except PackageNotFoundError:
            pytest.skip(f"no {name} here: nothing builds a wheel")
    copy, wheels = folder / "sources", folder / "wheels"
    unwanted = shutil.ignore_patterns("__pycache__", "Manifest.toml")
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, ignore=unwanted)
    for name in FILES:
        shutil.copy(ROOT / name, copy)
    pip = (sys.executable, "-m", "pip")
    called(*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(copy))
    called(sys.executable, "-m", "venv", "--without-pip", str(folder / "environment"))
    python = folder / "environment" / "bin" / "python"
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(called(str(python), "-c", asked).strip())
    (own / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    [wheel] = wheels.iterdir()
    install = ("install", "-q", "--no-deps", "--no-index", str(wheel))
    called(*pip, f"--python={python}", *install)
    shutil.rmtree(copy)
    return python


def called(*command: str, folder: Path | None = None) -> str:
    """Run a command as outside of this run of pytest, 80 columns wide; return what it prints."""
    done = started(*command, folder=folder)
    assert done.returncode == 0, done.stdout
    return done.stdout


def started(*command: str, folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a command as `called`; both streams come in one."""
    process = start(*command, folder=folder)
    printed, _ = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, printed)


def start(*command: str, folder: Path | None = None) -> "subprocess.Popen[str]":
    """Start what `started` runs, and do not wait for it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTEST_") and name not in ("PYTHONPATH", "FORCE_COLOR")
    }
    return subprocess.Popen(
        command,
        cwd=folder,
        env=kept | PYTEST | {"COLUMNS": "80", "NO_COLOR": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
