"""Options of the grids, as a user types them."""

import shlex

from bench import grid
from bench.grid import Options
from bench.results.cell import Cell
from bench.test_bulk import CELLS as BULK_CELLS
from bench.test_cold import CELLS as COLD_CELLS
from bench.test_harness import CELL as NOOP_CELL

AXES = {axis.option: axis for axes in grid.SUBJECTS.values() for axis in axes}


def options(typed: str = "") -> Options:
    """What `pytest` has of `--sd-model tiny --sd-size 64,128`."""
    words = shlex.split(typed)
    typed_texts = zip(words[::2], words[1::2], strict=True)
    return dict.fromkeys(AXES.values(), "") | {AXES[option]: text for option, text in typed_texts}


def ids(family: str, typed: str = "") -> list[str]:
    return [cell.id for cell in grid.FAMILIES[family](options(typed))]


def default_cells() -> dict[str, list[Cell]]:
    """The cells of each family, as they are without an option; the optional ones too."""
    families = {family: cells(options()) for family, cells in grid.FAMILIES.items()}
    return {**families, "harness": [NOOP_CELL], "cold": COLD_CELLS, "bulk": BULK_CELLS}
