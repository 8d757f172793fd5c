"""Generate: a prompt and a seed give the same picture, however many are asked for."""

from typing import Any

import pytest

from pipeline import availability, contracts
from pipeline.errors import ContractError, PipelineError, UnavailableError
from pipeline.stable_diffusion import diffusion
from pipeline.stable_diffusion.diffusion import Drawing
from pipeline.stable_diffusion.models import TINY
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


WHOLE = "expected a whole number"
PAIR = "expected (width, height) in pixels, such as (512, 512); change size"
SIDES = "expected sides divisible by 8; round to a multiple"


@pytest.mark.parametrize(
    ("question", "line"),
    [
        ({"count": 0}, "count 0: expected at least 1; ask for one image or more"),
        ({"count": -1}, "count -1: expected at least 1; ask for one image or more"),
        ({"count": 2.0}, f"count 2.0: {WHOLE}; change count"),
        ({"count": "3"}, f"count '3': {WHOLE}; change count"),
        ({"count": True}, f"count True: {WHOLE}; change count"),
        ({"seed": 1.5}, f"seed 1.5: {WHOLE}; change seed"),
        ({"seed": None}, f"seed None: {WHOLE}; change seed"),
        (
            {"seed": 10**20},
            f"seed {10**20}: expected a whole number of 64 bits; choose a smaller one",
        ),
        ({"steps": 0}, "steps 0: expected at least 1; ask for one step or more"),
        ({"steps": -1}, "steps -1: expected at least 1; ask for one step or more"),
        ({"steps": 4.0}, f"steps 4.0: {WHOLE}; change steps"),
        (
            {"steps": 1001},
            "steps 1001: expected at most 1000 with DDIMScheduler; ask for fewer steps",
        ),
        ({"size": (100, 64)}, f"size 100x64: {SIDES}"),
        ({"size": (64, 65)}, f"size 64x65: {SIDES}"),
        ({"size": (0, 64)}, "size 0x64: expected at least 1 pixel a side; change it"),
        ({"size": (64, -64)}, "size 64x-64: expected at least 1 pixel a side; change it"),
        ({"size": 64}, f"size 64: {PAIR}"),
        ({"size": 64.0}, f"size 64.0: {PAIR}"),
        ({"size": (64,)}, f"size (64,): {PAIR}"),
        ({"size": (64, 64, 3)}, f"size (64, 64, 3): {PAIR}"),
        ({"size": "64x64"}, f"size '64x64': {PAIR}"),
        ({"size": (64.0, 64)}, f"size 64.0: {WHOLE}; change size"),
        ({"device": "gpu"}, "device 'gpu': expected cpu or cuda; change device"),
        ({"device": 0}, "device 0: expected cpu or cuda; change device"),
        (
            {"dtype": "float64"},
            "dtype 'float64': expected float16 or bfloat16 or float32; change dtype",
        ),
        ({"dtype": 16}, "dtype 16: expected float16 or bfloat16 or float32; change dtype"),
        ({"guidance": -1}, "guidance -1: expected a number from 0; change guidance"),
        ({"guidance": "7"}, "guidance '7': expected a number from 0; change guidance"),
        (
            {"guidance": float("nan")},
            "guidance nan: expected a number from 0; change guidance",
        ),
        ({"prompt": None}, "prompt of type NoneType: expected a text; change prompt"),
        ({"prompt": ["a", "b"]}, "prompt of type list: expected a text; change prompt"),
        (
            {"prompt": "caf\udce9"},
            "prompt 'caf\\udce9': expected UTF-8; encode prompt as UTF-8",
        ),
        (
            {"negative_prompt": 3},
            "negative prompt of type int: expected a text; change negative prompt",
        ),
        ({"scheduler": 3}, "scheduler of type int: expected a text; change scheduler"),
        ({"model": 3}, "model of type int: expected a text; change model"),
    ],
    ids=str,
)
def test_a_question_without_an_answer_is_refused(question: dict[str, Any], line: str) -> None:
    with pytest.raises(PipelineError) as refused:
        diffusion.generate(**{"count": 1, **question})
    assert str(refused.value) == line


def test_settings_are_taken_as_programs_have_them() -> None:
    import numpy as np
    import torch

    settings = {
        "count": np.int64(1),
        "seed": np.int64(5),
        "steps": np.int32(2),
        "size": np.array([64, 72]),
        "device": torch.device("cpu"),
        "dtype": torch.bfloat16,
        "guidance": np.float32(2.5),
        "model": TINY,
    }
    (one,) = diffusion.generate(**settings)
    (other,) = diffusion.generate(
        count=1, seed=5, steps=2, size=(64, 72), model=str(TINY), device="cpu", dtype="bfloat16",
        guidance=2.5,
    )  # fmt: skip
    assert one.tobytes() == other.tobytes()
    assert one.info == other.info
    assert one.info["size"] == "64x72"
    assert (one.info["device"], one.info["dtype"]) == ("cpu", "bfloat16")


def test_an_image_that_breaks_its_contract_is_named_with_its_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawing = Drawing(seed=5, steps=1)
    forward = drawing.load().unet.forward
    monkeypatch.setattr(
        drawing.load().unet,
        "forward",
        lambda *inputs, **options: [forward(*inputs, **options)[0] * float("nan")],
    )
    with pytest.raises(ContractError) as broken:
        drawing.draw(2)
    assert str(broken.value) == (
        "image 3 (seed 7): NaN in 100% of its levels: expected finite levels; "
        "check the weights and the configurations, such as scaling_factor"
    )


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            IndexError("index 1000\nis out"),
            "StableDiffusionPipeline at 64x64: expected a call that it can answer (IndexError: "
            "index 1000 is out); change the settings, or the model",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            "image 1 (seed 0): expected enough memory (DefaultCPUAllocator: can't allocate "
            "memory: you tried); ask for a smaller size, or half precision",
        ),
        (
            MemoryError(),
            "image 1 (seed 0): expected enough memory (MemoryError); "
            "ask for a smaller size, or half precision",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_call_raises_is_one_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception, line: str
) -> None:
    def fail(*inputs: Any, **options: Any) -> None:
        raise error

    drawing = Drawing(steps=1)
    monkeypatch.setattr(drawing.load().unet, "forward", fail)
    with pytest.raises(PipelineError) as refused:
        drawing.draw(0)
    assert str(refused.value) == line


def test_ctrl_c_in_a_call_stays_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*inputs: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    drawing = Drawing(steps=1)
    monkeypatch.setattr(drawing.load().unet, "forward", interrupt)
    with pytest.raises(KeyboardInterrupt):
        drawing.draw(0)


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
