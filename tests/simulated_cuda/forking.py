"""A Python that has imported torch and diffusers on the simulated device, and forks for each run.

The imports take a CPU ten seconds, and no run on this device is about them. Each line of standard
input is a run: its folder, the arguments of Python, the environment, the files of both streams; its
exit code is the answer. What a run starts as `python -m pytest` is a fork of that run; everything
else that it starts, such as a cold start, is a fresh process.
"""

import gc
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_run = subprocess.run


def _start(
    folder: str, arguments: Sequence[str], environment: Mapping[str, str], out: int, err: int
) -> BaseProcess:
    """Fork this process, to do what Python does with `arguments` in `folder`."""
    given = (folder, list(arguments), dict(environment), out, err)
    process = get_context("fork").Process(target=_main, args=given)
    process.start()
    return process


def _main(
    folder: str, arguments: list[str], environment: dict[str, str], out: int, err: int
) -> None:
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    subprocess.run = _run_or_fork  # type: ignore[assignment]
    if arguments[0] == "-m":
        sys.argv, sys.path[0] = arguments[1:], folder
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = arguments, str(Path(arguments[0]).parent)
        runpy.run_path(arguments[0], run_name="__main__")


def _run_or_fork(command: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[Any]":
    """`subprocess.run`, in which `python -m pytest` writes both streams to one file."""
    if list(command[:3]) != [sys.executable, "-m", "pytest"]:
        return _run(command, **options)
    assert options["stderr"] == subprocess.STDOUT
    to = options["stdout"].fileno()
    process = _start(str(options["cwd"]), command[1:], os.environ, to, to)
    process.join(options["timeout"])
    if process.is_alive():
        process.kill()
        raise subprocess.TimeoutExpired(command, options["timeout"])
    return subprocess.CompletedProcess(command, process.exitcode or 0)


def serve() -> None:
    """Answer each run with its exit code, one after another."""
    import torch._inductor.cudagraph_trees  # noqa: F401 — what torch.compiler.reset() imports
    import torchvision.transforms.v2  # noqa: F401
    from diffusers import StableDiffusionPipeline  # noqa: F401

    gc.freeze()  # a run collects often, and need not search what was imported
    for line in sys.stdin:
        folder, arguments, environment, *paths = json.loads(line)
        with open(paths[0], "w") as out, open(paths[1], "w") as err:
            process = _start(folder, arguments, environment, out.fileno(), err.fileno())
        process.join()
        print(process.exitcode, flush=True)


if __name__ == "__main__":
    serve()
