"""What computes scores: every engine holds its contract, and scores that are off break it."""

from contextlib import suppress
from typing import Any

import pytest

from bench import grid
from bench.workloads import engines
from pipeline import availability
from pipeline.flux import apart, julia
from pipeline.flux import forward as flux
from pipeline.flux import network as reference
from support.grids import options
from support.helpers import ROOT, with_julia

FLUX = ("flux", "flux-inside", "flux-buffered", "flux-bridge")

OFF = (
    "scores: 0.001 off the reference, expected at most 0.0001; compare the weights and their order"
)
SHAPE = "scores: shape (2, 9), expected shape (2, 10); check what was fed to this stage"
NOT_FINITE = "scores: a value that is not finite, expected finite; check the weights"
ALL_EQUAL = "scores: all equal, expected scores that differ; check the weights"


def batch_of(count: int) -> Any:
    import torch

    shape = (count, 3, 224, 224)
    return torch.rand(shape, generator=torch.Generator().manual_seed(count))


def said(violations: Any) -> list[str]:
    return [str(violation) for violation in violations]


class StandIn:
    """The PyTorch reference with the methods of a Flux model; it notes the calls."""

    classes = 10

    def __init__(self, asked: list[Any]) -> None:
        self._asked = asked

    def __call__(self, batch: Any) -> Any:
        self._asked.append(("call", len(batch)))
        return reference.forward(batch)

    def timed(self, batch: Any) -> Any:
        return reference.forward(batch), 0.25

    def bridge(self, batch: Any) -> Any:
        return reference.forward(batch) * 0

    def allocated(self, batch: Any) -> int:
        return 1000 * len(batch)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let a stand-in take the place of Flux and of Julia; return what is asked of them."""
    asked: list[Any] = []

    def load(*arguments: Any, buffered: bool) -> StandIn:
        asked.append(("load", *arguments))
        return StandIn(asked)

    monkeypatch.setattr(flux, "load", load)
    monkeypatch.setattr(julia, "set_blas_threads", lambda count: asked.append(("blas", count)))
    monkeypatch.setattr(apart, "reclaim", lambda device: asked.append(("reclaim", device)))
    return asked


def test_every_engine_of_the_grid_is_there() -> None:
    assert list(engines.ENGINES) == list(
        dict.fromkeys(cell.axes["engine"] for cell in grid.forward(options()))
    )


def test_the_reference_holds_its_contract() -> None:
    batch = batch_of(2)
    with engines.ready("reference", "cpu", batch) as engine:
        assert said(engine.check(engine.call(batch), batch)) == []
    assert engine.weights == "fixture, trained"
    assert engine.classes == 10


def test_compiled_the_reference_scores_as_it_does_eagerly() -> None:
    absent = availability.compiler()
    if absent is not None:
        pytest.skip(str(absent))
    batch = batch_of(2)
    with engines.ready("compiled", "cpu", batch) as engine:
        scores = engine.call(batch)
        assert said(engine.check(scores, batch)) == []
    assert (scores.shape, str(scores.dtype)) == ((2, 10), "float32")
    assert abs(scores - reference.forward(batch)).max() < 1e-4


@pytest.mark.parametrize("name", engines.ENGINES)
def test_scores_of_another_shape_break_every_contract(asked: list[Any], name: str) -> None:
    batch = batch_of(2)
    engine = engines.ENGINES[name]("cpu", 3, "")
    scores = reference.forward(batch)[:, :9]
    assert said(engine.check((scores, 0.25) if engine.inside else scores, batch)) == [SHAPE]


@pytest.mark.parametrize("name", ["reference", "flux", "flux-inside"])
@pytest.mark.parametrize(("value", "line"), [(float("nan"), NOT_FINITE), (0.0, ALL_EQUAL)])
def test_scores_that_are_none_break_the_contract(
    asked: list[Any], name: str, value: float, line: str
) -> None:
    batch = batch_of(2)
    engine = engines.ENGINES[name]("cpu", 3, "")
    scores = reference.forward(batch)
    scores[:] = value
    assert said(engine.check((scores, 0.25) if engine.inside else scores, batch)) == [line]


@pytest.mark.parametrize("name", ["flux", "flux-inside", "flux-buffered", "compiled"])
def test_scores_off_by_a_thousandth_break_the_contract(asked: list[Any], name: str) -> None:
    batch = batch_of(2)
    engine = engines.ENGINES[name]("cpu", 3, "")
    scores = reference.forward(batch)
    for shift, lines in ((0.0, []), (1e-3, [OFF])):
        shifted = scores + scores.dtype.type(shift)
        assert said(engine.check((shifted, 0.25) if engine.inside else shifted, batch)) == lines


@pytest.mark.parametrize("name", ["flux", "flux-inside"])
def test_a_users_own_model_is_not_held_against_the_reference(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    batch = batch_of(2)
    engine = engines.ENGINES[name]("cpu", 3, "mine.jl:model")
    monkeypatch.setattr(StandIn, "__call__", lambda self, batch: reference.forward(batch) + 1)
    scores = reference.forward(batch) + 1
    assert said(engine.check((scores, 0.25) if engine.inside else scores, batch)) == []
    assert engine.weights == "the model's own"
    assert asked[0] == ("load", 3, "cpu", "mine.jl:model")


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (
            lambda self, batch: reference.forward(batch) + 1,
            "scores: not repeatable, 1 apart in two calls on one batch, expected the same scores; "
            "return Flux.testmode!(model), and draw no random numbers",
        ),
        (
            lambda self, batch: reference.forward(batch.mul_(0.5)),
            "batch: changed by the model, expected a batch that stays as it is; "
            "let the model work on a copy: x -> model(copy(x))",
        ),
    ],
    ids=["another answer", "a batch that it changes"],
)
@pytest.mark.parametrize("name", ["flux", "flux-inside"])
def test_a_users_own_model_is_called_twice(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch, name: str, call: Any, line: str
) -> None:
    batch = batch_of(2)
    engine = engines.ENGINES[name]("cpu", 3, "mine.jl:model")
    scores = reference.forward(batch)
    monkeypatch.setattr(StandIn, "__call__", call)
    assert said(engine.check((scores, 0.25) if engine.inside else scores, batch)) == [line]


def test_only_the_forward_inside_is_published_by_julias_clock(asked: list[Any]) -> None:
    batch = batch_of(1)
    inside = {name: engines.ENGINES[name]("cpu", 3, "").inside for name in engines.ENGINES}
    assert [name for name, reads in inside.items() if reads] == ["flux-inside"]
    assert inside["flux-inside"](StandIn([]).timed(batch)) == 0.25


def test_only_flux_as_python_sees_it_says_what_julia_allocates(asked: list[Any]) -> None:
    batch = batch_of(2)
    extra = {name: engines.ENGINES[name]("cpu", 3, "").extra(batch) for name in engines.ENGINES}
    for name in ("flux", "flux-buffered"):
        assert extra.pop(name) == {"julia_allocated_bytes": 2000}
    assert set(map(str, extra.values())) == {"{}"}


def test_the_bridge_runs_on_no_weights(asked: list[Any]) -> None:
    batch = batch_of(2)
    with engines.ready("flux-bridge", "cpu", batch) as engine:
        assert said(engine.check(engine.call(batch), batch)) == []
    assert engine.weights == ""


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("name", FLUX)
def test_flux_has_had_the_batch_once_with_torchs_threads_and_gives_a_gpus_memory_back(
    asked: list[Any], name: str, device: str
) -> None:
    import torch

    with suppress(ZeroDivisionError), engines.ready(name, device, batch_of(2)):
        called = list(asked)
        raise ZeroDivisionError
    threads = [("blas", torch.get_num_threads())] if device == "cpu" else []
    calls = [("call", 2)] if name in ("flux", "flux-buffered") else []
    assert called == [("load", 3, device, ""), *threads, *calls]
    assert asked[len(called) :] == ([("reclaim", "cuda")] if device == "cuda" else [])


# The real ones.


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    answers: dict[str, Any] = with_julia((ROOT / "tests/suites/flux_engines.py").read_text())
    return answers


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("name", FLUX)
def test_flux_holds_its_contract_with_torchs_threads(
    answers: dict[str, Any], name: str, count: int
) -> None:
    answer = answers[f"{name}, batch {count}"]
    assert answer["held"] == []
    assert answer["off"] == ([] if name == "flux-bridge" else [OFF])
    assert answer["blas"] == 0


@pytest.mark.parametrize("count", [1, 8])
def test_flux_says_what_julias_clock_and_its_allocator_have_counted(
    answers: dict[str, Any], count: int
) -> None:
    assert answers[f"flux-inside, batch {count}"]["seconds"] > 0
    allocated = answers[f"flux, batch {count}"]["extra"]["julia_allocated_bytes"]
    feature_maps = 16 * 224 * 224 * 4 * count
    assert allocated > feature_maps
