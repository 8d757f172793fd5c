"""A pair: which cells belong together, what their turns say, and whose turn it is."""

import math
from pathlib import Path
from typing import Any

import pytest

from bench.comparing import pair
from bench.comparing.pair import Half, log_ratio
from bench.comparing.trees import Tree
from pipeline.errors import PipelineError


def test_the_ratio_is_the_median_over_turns_side_by_side() -> None:
    first = [(1.0, 1.0, 9.0), (2.0,), (1.0,)]
    second = [(1.1, 1.1, 0.1), (2.2, 2.2), (5.0,), (7.0,)]
    assert log_ratio(first, second) == pytest.approx(math.log(1.1))


def test_other_work_that_lasts_longer_than_two_turns_cancels() -> None:
    load = [1.0, 1.0, 3.0, 3.0, 3.0, 1.5]
    first = [(level,) for level in load]
    second = [(level * 1.05,) for level in load]
    assert log_ratio(first, second) == pytest.approx(math.log(1.05))


@pytest.mark.parametrize(("first", "second"), [([], [(1.0,)]), ([(0.0,)], [(1.0,)])])
def test_without_a_turn_or_a_time_there_is_no_ratio(first: Any, second: Any) -> None:
    assert log_ratio(first, second) is None


class Child:
    """A side that waits at these cells, as often as they are named."""

    def __init__(self, label: str, cells: str, log: list[str], cpu: int | None) -> None:
        self._label, self._log = label, log
        self._left = list(cells)
        self.reached: set[str] = set()
        self.at: str | None = None
        self.cpu = cpu
        self._next()

    def go(self, cpu: int | None) -> None:
        self._log.append(f"{self._label}{self.at}" + ("" if cpu is None else f"@{cpu}"))
        self._next()

    def _next(self) -> None:
        self.at = self._left.pop(0) if self._left else None
        if self.at is not None:
            self.reached.add(self.at)


def turns(one: str, other: str, first: int = 0, cpus: tuple[int | None, ...] = (None, None)) -> str:
    """Whose turns follow each other, with the cell that each was for."""
    log: list[str] = []
    children = {0: Child("A", one, log, cpus[0]), 1: Child("B", other, log, cpus[1])}
    names = {cell: cell for cell in one if cell in other} or dict(zip(one, other, strict=False))
    pair._alternate(children, names, first)
    return " ".join(log)


def test_turns_go_a_b_b_a() -> None:
    assert turns("xxxx", "xxxx") == "Ax Bx Bx Ax Ax Bx Bx Ax"
    assert turns("xx", "xx", first=1) == "Bx Ax Ax Bx"


def test_four_turns_are_taken_on_the_cpu_where_the_first_one_ended() -> None:
    assert turns("xxx", "xxx", cpus=(3, 5)) == "Ax Bx@3 Bx@3 Ax@3 Ax Bx@3"
    assert turns("xy", "xy", first=1, cpus=(3, 5)) == "Bx Ax@5 By Ay@5"


def test_a_side_with_fewer_turns_is_not_waited_for() -> None:
    assert turns("xxx", "x") == "Ax Bx Ax Ax"


def test_a_side_that_is_a_cell_ahead_waits_for_the_other() -> None:
    assert turns("xxxy", "xyy") == "Ax Bx Ax Ax Ay By By"


def test_a_cell_of_one_side_alone_does_not_part_the_others() -> None:
    assert turns("xy", "xzy") == "Ax Bx Bz Ay By"


def test_two_settings_take_turns_as_one_cell() -> None:
    assert turns("xx", "yy") == "Ax By By Ax"


def test_a_side_that_ran_the_code_of_another_tree_is_refused(tmp_path: Path) -> None:
    half = Half("B", Tree(tmp_path / "tree", "main (1a2b3c4)"))
    child = pair._Child(half, (), tmp_path, 0.0)
    own = tmp_path / "tree" / "pipeline" / "__init__.py"
    own.parent.mkdir(parents=True)
    own.touch()
    child._check([str(own)])
    with pytest.raises(PipelineError) as error:
        child._check([str(tmp_path / "other" / "pipeline" / "__init__.py")])
    assert str(error.value) == (
        "side B (main (1a2b3c4)): expected code of its own tree, but pipeline came from "
        "elsewhere; uninstall what shadows it"
    )
