"""What the tests of `python -m pipeline` share: the names of its files, and how to look at them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import __main__ as command_line
from pipeline import pregenerated

GENERATED = [pregenerated.image_name(number) for number in (1, 2, 3)]
PREPROCESSED = [pregenerated.preprocessed_name(number) for number in (1, 2, 3)]
PHOTO = str(pregenerated.paths()[0])

Answer = tuple[int, list[str], list[str]]
"""An exit code, and the lines on standard output and standard error."""

Command = Callable[..., Answer]


def runner(capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs a command; how long something took is cut from its lines."""

    def run(*arguments: str) -> Answer:
        capsys.readouterr()
        try:
            code = command_line.main(arguments)
        except SystemExit as left:
            code = int(str(left.code))
        out, err = capsys.readouterr()
        return code, out.splitlines(), re.sub(r" in \d+\.\d s\n", "\n", err).splitlines()

    return run


def files(folder: str = ".") -> list[str]:
    """Every file and folder below `folder`."""
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*"))


def opened(path: Path) -> Any:
    from PIL import Image

    with Image.open(path) as image:
        image.load()
        return image
