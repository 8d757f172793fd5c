"""The pipelines of a run: one in memory at a time, eager's pictures drawn before a mode is applied.

Loading, drawing and modes are simulated; `test_modes.py` has the real ones.
"""

import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from bench import grid
from bench.results.cell import Cell
from bench.workloads import modes, pipelines
from bench.workloads.pipelines import Pipelines
from pipeline.stable_diffusion import diffusion
from pipeline.validation import meta
from support.grids import options


class Pipe:
    mode = "eager"


class Simulated:
    """What was loaded, with what else was alive then, and in which mode each cell was drawn."""

    def __init__(self) -> None:
        self.loaded: list[tuple[str, str, str]] = []
        self.alive: list[int] = []
        self.drawn: list[tuple[str, str]] = []
        self.checked: list[Any] = []
        self._pipes: list[weakref.ref[Pipe]] = []

    def load(self, name: str, device: str, dtype: str) -> Pipe:
        self.alive.append(self.alive_now())
        self.loaded.append((name, device, dtype))
        pipe = Pipe()
        self._pipes.append(weakref.ref(pipe))
        return pipe

    def alive_now(self) -> int:
        gc.collect()
        return sum(pipe() is not None for pipe in self._pipes)

    def draw(self, pipe: Pipe, cell: Cell) -> list[Any]:
        self.drawn.append((pipe.mode, cell.id))
        return [f"{cell.id} as {pipe.mode} draws it"]


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> Simulated:
    simulated = Simulated()
    monkeypatch.setattr(diffusion, "load", simulated.load)
    monkeypatch.setattr(pipelines, "draw", simulated.draw)
    monkeypatch.setattr(meta, "require", lambda model, *point: simulated.checked.append(point))
    monkeypatch.setattr(modes, "apply", lambda pipe, mode: setattr(pipe, "mode", mode))
    return simulated


def held(typed: str) -> tuple[Pipelines, list[Cell]]:
    """The pipelines and the cells of a command line."""
    chosen = options(f"--sd-model tiny {typed}")
    cells = grid.generate(chosen)
    return Pipelines(grid.models_of(chosen), cells), cells


def test_cells_of_one_model_share_a_pipeline_and_another_replaces_it(simulated: Simulated) -> None:
    pipelines, cells = held("--sd-dtype float32,bfloat16 --sd-steps 2,4 --sd-batch 1,2")
    for cell in cells:
        pipelines.of(cell)
    assert simulated.loaded == [("tiny", "cpu", "float32"), ("tiny", "cpu", "bfloat16")]
    assert simulated.alive == [0, 0]
    assert simulated.drawn == []
    assert simulated.checked[:3:2] == [((64, 64), 1, "float32"), ((128, 128), 1, "float32")]


def test_a_pipeline_that_is_held_is_given_at_no_cost(simulated: Simulated) -> None:
    """End to end, it is asked for inside the clock."""
    pipelines, [cell] = held("--sd-size 64 --sd-steps 2")
    assert pipelines.of(cell) is pipelines.of(cell)
    assert simulated.checked == [((64, 64), 1, "float32")]


def test_a_mode_has_a_pipeline_of_its_own_for_each_size_and_batch(simulated: Simulated) -> None:
    pipelines, cells = held("--sd-size 64,96 --sd-steps 4,2 --sd-batch 1,2 --sd-mode eager,compile")
    for cell in cells:
        assert pipelines.of(cell).mode == cell.axes.get("mode", "eager")
    assert len(simulated.loaded) == 1 + 4
    assert set(simulated.alive) == {0}


def test_eager_draws_every_number_of_steps_before_the_mode_is_applied(
    simulated: Simulated,
) -> None:
    pipelines, cells = held("--sd-size 64 --sd-steps 4,2,8 --sd-mode compile")
    for cell in cells:
        pipelines.of(cell)
        assert pipelines.eager(cell) == [f"{cell.id} as eager draws it"]
    names = [cell.id for cell in cells]
    eager = [("eager", name) for name in names]
    assert simulated.drawn == [*eager, ("compile", names[1])]  # the quickest compiles


@pytest.mark.parametrize("broken", ["load", "apply"])
def test_a_pipeline_that_fails_to_load_or_to_compile_is_not_kept(
    simulated: Simulated, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    pipelines, [first, last] = held("--sd-size 64 --sd-steps 2 --sd-mode eager,compile")
    pipelines.of(first)
    with monkeypatch.context() as faulty:
        faulty.setattr({"load": diffusion, "apply": modes}[broken], broken, lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pipelines.of(last)
    assert simulated.alive_now() == 0
    assert pipelines.of(first).mode == "eager"
    assert set(simulated.alive) == {0}


def test_the_parts_of_a_call_are_the_stages_that_a_table_names() -> None:
    named: dict[str, object] = {name: object() for name in ("text_encoder", "unet", "vae")}
    named["scheduler"] = SimpleNamespace(set_timesteps=None, scale_model_input=None, step=None)
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
    _, [cell] = held("--sd-size 64 --sd-steps 2 --sd-batch 2")
    expected = diffusion.sample(pipe, diffusion.PROMPT, [0, 1], (64, 64), 2)
    images = pipelines.draw(pipe, cell)
    assert [image.tobytes() for image in images] == [image.tobytes() for image in expected]
