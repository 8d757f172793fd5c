"""Modes: what they change in a pipeline, how much its picture may change, what they need."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from bench.workloads import modes
from bench.workloads.modes import Graphed
from pipeline import availability
from pipeline.errors import UnavailableError
from pipeline.stable_diffusion import diffusion


def picture(level: int, odd: int | None = None) -> Any:
    """One level everywhere, but for a channel of one pixel."""
    from PIL import Image

    image = Image.new("RGB", (4, 2), (level, level, level))
    if odd is not None:
        image.putpixel((3, 1), (level, odd, level))
    return image


def draw(pipe: Any) -> Any:
    return diffusion.sample(pipe, "river", [0, 1], (64, 64), 4)


# Pictures.


@pytest.mark.parametrize(
    ("dtype", "device", "levels"),
    [
        ("float32", "cpu", (2, 0.1)),
        ("float16", "cpu", (32, 0.75)),
        ("bfloat16", "cpu", (64, 3)),
        ("float16", "cuda", (32, 0.75)),
        ("float32", "cuda", (32, 0.75)),
    ],
)
def test_how_far_a_picture_may_change_depends_on_the_precision(
    dtype: str, device: str, levels: tuple[float, float]
) -> None:
    """Convolutions in float32 on CUDA are TF32, with the 10 bits of float16."""
    assert modes.tolerance(dtype, device) == levels


def test_the_furthest_level_of_any_image_counts() -> None:
    largest, mean = modes.difference([picture(9), picture(9, 12)], [picture(9), picture(9, 5)])
    assert (largest, mean) == (7, pytest.approx(7 / (2 * 4 * 2 * 3)))
    assert modes.difference([picture(9)], [picture(9)]) == (0, 0)


def test_a_mode_that_changes_the_picture_is_said_to() -> None:
    assert modes.check_alike((3, 0.5), (3, 0.5)) == []
    remedy = "the mode changes the picture: use eager, or --sd-dtype float32"
    assert [str(violation) for violation in modes.check_alike((3, 0.5123), (2, 0.1))] == [
        f"images: 3 levels of 255 off eager's, expected at most 2; {remedy}",
        f"images: 0.512 levels of 255 off eager's on average, expected at most 0.1; {remedy}",
    ]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_unet_that_is_off_by_a_tenth_or_has_a_hundredth_of_noise_is_found(dtype: str) -> None:
    """The largest difference alone let both pass in half precision."""
    import torch

    pipe = diffusion.load("tiny", "cpu", dtype)
    eager, forward = draw(pipe), pipe.unet.forward

    def noisy(output: Any) -> Any:
        drawn = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
        return output + (0.01 * output.std() * drawn).to(output.dtype)

    for fault in (lambda output: 1.1 * output, noisy):
        pipe.unet.forward = lambda *given, fault=fault, **named: (
            fault(forward(*given, **named)[0]),
        )
        off = modes.difference(draw(pipe), eager)
        assert modes.check_alike(off, modes.tolerance(dtype, "cpu"))


@pytest.mark.skipif(availability.compiler() is not None, reason=str(availability.compiler()))
def test_compile_draws_what_eager_draws() -> None:
    import torch

    pipe = diffusion.load("tiny", "cpu")
    eager = diffusion.sample(pipe, "river", [0, 1], (64, 64), 2)
    modes.apply(pipe, "compile")
    images = diffusion.sample(pipe, "river", [0, 1], (64, 64), 2)
    off = modes.difference(images, eager)
    assert modes.check_alike(off, modes.tolerance("float32", "cpu")) == []
    assert images[0].tobytes() != images[1].tobytes()
    weight = pipe.unet.conv_in.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert {type(processor).__name__ for processor in pipe.unet.attn_processors.values()} == {
        "FusedAttnProcessor2_0"
    }


def test_eager_is_the_pipeline_as_it_is() -> None:
    pipe = SimpleNamespace()
    modes.apply(pipe, "eager")
    assert vars(pipe) == {}


# What a mode needs.


def test_a_graph_needs_cuda() -> None:
    pipe = SimpleNamespace(device=SimpleNamespace(type="cpu"))
    with pytest.raises(UnavailableError) as caught:
        modes.apply(pipe, "graph")
    assert str(caught.value) == (
        "--sd-mode graph: expected a CUDA device; no CUDA graph on the CPU; add --sd-device cuda"
    )


@pytest.mark.parametrize("mode", ["compile", "graph"])
def test_compiling_for_cuda_needs_triton(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "_has_triton", lambda: False)
    pipe = SimpleNamespace(device=SimpleNamespace(type="cuda"))
    with pytest.raises(UnavailableError) as caught:
        modes.apply(pipe, mode)
    assert str(caught.value) == (
        f"--sd-mode {mode}: expected Triton; no Triton, which torch.compile uses on CUDA; "
        "pip install triton"
    )


# Graphs: the capture is simulated, on the CPU. What is copied in and out is the code's own.


class SimulatedCapture:
    """As CUDA's: the replay works on the memory that the capture saw, and returns nothing."""

    def __init__(self) -> None:
        self.captures = 0

    def __call__(self, call: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        self.captures += 1
        output = call()

        def replay() -> None:
            for result, new in zip(output, call(), strict=True):
                result.copy_(new)

        return replay, output


def network(sample: Any, step: Any, conditions: Any = None, scale: float = 1.0) -> tuple[Any]:
    added = conditions["ids"].sum() if conditions else 0
    return (sample * step * scale + added,)


def test_a_replay_gives_what_the_function_gives() -> None:
    import torch

    capture = SimulatedCapture()
    graphed = Graphed(network, capture)
    for number in range(1, 4):
        sample, ids = torch.full((2, 3), float(number)), torch.arange(number, number + 4)
        arguments = (sample, torch.tensor(number))
        (result,) = graphed(*arguments, conditions={"ids": ids})
        assert torch.equal(result, network(*arguments, conditions={"ids": ids})[0])
    assert capture.captures == 1


def test_the_next_replay_changes_neither_arguments_nor_results() -> None:
    import torch

    graphed = Graphed(network, SimulatedCapture())
    sample = torch.ones(2)
    (first,) = graphed(sample, torch.tensor(3))
    graphed(torch.zeros(2), torch.tensor(5))
    assert (sample.tolist(), first.tolist()) == ([1, 1], [3, 3])


def test_another_shape_type_or_constant_is_another_capture() -> None:
    import torch

    capture = SimulatedCapture()
    graphed = Graphed(network, capture)
    step = torch.tensor(2)
    calls: list[tuple[Any, dict[str, Any]]] = [
        (torch.ones(2), {}),
        (torch.ones(3), {}),
        (torch.ones(3, dtype=torch.float64), {}),
        (torch.ones(3), {"scale": 2.0}),
        (torch.ones(3), {"conditions": {"ids": step}}),
    ]
    for _ in range(2):
        for sample, named in calls:
            (result,) = graphed(sample, step, **named)
            assert torch.equal(result, network(sample, step, **named)[0])
    assert capture.captures == len(calls)
