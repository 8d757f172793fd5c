"""Processes that begin with libraries in place: forks of one Python that has imported them.

Importing torch and diffusers takes several times as long as what most tests of a command look at.
How a process starts, and what it imports, is for a fresh one: `runs.python_in`, `fresh_python`.
"""

import atexit
import gc
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import mkdtemp

TESTS = Path(__file__).resolve().parents[1]

LIBRARIES = (
    "torch",
    "torchvision.transforms.v2",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
    "diffusers.schedulers.scheduling_dpmsolver_singlestep",
    "diffusers.guiders",
    "torch.utils.flop_counter",
)
"""What preprocessing, and drawing by the tiny pipeline, import."""

BEFORE_IMPORTS = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": "nowhere"}
"""Variables that the libraries read when they are imported: all processes have these."""

PYTEST = ("pytest", "-p", "pytest_benchmark.plugin")
"""The module to start, and its first arguments: pytest loads no plugin that it is not told of,
since it refuses those which a library has imported before."""


@dataclass
class Process:
    """A process that was started; what it prints is in two files."""

    parent: "subprocess.Popen[str]"
    folder: str
    pid: int

    def wait(self) -> tuple[int, str, str]:
        """Wait until it has ended, once; return its exit code, and what it has printed.

        The code of a process that a signal has ended is below 0.
        """
        code = _answer(self.parent)
        out, err = (Path(self.folder, name).read_text() for name in ("out", "err"))
        shutil.rmtree(self.folder)
        return code, out, err

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)


def start(folder: Path, *arguments: str, environment: Mapping[str, str]) -> Process:
    """Run a module with `arguments` in `folder`, one process at a time."""
    parent, printed = _parent(), mkdtemp()
    request = {
        "folder": str(folder),
        "arguments": arguments,
        "environment": {**environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        "printed": printed,
    }
    assert parent.stdin is not None
    parent.stdin.write(f"{json.dumps(request)}\n")
    parent.stdin.flush()
    return Process(parent, printed, _answer(parent))


@cache
def _parent() -> "subprocess.Popen[str]":
    parent = subprocess.Popen(
        [sys.executable, "-c", "from support import warm; warm.serve()"],
        env=os.environ | {"PYTHONPATH": str(TESTS)} | BEFORE_IMPORTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(parent.communicate)
    return parent


def _answer(parent: "subprocess.Popen[str]") -> int:
    assert parent.stdout is not None
    return int(parent.stdout.readline())


def serve() -> None:
    """Import the libraries; then fork once for each line that comes in."""
    path = sys.path[2:]  # behind the folder of -c and PYTHONPATH
    gc.disable()
    for library in LIBRARIES:
        import_module(library)
    gc.freeze()
    gc.enable()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _become(path, **json.loads(line))
            return
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(
    path: list[str], folder: str, arguments: list[str], environment: dict[str, str], printed: str
) -> None:
    """Turn into the process that was asked for."""
    files = (
        (os.devnull, os.O_RDONLY),
        *((f"{printed}/{name}", os.O_WRONLY | os.O_CREAT) for name in ("out", "err")),
    )
    for number, (file, flags) in enumerate(files):
        os.dup2(os.open(file, flags, 0o600), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path[:] = [
        folder,
        *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)),
        *path,
    ]
    module, *sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)
