"""Wrong settings and wrong pictures are refused in words; what libraries call them is taken."""

from pathlib import Path
from typing import Any

import pytest

from pipeline import pregenerated
from pipeline.errors import PipelineError
from pipeline.preprocessing import preprocess as preprocessing
from support.pictures import filled, photo

IMAGES = pregenerated.paths()
ALONE = "expected a list of images; put it in a list"


def refusal(*arguments: Any, **options: Any) -> str:
    with pytest.raises(PipelineError) as refused:
        preprocessing.preprocess(*arguments, **options)
    return str(refused.value)


@pytest.mark.parametrize(
    ("picture", "line"),
    [
        ("photo.png", f"image photo.png, alone: {ALONE}"),
        (b"1234", f"image of 4 bytes, alone: {ALONE}"),
        (filled("RGB", 0), f"image in an Image, alone: {ALONE}"),
    ],
)
def test_one_picture_is_not_a_list(picture: Any, line: str) -> None:
    import numpy as np

    assert refusal(picture) == line
    assert refusal(np.asarray(photo())) == f"image in an ndarray, alone: {ALONE}"


def test_what_is_not_a_picture_is_refused() -> None:
    assert refusal([IMAGES[0], None]) == (
        "image in a NoneType: expected a path, bytes, a file, a PIL image, an array or a tensor; "
        "convert it"
    )


def test_the_first_bad_image_is_named(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere.png"
    line = f"image {nowhere}: expected a file that exists; check the path"
    assert refusal([IMAGES[0], nowhere, tmp_path]) == line


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"images": []}, "no image: expected at least one; pass one image or more"),
        ({"size": 0}, "size 0: expected at least 1 pixel; use 224"),
        ({"size": -224}, "size -224: expected at least 1 pixel; use 224"),
        *(
            ({"size": size}, f"3 images of size {size}: expected a batch that fits into memory; "
                             "use 224")
            for size in (10**8, 10**30)
        ),
        ({"channels": 2}, "channels 2: expected 3, or 1 with grayscale; add grayscale=True"),
        ({"channels": 1}, "channels 1: expected 3, or 1 with grayscale; add grayscale=True"),
        (
            {"interpolation": "lanczos"},
            "interpolation lanczos: expected bilinear or bicubic or nearest or nearest-exact; "
            "use bilinear",
        ),
        ({"device": "tpu"}, "device tpu: expected cpu or cuda; use cpu"),
        ({"device": None}, "device None: expected cpu or cuda; use cpu"),
        ({"device": "cuda:x"}, "device cuda:x: expected cpu or cuda; use cpu"),
        *(
            ({"size": size}, f"size {size}: expected at least 1 pixel; use 224")
            for size in ((224, 224), 224.0, "224", None, True)
        ),
        *(
            ({"background": value}, f"background {value!r}: expected three levels from 0 to 255: "
                                    "red, green, blue; use (255, 255, 255)")
            for value in ("white", (300, 0, 0), (1, 2, 3, 4), (0.5, 0.5, 0.5), 7)
        ),
        *(
            ({name: "yes"}, f"{name} 'yes': expected True or False; change it")
            for name in ("grayscale", "antialias", "scaled")
        ),
        ({"images": None}, "images None: expected a list of images; pass one image or more"),
        ({"images": 5}, "images 5: expected a list of images; pass one image or more"),
    ],
)  # fmt: skip
def test_a_wrong_keyword_is_refused(options: dict[str, Any], line: str) -> None:
    assert refusal(**{"images": IMAGES, **options}) == line


def test_settings_take_what_the_libraries_of_the_field_call_them() -> None:
    import numpy as np
    import torch
    from torchvision.transforms.v2 import InterpolationMode

    settings = preprocessing.Settings(
        size=np.int64(32),
        interpolation=InterpolationMode.BICUBIC,
        device=torch.device("cpu"),
        background=[1, 2, np.uint8(3)],  # type: ignore[arg-type]
    )
    assert settings == preprocessing.Settings(32, False, None, "bicubic", background=(1, 2, 3))
    assert type(settings.size) is int


def test_a_tensor_without_values_is_refused() -> None:
    import torch

    sparse, meta = torch.zeros(3, 4, 4).to_sparse(), torch.zeros(3, 4, 4, device="meta")
    assert refusal([sparse]) == (
        "image in a Tensor, sparse: expected a dense tensor; call to_dense()"
    )
    assert refusal([meta]) == (
        "image in a Tensor, meta: expected a tensor with values; make it on a real device"
    )
    assert refusal([meta.to(torch.uint8)]) == refusal([meta])
