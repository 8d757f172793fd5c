"""Options of the grids, as a user types them."""

import shlex

from bench import grid
from bench.grid import Options

AXES = {axis.option: axis for axes in grid.SUBJECTS.values() for axis in axes}


def options(typed: str = "") -> Options:
    """What `pytest` has of `--sd-model tiny --sd-size 64,128`."""
    words = shlex.split(typed)
    return Options(
        {AXES[option]: text for option, text in zip(words[::2], words[1::2], strict=True)}
    )


def ids(family: str, typed: str = "") -> list[str]:
    return [cell.id for cell in grid.FAMILIES[family](options(typed))]
