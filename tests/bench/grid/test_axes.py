"""The axes: what their values select, what is refused, and what the help says of the default."""

from pathlib import Path

import pytest

from bench import grid
from bench.grid.axes import Axis, choice, text
from pipeline.arguments import parse_count
from pipeline.errors import PipelineError
from support.grids import AXES, ids, options

AT_64 = "--sd-model tiny --sd-size 64 --sd-steps 4"


@pytest.mark.parametrize(
    ("family", "typed", "expected"),
    [
        (
            "generate",
            "--sd-model arch:sd15 --sd-size 768x512 --sd-steps 5",
            ["sd15-cuda-float16-768x512-5steps"],
        ),
        (
            "generate",
            f"{AT_64} --sd-device cpu,cuda",
            ["tiny-cpu-float32-64x64-4steps", "tiny-cuda-float16-64x64-4steps"],
        ),
        (
            "generate",
            f"{AT_64} --sd-dtype float32,bfloat16",
            ["tiny-cpu-float32-64x64-4steps", "tiny-cpu-bfloat16-64x64-4steps"],
        ),
        (
            "generate",
            "--sd-model owner/name --sd-size 512 --sd-steps 30 --sd-device cpu",
            ["owner/name-cpu-float32-512x512-30steps"],
        ),
        (
            "generate",
            f"{AT_64} --sd-batch 1,4 --sd-mode eager,compile,graph",
            [
                f"tiny-cpu-float32-64x64{batch}{mode}-4steps"
                for mode in ("", "-compile", "-graph")
                for batch in ("", "-batch4")
            ],
        ),
        (
            "preprocess",
            "--preprocess-regime file --preprocess-format png --preprocess-peer none",
            ["file-png-512x512-rgb", "file-png-512x512-rgb-cuda", "file-png-512x512-gray"],
        ),
        (
            "preprocess",
            "--preprocess-color gray --preprocess-size 4000x3000 --preprocess-device cpu "
            "--preprocess-threads 3",
            [
                "decode-jpeg-4000x3000-rgb",
                "transform-4000x3000-gray",
                "file-jpeg-4000x3000-gray",
                "stream-jpeg-4000x3000-gray-threads3",
                "scaled-jpeg-4000x3000-gray",
            ],
        ),
        (
            "preprocess",
            "--preprocess-regime transform --preprocess-size 1024,512 --preprocess-color rgb "
            "--preprocess-peer v2 --preprocess-device cpu",
            [
                "transform-1024x1024-rgb",
                "transform-1024x1024-rgb-v2",
                "transform-512x512-rgb",
                "transform-512x512-rgb-v2",
            ],
        ),
        (
            "forward",
            "--flux-engine reference --flux-device cpu --flux-batch 64,2",
            ["reference-cpu-batch64", "reference-cpu-batch2"],
        ),
        ("end_to_end", "--flux-engine flux", ["flux-cpu", "flux-cuda"]),
        ("end_to_end", "--flux-device cpu", ["flux-cpu", "reference-cpu"]),
    ],
)
def test_every_axis_can_be_overridden(family: str, typed: str, expected: list[str]) -> None:
    assert ids(family, typed) == expected


@pytest.mark.parametrize(
    ("family", "typed", "count"),
    [
        ("generate", "--sd-model tiny,tiny", 6),
        ("generate", "--sd-model tiny --sd-size 64,64x64 --sd-steps 4", 1),
        ("generate", "--sd-model tiny --sd-size 64 --sd-steps 4,04,4", 1),
        ("generate", "--sd-model tiny --sd-device 'cpu, cpu' --sd-dtype float32", 6),
        ("preprocess", "--preprocess-regime decode,decode", 2),
        ("preprocess", "--preprocess-regime decode --preprocess-size 512,512x512", 2),
        ("forward", "--flux-engine flux --flux-device cpu --flux-batch 8,08", 1),
    ],
)
def test_a_value_given_twice_counts_once(family: str, typed: str, count: int) -> None:
    assert len(ids(family, typed)) == count


COUNT = "expected a whole number of at least 1"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            "--sd-model nonsense",
            "expected tiny, arch:NAME, an existing folder, or a hub id such as owner/name; check "
            "the spelling",
        ),
        (
            "--sd-model arch:sd99",
            "expected one of arch:sd15, arch:sd21, arch:sdxl, arch:sd35-medium; choose one of them",
        ),
        ("--sd-size lots", "expected 512 or 768x512 (width × height)"),
        ("--sd-size 0", "expected at least 1 pixel a side"),
        ("--sd-size 500", "expected sides divisible by 8; try 496x496 or 504x504"),
        ("--sd-steps 0", COUNT),
        ("--sd-steps -5", COUNT),
        ("--sd-steps 2.5", COUNT),
        ("--sd-batch 0", COUNT),
        ("--sd-mode fast", "expected eager or compile or graph"),
        ("--sd-device tpu", "expected cpu or cuda"),
        ("--sd-dtype int8", "expected float16 or bfloat16 or float32"),
        ("--preprocess-regime resize", "expected decode or transform or file or stream or scaled"),
        ("--preprocess-color cmyk", "expected rgb or gray"),
        (
            "--preprocess-size 640x640",
            "expected 512x512 or 1024x1024 or 4000x3000; "
            "change it, or add --preprocess-images FOLDER",
        ),
        ("--preprocess-threads 0", COUNT),
        (
            "--preprocess-peer dali",
            "expected classic or v2 or torchcodec or opencv or albumentations or kornia or none",
        ),
        (
            "--preprocess-images nowhere",
            "expected a folder of images (No such file or directory)",
        ),
        (
            "--flux-engine jax",
            "expected flux or flux-inside or flux-buffered or flux-bridge or reference or compiled",
        ),
        ("--flux-device gpu", "expected cpu or cuda"),
        ("--flux-batch x", COUNT),
    ],
)
def test_a_wrong_value_is_answered_with_one_line(typed: str, message: str) -> None:
    remedy = "" if ";" in message else f"; change {typed.split()[0]}"
    assert refused(typed) == f"{typed}: {message}{remedy}"


def test_every_axis_is_checked_even_where_no_cell_takes_it() -> None:
    typed = "--preprocess-regime decode --preprocess-threads 0"
    assert refused(typed) == f"--preprocess-threads 0: {COUNT}; change --preprocess-threads"


def test_a_format_that_no_picture_of_the_size_has_is_refused() -> None:
    assert refused("--preprocess-size 4000x3000 --preprocess-format png") == (
        "--preprocess-format png of 4000x3000: expected jpeg, as that size has no other; add jpeg"
    )


def test_an_empty_part_of_a_list_is_refused() -> None:
    assert refused("--sd-model tiny,") == (
        "list 'tiny,': expected values separated by commas; remove the empty one"
    )


def test_a_folder_that_holds_no_picture_or_no_pipeline_is_refused(tmp_path: Path) -> None:
    assert refused(f"--preprocess-images {tmp_path}") == (
        f"--preprocess-images {tmp_path}: expected a folder with a picture; "
        "change --preprocess-images"
    )
    assert refused(f"--sd-model {tmp_path}") == (
        f"--sd-model {tmp_path}: expected a folder with a model_index.json; "
        "name the folder that save_pretrained wrote"
    )


def test_two_folders_of_the_same_name_are_refused(tmp_path: Path) -> None:
    folders = [tmp_path / above / "mine" for above in ("a", "b")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "model_index.json").write_text("{}")
    assert ids("generate", f"--sd-model {folders[0]} --sd-size 64 --sd-steps 1") == [
        "mine-cuda-float16-64x64-1steps"
    ]
    assert refused(f"--sd-model {folders[0]},{folders[1]}") == (
        f"--sd-model {folders[1]}: expected one model called mine; rename one of the two folders"
    )


@pytest.mark.parametrize(
    ("axis", "ending"),
    [
        (Axis("--x-side", "pixels", parse_count, "512"), "pixels (default: 512)"),
        (Axis("--x-side", "pixels", parse_count, "8", tiny="1"), "pixels (default: 8; tiny: 1)"),
        (Axis("--x-file", "a file", text), "a file"),
        (choice("--x-on", "cpu, cuda", ["cpu", "cuda"]), "cpu, cuda (default: both)"),
        (choice("--x-of", "a, b, c", ["a", "b", "c"]), "a, b, c (default: all)"),
        (choice("--x-of", "a, b", ["a", "b"], "b"), "a, b (default: b)"),
    ],
)
def test_the_help_names_the_default(axis: Axis[object], ending: str) -> None:
    assert axis.help == ending


def test_the_default_of_every_axis_is_one_of_its_values() -> None:
    for option, axis in AXES.items():
        assert bool(axis.values(options())) == bool(axis.default)
        assert all(axis.parse(part, option) for part in axis.tiny.split(",") if part)


def refused(typed: str) -> str:
    with pytest.raises(PipelineError) as caught:
        grid.check(options(typed))
    return str(caught.value)
