"""The pipelines of a run: one in memory at a time, eager's pictures drawn before a mode is applied.

Loading, drawing and modes are simulated; `tests/test_modes.py` has the real ones.
"""

import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from bench import grid
from bench.grid import Options
from bench.results.cell import Cell
from bench.workloads import modes, pipelines
from bench.workloads.pipelines import Pipelines
from pipeline.stable_diffusion import diffusion
from pipeline.validation import meta


class Pipe:
    mode = "eager"


class Simulated:
    """What was loaded, with what else was alive then, and in which mode each cell was drawn."""

    def __init__(self) -> None:
        self.loaded: list[tuple[str, str, str]] = []
        self.alive: list[int] = []
        self.drawn: list[tuple[str, str]] = []
        self.asked: list[Any] = []
        self._pipes: list[weakref.ref[Pipe]] = []

    def load(self, name: str, device: str, dtype: str) -> Pipe:
        self.alive.append(self.alive_now())
        self.loaded.append((name, device, dtype))
        pipe = Pipe()
        self._pipes.append(weakref.ref(pipe))
        return pipe

    def alive_now(self) -> int:
        gc.collect()
        return sum(each() is not None for each in self._pipes)

    def draw(self, pipe: Pipe, cell: Cell) -> list[Any]:
        self.drawn.append((pipe.mode, cell.id))
        return [f"{cell.id} as {pipe.mode} draws it"]


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> Simulated:
    found = Simulated()
    monkeypatch.setattr(diffusion, "load", found.load)
    monkeypatch.setattr(pipelines, "draw", found.draw)
    monkeypatch.setattr(meta, "require", lambda model, *question: found.asked.append(question))
    monkeypatch.setattr(modes, "apply", lambda pipe, mode: setattr(pipe, "mode", mode))
    return found


def test_cells_of_one_model_share_a_pipeline_and_another_replaces_it(simulated: Simulated) -> None:
    options = Options(sd_model="tiny", sd_dtype="float32,bfloat16", sd_steps="2,4", sd_batch="1,2")
    held = Pipelines(options)
    for cell in grid.generate(options):
        held.of(cell)
    assert simulated.loaded == [("tiny", "cpu", "float32"), ("tiny", "cpu", "bfloat16")]
    assert simulated.alive == [0, 0]
    assert simulated.drawn == []
    assert simulated.asked[:3:2] == [((64, 64), 1, "float32"), ((128, 128), 1, "float32")]


def test_a_pipeline_that_is_held_is_given_at_no_cost(simulated: Simulated) -> None:
    """End to end, it is asked for inside the clock."""
    options = Options(sd_model="tiny", sd_size="64", sd_steps="2")
    (cell,) = grid.generate(options)
    held = Pipelines(options)
    assert held.of(cell) is held.of(cell)
    assert simulated.asked == [((64, 64), 1, "float32")]


def test_a_mode_has_a_pipeline_of_its_own_for_each_size_and_batch(simulated: Simulated) -> None:
    options = Options(
        sd_model="tiny", sd_size="64,96", sd_steps="4,2", sd_batch="1,2", sd_mode="eager,compile"
    )
    held = Pipelines(options)
    found = {cell.id: held.of(cell).mode for cell in grid.generate(options)}
    assert {mode for name, mode in found.items() if "compile" in name} == {"compile"}
    assert {mode for name, mode in found.items() if "compile" not in name} == {"eager"}
    assert len(simulated.loaded) == 1 + 4
    assert set(simulated.alive) == {0}


def test_eager_draws_every_number_of_steps_before_the_mode_is_applied(
    simulated: Simulated,
) -> None:
    options = Options(sd_model="tiny", sd_size="64", sd_steps="4,2,8", sd_mode="compile")
    held = Pipelines(options)
    cells = grid.generate(options)
    for cell in cells:
        held.of(cell)
        assert held.eager(cell) == [f"{cell.id} as eager draws it"]
    names = [cell.id for cell in cells]
    eager = [("eager", name) for name in names]
    assert simulated.drawn == [*eager, ("compile", names[1])]  # the quickest compiles


def test_a_pipeline_that_fails_to_load_leaves_none(
    simulated: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options(sd_model="tiny", sd_dtype="float32,bfloat16", sd_steps="2")
    first, *_, last = grid.generate(options)
    held = Pipelines(options)
    held.of(first)
    with monkeypatch.context() as broken:
        broken.setattr(diffusion, "load", lambda *question: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            held.of(last)
    held.of(first)
    assert len(simulated.loaded) == 2
    assert simulated.alive == [0, 0]


def test_a_pipeline_that_fails_to_compile_is_not_kept(
    simulated: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cell,) = grid.generate(Options(sd_model="tiny", sd_mode="compile", sd_size="64", sd_steps="2"))
    held = Pipelines(Options(sd_model="tiny", sd_mode="compile", sd_size="64", sd_steps="2"))
    with monkeypatch.context() as broken:
        broken.setattr(modes, "apply", lambda pipe, mode: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            held.of(cell)
    assert simulated.alive_now() == 0
    held.of(cell)
    assert len(simulated.loaded) == 2


def test_the_parts_of_a_call_are_the_stages_that_a_table_names() -> None:
    named = {name: object() for name in ("text_encoder", "unet", "scheduler", "vae")}
    one = pipelines.parts(SimpleNamespace(**named))
    two = pipelines.parts(SimpleNamespace(**named, text_encoder_2=object()))
    assert list(dict.fromkeys(part.stage for part in one)) == [
        "text encoder",
        "UNet",
        "scheduler",
        "VAE decode",
    ]
    assert len(two) == len(one) + 1
    assert [part.stage for part in two].count("text encoder") == 2
    for part in one:
        assert part.owner in named.values()


def test_a_batch_is_drawn_from_the_first_seeds() -> None:
    pipe = diffusion.load("tiny", "cpu")
    (cell,) = grid.generate(Options(sd_model="tiny", sd_size="64", sd_steps="2", sd_batch="2"))
    expected = diffusion.sample(pipe, diffusion.PROMPT, [0, 1], (64, 64), 2)
    found = pipelines.draw(pipe, cell)
    assert [image.tobytes() for image in found] == [image.tobytes() for image in expected]
