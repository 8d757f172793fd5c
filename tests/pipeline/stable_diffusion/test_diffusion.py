"""Generate: a prompt and a seed give the same picture, however many are asked for."""

from typing import Any

import pytest

from pipeline import availability, contracts
from pipeline.errors import PipelineError, UnavailableError
from pipeline.stable_diffusion import diffusion
from support.helpers import NO_CUDA


@pytest.fixture(scope="module")
def pipe() -> Any:
    return diffusion.load("tiny", "cpu")


def pixels(images: list[Any]) -> list[bytes]:
    return [image.tobytes() for image in images]


def test_three_images_of_the_tiny_pipeline_hold_the_contract() -> None:
    images = diffusion.generate()
    assert contracts.check_images(images, 3, (64, 64)) == []
    assert len(set(pixels(images))) == 3


def test_one_seed_gives_the_same_bytes_and_another_seed_others(pipe: Any) -> None:
    first, second, other = (
        pixels(diffusion.sample(pipe, diffusion.PROMPT, [seed], None, 4)) for seed in (5, 5, 6)
    )
    assert first == second
    assert first != other


def test_an_image_depends_on_its_own_seed_and_not_on_the_count() -> None:
    assert pixels(diffusion.generate(count=2, seed=5, steps=2))[1:] == pixels(
        diffusion.generate(count=1, seed=6, steps=2)
    )


def test_the_prompt_and_the_steps_change_the_image(pipe: Any) -> None:
    images = [
        pixels(diffusion.sample(pipe, prompt, [0], None, steps))[0]
        for prompt, steps in (("river", 2), ("river", 3), ("", 2))
    ]
    assert len(set(images)) == 3


def test_a_batch_gives_the_images_of_its_seeds_in_order(pipe: Any) -> None:
    import numpy as np

    batch = diffusion.sample(pipe, "river", [3, 4], None, 2)
    alone = [diffusion.sample(pipe, "river", [seed], None, 2)[0] for seed in (3, 4)]
    for one, other in zip(batch, alone, strict=True):
        assert np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max() <= 1


def test_a_size_is_width_times_height(pipe: Any) -> None:
    [image] = diffusion.sample(pipe, "river", [0], (128, 64), 1)
    assert image.size == (128, 64)


def test_progress_counts_the_steps_of_every_image() -> None:
    told: list[tuple[int, int]] = []
    diffusion.generate(count=2, steps=3, progress=lambda *done: told.append(done))
    assert told == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]


def test_progress_never_counts_more_steps_than_were_asked_for() -> None:
    """PNDM, the scheduler of `arch:sd15`, calls the UNet once more than it has steps."""
    from diffusers import PNDMScheduler

    pipe = diffusion.load("tiny", "cpu")
    pipe.scheduler = PNDMScheduler.from_config(pipe.scheduler.config, skip_prk_steps=True)
    told: list[int] = []
    diffusion.sample(pipe, "river", [0], None, 4, told.append)
    assert told[-1] == max(told) == 4


@pytest.mark.parametrize(
    ("question", "line"),
    [
        ({"count": 0}, "count 0: expected at least 1; ask for one image or more"),
        ({"count": -1}, "count -1: expected at least 1; ask for one image or more"),
        ({"steps": 0}, "steps 0: expected at least 1; ask for one step or more"),
        ({"steps": -1}, "steps -1: expected at least 1; ask for one step or more"),
        (
            {"size": (100, 64)},
            "size 100x64: expected sides divisible by 8; round to a multiple",
        ),
        ({"size": (64, 65)}, "size 64x65: expected sides divisible by 8; round to a multiple"),
    ],
)
def test_a_question_without_an_answer_is_refused(question: dict[str, Any], line: str) -> None:
    with pytest.raises(PipelineError) as refused:
        diffusion.generate(**{"count": 1, **question})
    assert str(refused.value) == line


@pytest.mark.parametrize(
    "question",
    [{"size": (0, 64)}, {"size": (64, -64)}, {"steps": 1001}, {"seed": 10**20}],
    ids=str,
)
def test_what_the_library_cannot_do_is_refused_too(question: dict[str, Any]) -> None:
    with pytest.raises(PipelineError):
        diffusion.generate(**{"count": 1, "steps": 1, **question})


def test_cuda_that_is_missing_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "torch_cuda", lambda: NO_CUDA)
    with pytest.raises(UnavailableError) as refused:
        diffusion.generate(model="arch:sd15")
    assert str(refused.value) == (
        "--device cuda: expected a CUDA device; no CUDA: this test hides it; run another test"
    )


@pytest.mark.parametrize(
    ("model", "device", "dtype"),
    [("tiny", "cpu", "float32"), ("arch:sd15", "cuda", "float16"), ("a/b", "cuda", "float16")],
)
def test_a_model_runs_where_and_how_it_is_meant_to(model: str, device: str, dtype: str) -> None:
    assert diffusion.default_device(model) == device
    assert diffusion.default_dtype(device) == dtype
