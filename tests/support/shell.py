"""A checkout to type commands in, as one types them in a shell."""

import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path

import pytest

from pipeline import __main__ as command_line
from pipeline import availability
from pipeline.errors import Missing
from pipeline.flux import julia
from support.helpers import PYTEST, ROOT, fresh_python

LIMIT_S = 600
PIPELINE = "python -m pipeline "
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
        shutil.copytree(ROOT / name, made / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("fixtures", "julia"):
        (made / name).symlink_to(ROOT / name)
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, made)
    tools = folder / "bin"
    tools.mkdir()
    for name, arguments in {"python": "", "pytest": "-m pytest -p no:cacheprovider"}.items():
        path = tools / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return made


def typed(folder: Path, command: str) -> Done:
    """Type a command in a checkout, 80 columns wide.

    Where neither Julia nor CUDA would come into it, the pipeline's commands run in this process,
    which imports diffusers once, not once a command.
    """
    if command.startswith(PIPELINE) and availability.cuda() and (absent := _absent_julia()):
        return _here(folder, command.removeprefix(PIPELINE), absent)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    path = f"{folder.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=kept | PYTEST | TERMINAL | {"PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return Done(done.returncode, done.stdout)


@cache
def _absent_julia() -> Missing | None:
    """Return why a fresh process finds no Julia; None where it finds one."""
    program = (
        "import dataclasses, json\n"
        "from pipeline.flux import julia\n"
        "absent = julia.missing()\n"
        "print(json.dumps(absent and dataclasses.asdict(absent)))\n"
    )
    done = fresh_python("-c", program)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer and Missing(**answer)


def _here(folder: Path, arguments: str, absent: Missing) -> Done:
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
            code = command_line.main(shlex.split(words))
        except SystemExit as left:  # argparse's, after help
            code = int(str(left.code))
    if file:
        (folder / file).write_text(out.getvalue(), encoding="utf-8")
    return Done(code, both.getvalue())
