"""A checkout to type commands in, as one types them in a shell."""

import os
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from bench import __main__ as bench_main
from pipeline import __main__ as pipeline_main
from pipeline import availability
from pipeline.errors import Missing
from pipeline.flux import julia
from support import warm
from support.helpers import PYTEST, ROOT, UNWANTED, absent_julia

LIMIT_S = 600
NO_CACHE = ("-p", "no:cacheprovider")
PROGRAMS: dict[str, Callable[[Sequence[str]], int]] = {
    "python -m pipeline ": pipeline_main.main,
    "python -m bench ": bench_main.main,
}
LIGHT = ("test_harness.py", "--collect-only")
"""Words of a pytest that imports neither torch nor diffusers."""
ADDED = {"PYTEST_ADDOPTS": f"{PYTEST['PYTEST_ADDOPTS']} --benchmark-max-time=0.5"}
"""What a command gets: a page shows no number, so that each cell may take less than it does."""
TERMINAL = {"COLUMNS": "80", "NO_COLOR": "1", "CUDA_VISIBLE_DEVICES": ""}


@dataclass(frozen=True)
class Done:
    """The exit code of a command, and what both of its streams said."""

    code: int
    printed: str


def checkout(folder: Path) -> Path:
    """Make a checkout in `folder`, beside a `python` and a `pytest` that are this Python's."""
    made = folder / "checkout"
    made.mkdir()
    for name in ("bench", "pipeline"):
        shutil.copytree(ROOT / name, made / name, ignore=UNWANTED)
    for name in ("fixtures", "julia"):
        (made / name).symlink_to(ROOT / name)
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, made)
    tools = folder / "bin"
    tools.mkdir()
    for name, arguments in {"python": "", "pytest": f"-m pytest {' '.join(NO_CACHE)}"}.items():
        path = tools / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return made


def typed(folder: Path, command: str) -> Done:
    """Type a command in a checkout, 80 columns wide.

    Commands of this project run in this process, pytest and other code in a fork of one that has
    imported diffusers: it is imported once, not once a command. Where Julia or CUDA would come into
    it, each has a fresh process.
    """
    program = next((name for name in PROGRAMS if command.startswith(name)), "")
    absent = absent_julia() if availability.cuda() else None
    if program and absent:
        return _here(folder, PROGRAMS[program], command.removeprefix(program), absent)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    path = f"{folder.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = kept | ADDED | TERMINAL | {"PATH": path}
    if absent and (words := _module(command)):
        process = warm.start(folder, *words, environment=environment)
        code, out, err = process.wait()
        return Done(code, out + err)
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return Done(done.returncode, done.stdout)


def _module(command: str) -> list[str]:
    """Return the module, with arguments, of a command that imports diffusers; empty for others."""
    name, *words = shlex.split(command)
    if name == "pytest" and not any(word in command for word in LIGHT):
        return [*warm.PYTEST, *NO_CACHE, *words]
    if name == "python" and words[0].endswith(".py"):
        return [words[0].removesuffix(".py"), *words[1:]]
    return []


def _here(
    folder: Path, program: Callable[[Sequence[str]], int], arguments: str, absent: Missing
) -> Done:
    words, _, file = arguments.partition(" > ")
    out, both = StringIO(), StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(out if file else both),
        redirect_stderr(both),
    ):
        patch.chdir(folder)
        for name, value in TERMINAL.items():
            patch.setenv(name, value)
        patch.setattr(julia, "_start", lambda: absent)
        try:
            code = program(shlex.split(words))
        except SystemExit as left:  # argparse's, after help
            code = int(str(left.code))
    if file:
        (folder / file).write_text(out.getvalue(), encoding="utf-8")
    return Done(code, both.getvalue())
