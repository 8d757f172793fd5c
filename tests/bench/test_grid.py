"""The grids: their cells by name, what selects and overrides them, and what is refused."""

import shlex
import tomllib
from pathlib import Path

import pytest

from bench import grid
from bench.grid import Options
from bench.results.cell import Cell
from pipeline import availability
from pipeline.errors import PipelineError

ROOT = Path(__file__).resolve().parents[2]

# A name is what results are matched by: who changes one here breaks with every older result file.
IDS = {
    "generate": """
        tiny-cpu-float32-64x64-2steps
        tiny-cpu-float32-64x64-4steps
        tiny-cpu-float32-64x64-8steps
        tiny-cpu-float32-128x128-2steps
        tiny-cpu-float32-128x128-4steps
        tiny-cpu-float32-128x128-8steps
        sd15-cuda-float16-512x512-10steps
        sd15-cuda-float16-512x512-20steps
        sd15-cuda-float16-512x512-30steps
        sd15-cuda-float16-512x512-50steps
        sd15-cuda-float16-768x768-10steps
        sd15-cuda-float16-768x768-20steps
        sd15-cuda-float16-768x768-30steps
        sd15-cuda-float16-768x768-50steps
    """,
    "preprocess": """
        decode-png-512x512-rgb
        decode-jpeg-512x512-rgb
        transform-512x512-rgb
        transform-512x512-rgb-classic
        transform-512x512-rgb-v2
        transform-512x512-rgb-opencv
        transform-512x512-rgb-albumentations
        transform-512x512-rgb-cuda
        transform-512x512-rgb-cuda-kornia
        transform-512x512-gray
        file-png-512x512-rgb
        file-png-512x512-rgb-classic
        file-png-512x512-rgb-v2
        file-png-512x512-rgb-opencv
        file-png-512x512-rgb-albumentations
        file-png-512x512-rgb-cuda
        file-png-512x512-rgb-cuda-kornia
        file-png-512x512-gray
        file-jpeg-512x512-rgb
        file-jpeg-512x512-rgb-classic
        file-jpeg-512x512-rgb-v2
        file-jpeg-512x512-rgb-opencv
        file-jpeg-512x512-rgb-albumentations
        file-jpeg-512x512-rgb-cuda
        file-jpeg-512x512-rgb-cuda-kornia
        file-jpeg-512x512-gray
        stream-png-512x512-rgb-threads1
        stream-png-512x512-rgb-threads2
        stream-jpeg-512x512-rgb-threads1
        stream-jpeg-512x512-rgb-threads2
    """,
    "forward": """
        flux-cpu-batch1
        flux-cpu-batch8
        flux-cpu-batch32
        flux-cuda-batch1
        flux-cuda-batch8
        flux-cuda-batch32
        flux-inside-cpu-batch1
        flux-inside-cpu-batch8
        flux-inside-cpu-batch32
        flux-inside-cuda-batch1
        flux-inside-cuda-batch8
        flux-inside-cuda-batch32
        flux-bridge-cpu-batch1
        flux-bridge-cpu-batch8
        flux-bridge-cpu-batch32
        reference-cpu-batch1
        reference-cpu-batch8
        reference-cpu-batch32
        reference-cuda-batch1
        reference-cuda-batch8
        reference-cuda-batch32
        compiled-cpu-batch1
        compiled-cpu-batch8
        compiled-cpu-batch32
        compiled-cuda-batch1
        compiled-cuda-batch8
        compiled-cuda-batch32
    """,
    "end_to_end": """
        flux-cpu
        flux-cuda
        reference-cpu
        reference-cuda
    """,
    "harness": """
        harness-noop
    """,
}

COLD = """
        python-start
        torch-import
        torchvision-import
        diffusers-import
        tiny-cpu-load
        tiny-cpu-first-call
        sd15-cuda-load
        sd15-cuda-first-call
        reference-cpu-compile
        reference-cuda-compile
        cuda-context
        cuda-first-kernel
        julia-start
        flux-using
        flux-cpu-first-forward
        flux-cuda-using
        flux-cuda-first-forward
    """

FAMILIES = {
    "generate": grid.generate,
    "preprocess": grid.preprocess,
    "forward": grid.forward,
    "end_to_end": grid.end_to_end,
    "harness": lambda options: grid.harness(),
}

NO_CUDA = availability.Missing("cuda", "a CUDA device", "no CUDA: hidden", "none")


@pytest.fixture(params=[NO_CUDA, None], ids=["without-cuda", "with-cuda"])
def _machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "cuda", lambda: request.param)


@pytest.fixture
def _no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "cuda", lambda: NO_CUDA)


def cells(options: Options | None = None) -> list[Cell]:
    return [cell for family in FAMILIES.values() for cell in family(options or Options())]


def ids(family: str, **given: str) -> list[str]:
    return [cell.id for cell in FAMILIES[family](Options(**given))]


@pytest.mark.usefixtures("_machine")
@pytest.mark.parametrize("family", FAMILIES)
def test_default_cells_have_these_names_with_and_without_cuda(family: str) -> None:
    assert ids(family) == IDS[family].split()


@pytest.mark.usefixtures("_machine")
def test_a_cell_knows_its_family_and_what_must_be_here() -> None:
    for family, make in FAMILIES.items():
        for cell in make(Options()):
            assert cell.family == family
            assert ("-cuda" in cell.id) == (cell.device == "cuda")
            generated = "cuda" in str(cell.regime.get("images"))  # end to end, with CUDA
            assert ("cuda" in cell.needs) == (cell.device == "cuda" or generated)
            peer = cell.axes.get("peer") in ("opencv", "albumentations", "kornia")
            assert ("peers" in cell.needs) == peer
            assert ("julia" in cell.needs) == cell.id.startswith("flux-")


def test_cold_starts_have_these_names_and_needs() -> None:
    assert [cell.id for cell in grid.cold_starts()] == COLD.split()
    for cell in grid.cold_starts():
        assert cell.family == "cold"
        assert cell.regime == {"process": "fresh"}
        assert ("cuda" in cell.needs) == (cell.device == "cuda") == ("cuda" in cell.id)
        assert ("julia" in cell.needs) == cell.id.startswith(("julia-", "flux-"))
        assert ("compiler" in cell.needs) == cell.id.endswith("-compile")


def test_what_torch_or_flux_computes_has_a_dtype() -> None:
    without = [cell.id for cell in cells() if not cell.dtype]
    assert without == [
        "decode-png-512x512-rgb",
        "decode-jpeg-512x512-rgb",
        *(f"flux-bridge-cpu-batch{batch}" for batch in (1, 8, 32)),
        "harness-noop",
    ]
    half = {cell.axes["model"] for cell in cells() if cell.dtype == "float16"}
    assert half == {"sd15"}


def test_cuda_is_asked_for_before_julia_since_asking_for_julia_starts_it() -> None:
    both = [cell.needs for cell in cells() if "julia" in cell.needs and len(cell.needs) > 1]
    assert both == [("cuda", "julia")] * 7


def test_what_compiles_needs_a_compiler() -> None:
    for cell in cells():
        assert ("compiler" in cell.needs) == (cell.axes.get("engine") == "compiled")


@pytest.mark.parametrize(
    ("mode", "device", "needs"),
    [
        ("eager", "cpu", ()),
        ("eager", "cuda", ("cuda",)),
        ("compile", "cpu", ("compiler",)),
        ("compile", "cuda", ("cuda", "compiler")),
        ("graph", "cpu", ("cuda", "compiler")),
        ("graph", "cuda", ("cuda", "compiler")),
    ],
)
def test_a_mode_needs_what_compiles_it(mode: str, device: str, needs: tuple[str, ...]) -> None:
    for cell in grid.generate(Options(sd_model="tiny", sd_mode=mode, sd_device=device)):
        assert cell.needs == needs


def test_a_cell_knows_its_batch_and_its_mode_and_has_time_for_them() -> None:
    options = Options(
        sd_model="tiny", sd_size="64", sd_steps="4", sd_batch="1,4", sd_mode="compile"
    )
    one, four = grid.generate(options)
    assert (one.images, one.regime, one.budget_factor) == (1, {"batch": 1, "mode": "compile"}, 1.0)
    assert (four.images, four.regime, four.budget_factor) == (
        4,
        {"batch": 4, "mode": "compile"},
        4.0,
    )


def test_a_model_of_ones_own_runs_in_flux_alone_and_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.jl"
    file.touch()
    assert ids("forward", flux_model=f"{file}:wide", flux_device="cpu", flux_batch="8") == [
        "mine.wide-flux-cpu-batch8",
        "mine.wide-flux-inside-cpu-batch8",
        "mine.wide-flux-bridge-cpu-batch8",
    ]


@pytest.mark.parametrize(
    ("family", "part", "count"),
    [
        ("generate", "512x512-30steps", 1),
        ("generate", "768x768", 4),
        ("generate", "tiny", 6),
        ("forward", "flux-cpu", 3),
        ("forward", "batch32", 9),
        ("preprocess", "gray", 3),
        ("preprocess", "-v2", 3),
    ],
)
def test_a_part_of_an_id_selects(family: str, part: str, count: int) -> None:
    assert sum(part in name for name in ids(family)) == count


def test_an_id_can_be_given_to_pytest_k() -> None:
    for cell in cells():
        assert set("=[] ()") & set(cell.id) == set(), cell.id


def test_ids_are_unique_in_their_family() -> None:
    for family in FAMILIES:
        assert len(set(ids(family))) == len(ids(family))


@pytest.mark.usefixtures("_no_cuda")
def test_the_default_run_without_cuda_takes_at_most_a_minute() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    addopts = shlex.split(settings["tool"]["pytest"]["ini_options"]["addopts"])
    (seconds,) = [float(text[21:]) for text in addopts if text.startswith("--benchmark-max-time=")]
    budgets = [cell.budget_factor * seconds for cell in cells() if "cuda" not in cell.needs]
    assert len(budgets) == 48
    assert sum(budgets) < 60


def test_a_full_size_cell_has_more_time_than_a_tiny_one() -> None:
    weights = {cell.axes["model"]: cell.budget_factor for cell in grid.generate(Options())}
    assert weights == {"tiny": 1.0, "sd15": grid.FULL_SIZE_WEIGHT}


@pytest.mark.parametrize(
    ("family", "given", "expected"),
    [
        (
            "generate",
            {"sd_model": "arch:sd15", "sd_size": "768x512", "sd_steps": "5"},
            ["sd15-cuda-float16-768x512-5steps"],
        ),
        (
            "generate",
            {"sd_model": "tiny", "sd_size": "64", "sd_steps": "1", "sd_device": "cpu,cuda"},
            ["tiny-cpu-float32-64x64-1steps", "tiny-cuda-float16-64x64-1steps"],
        ),
        (
            "generate",
            {"sd_model": "tiny", "sd_size": "64", "sd_steps": "1", "sd_dtype": "float32,bfloat16"},
            ["tiny-cpu-float32-64x64-1steps", "tiny-cpu-bfloat16-64x64-1steps"],
        ),
        (
            "generate",
            {"sd_model": "owner/name", "sd_size": "512", "sd_steps": "30", "sd_device": "cpu"},
            ["owner/name-cpu-float32-512x512-30steps"],
        ),
        (
            "generate",
            {"sd_model": "tiny", "sd_size": "64", "sd_steps": "4", "sd_batch": "1,4"},
            ["tiny-cpu-float32-64x64-4steps", "tiny-cpu-float32-64x64-batch4-4steps"],
        ),
        (
            "generate",
            {
                "sd_model": "tiny",
                "sd_size": "64",
                "sd_steps": "4",
                "sd_batch": "1,4",
                "sd_mode": "eager,compile,graph",
            },
            [
                "tiny-cpu-float32-64x64-4steps",
                "tiny-cpu-float32-64x64-batch4-4steps",
                "tiny-cpu-float32-64x64-compile-4steps",
                "tiny-cpu-float32-64x64-batch4-compile-4steps",
                "tiny-cpu-float32-64x64-graph-4steps",
                "tiny-cpu-float32-64x64-batch4-graph-4steps",
            ],
        ),
        (
            "preprocess",
            {"preprocess_regime": "file", "preprocess_format": "png", "preprocess_peer": "none"},
            ["file-png-512x512-rgb", "file-png-512x512-rgb-cuda", "file-png-512x512-gray"],
        ),
        (
            "preprocess",
            {
                "preprocess_color": "gray",
                "preprocess_size": "4000x3000",
                "preprocess_device": "cpu",
                "preprocess_threads": "3",
            },
            [
                "decode-jpeg-4000x3000-rgb",
                "transform-4000x3000-gray",
                "file-jpeg-4000x3000-gray",
                "stream-jpeg-4000x3000-gray-threads3",
            ],
        ),
        (
            "preprocess",
            {
                "preprocess_regime": "transform",
                "preprocess_size": "1024,512",
                "preprocess_color": "rgb",
                "preprocess_peer": "v2",
                "preprocess_device": "cpu",
            },
            [
                "transform-1024x1024-rgb",
                "transform-1024x1024-rgb-v2",
                "transform-512x512-rgb",
                "transform-512x512-rgb-v2",
            ],
        ),
        (
            "forward",
            {"flux_engine": "reference", "flux_device": "cpu", "flux_batch": "64,2"},
            ["reference-cpu-batch64", "reference-cpu-batch2"],
        ),
        ("end_to_end", {"flux_engine": "flux"}, ["flux-cpu", "flux-cuda"]),
        ("end_to_end", {"flux_device": "cpu"}, ["flux-cpu", "reference-cpu"]),
    ],
)
def test_every_axis_can_be_overridden(
    family: str, given: dict[str, str], expected: list[str]
) -> None:
    assert ids(family, **given) == expected


@pytest.mark.parametrize(
    ("family", "given", "count"),
    [
        ("generate", {"sd_model": "tiny,tiny"}, 6),
        ("generate", {"sd_model": "tiny", "sd_size": "64,64x64", "sd_steps": "4"}, 1),
        ("generate", {"sd_model": "tiny", "sd_size": "64", "sd_steps": "4,04,4"}, 1),
        ("generate", {"sd_model": "tiny", "sd_device": "cpu, cpu", "sd_dtype": "float32"}, 6),
        ("preprocess", {"preprocess_regime": "decode,decode"}, 2),
        ("preprocess", {"preprocess_regime": "decode", "preprocess_size": "512,512x512"}, 2),
        ("forward", {"flux_engine": "flux", "flux_device": "cpu", "flux_batch": "8,08"}, 1),
    ],
)
def test_what_is_given_twice_counts_once(family: str, given: dict[str, str], count: int) -> None:
    assert len(ids(family, **given)) == count


COUNT = "expected a whole number of at least 1"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"sd_model": "nonsense"},
            "--sd-model nonsense: expected tiny, arch:NAME, an existing folder, or a hub id such "
            "as owner/name; check the spelling",
        ),
        (
            {"sd_model": "arch:sd99"},
            "--sd-model arch:sd99: expected one of arch:sd15, arch:sd21, arch:sdxl; "
            "choose one of them",
        ),
        (
            {"sd_model": "tiny,"},
            "list 'tiny,': expected values separated by commas; remove the empty one",
        ),
        (
            {"sd_size": "lots"},
            "--sd-size lots: expected 512 or 768x512 (width × height); change --sd-size",
        ),
        ({"sd_size": "0"}, "--sd-size 0: expected at least 1 pixel a side; change --sd-size"),
        (
            {"sd_size": "500"},
            "--sd-size 500: expected sides divisible by 8; try 496x496 or 504x504",
        ),
        ({"sd_steps": "0"}, f"--sd-steps 0: {COUNT}; change --sd-steps"),
        ({"sd_steps": "10,-5"}, f"--sd-steps -5: {COUNT}; change --sd-steps"),
        ({"sd_batch": "0"}, f"--sd-batch 0: {COUNT}; change --sd-batch"),
        (
            {"sd_mode": "fast"},
            "--sd-mode fast: expected eager or compile or graph; change --sd-mode",
        ),
        ({"sd_steps": "2.5"}, f"--sd-steps 2.5: {COUNT}; change --sd-steps"),
        ({"sd_device": "tpu"}, "--sd-device tpu: expected cpu or cuda; change --sd-device"),
        (
            {"sd_dtype": "int8"},
            "--sd-dtype int8: expected float16 or bfloat16 or float32; change --sd-dtype",
        ),
        (
            {"preprocess_regime": "resize"},
            "--preprocess-regime resize: expected decode or transform or file or stream; "
            "change --preprocess-regime",
        ),
        (
            {"preprocess_color": "cmyk"},
            "--preprocess-color cmyk: expected rgb or gray; change --preprocess-color",
        ),
        (
            {"preprocess_size": "640"},
            "--preprocess-size 640x640: expected 512x512 or 1024x1024 or 4000x3000; "
            "change it, or add --preprocess-images FOLDER",
        ),
        (
            {"preprocess_size": "4000x3000", "preprocess_format": "png"},
            "--preprocess-format png of 4000x3000: expected jpeg, as that size has no other; "
            "add jpeg",
        ),
        (
            {"preprocess_threads": "0"},
            f"--preprocess-threads 0: {COUNT}; change --preprocess-threads",
        ),
        (
            {"preprocess_peer": "dali"},
            "--preprocess-peer dali: expected classic or v2 or opencv or albumentations or kornia "
            "or none; change --preprocess-peer",
        ),
        (
            {"preprocess_images": "nowhere"},
            "--preprocess-images nowhere: expected a folder of images (No such file or directory); "
            "change --preprocess-images",
        ),
        (
            {"flux_engine": "jax"},
            "--flux-engine jax: expected flux or flux-inside or flux-bridge or reference or "
            "compiled; change --flux-engine",
        ),
        ({"flux_device": "gpu"}, "--flux-device gpu: expected cpu or cuda; change --flux-device"),
        ({"flux_batch": "x"}, f"--flux-batch x: {COUNT}; change --flux-batch"),
        ({"flux_batch": "0"}, f"--flux-batch 0: {COUNT}; change --flux-batch"),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
def test_a_wrong_value_is_answered_with_one_line(given: dict[str, str], message: str) -> None:
    with pytest.raises(PipelineError) as caught:
        Options(**given).check()
    assert str(caught.value) == message


def test_a_folder_without_a_pipeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as caught:
        Options(sd_model=str(tmp_path)).check()
    assert str(caught.value) == (
        f"--sd-model {tmp_path}: expected a folder with a model_index.json; "
        "name the folder that save_pretrained wrote"
    )


def test_two_folders_of_the_same_name_are_refused(tmp_path: Path) -> None:
    folders = [tmp_path / above / "mine" for above in ("a", "b")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "model_index.json").write_text("{}")
    assert ids("generate", sd_model=str(folders[0]), sd_size="64", sd_steps="1") == [
        "mine-cuda-float16-64x64-1steps"
    ]
    with pytest.raises(PipelineError) as caught:
        Options(sd_model=",".join(map(str, folders))).check()
    assert str(caught.value) == (
        f"--sd-model {folders[1]}: expected one model called mine; rename one of the two folders"
    )


def test_a_cell_leads_back_to_what_sd_model_named(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")
    options = Options(sd_model=f"arch:sd15,{folder}", sd_size="512", sd_steps="1")
    named = [grid.model_of(cell, options) for cell in grid.generate(options)]
    assert named == ["arch:sd15", str(folder)]


@pytest.mark.usefixtures("_no_cuda")
@pytest.mark.parametrize(
    ("given", "source", "weight"),
    [
        ({}, "pregenerated", 1.0),
        ({"sd_model": "tiny"}, "tiny-cpu-float32-64x64-2steps", 1.0),
        (
            {"sd_model": "tiny", "sd_steps": "3", "sd_size": "72"},
            "tiny-cpu-float32-72x72-3steps",
            1.0,
        ),
        (
            {"sd_model": "tiny", "sd_batch": "4", "sd_mode": "compile"},
            "tiny-cpu-float32-64x64-2steps",
            1.0,
        ),
        ({"sd_model": "arch:sd15,tiny"}, "sd15-cuda-float16-512x512-10steps", 15.0),
        (
            {"sd_model": "arch:sd15", "sd_device": "cpu"},
            "sd15-cpu-float32-512x512-10steps",
            15.0,
        ),
    ],
)
def test_end_to_end_says_where_its_images_come_from(
    given: dict[str, str], source: str, weight: float
) -> None:
    for cell in grid.end_to_end(Options(**given)):
        assert cell.regime == {"images": source}
        assert cell.budget_factor == weight
        assert cell.images == 3


@pytest.mark.usefixtures("_no_cuda")
def test_images_that_need_cuda_make_the_chain_need_it() -> None:
    for cell in grid.end_to_end(Options(sd_model="arch:sd15", flux_device="cpu")):
        assert cell.needs[0] == "cuda"


def test_end_to_end_generates_its_images_where_there_is_cuda(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(availability, "cuda", lambda: None)
    made = grid.image_cell(Options())
    assert made is not None
    assert made.id == "sd15-cuda-float16-512x512-10steps"


def test_every_row_of_preprocessing_states_its_regime() -> None:
    for cell in grid.preprocess(Options()):
        stated = {"includes", "threads", "batch", "layout"}
        if cell.axes["regime"] != "decode":
            stated |= {"antialias", "output"}
        assert set(cell.regime) == stated
        assert cell.regime["threads"] == cell.axes.get("threads", 1)
        assert cell.images == cell.regime["batch"]


def test_a_folder_of_ones_own_is_named_and_said(tmp_path: Path) -> None:
    folder = tmp_path / "my photos [1]"
    folder.mkdir()
    with pytest.raises(PipelineError) as caught:
        Options(preprocess_images=str(folder)).check()
    assert str(caught.value) == (
        f"--preprocess-images {folder}: expected a folder with an image; change --preprocess-images"
    )
    for number in range(40):
        (folder / f"{number}.png").touch()
    cells = grid.preprocess(
        Options(preprocess_images=str(folder), preprocess_peer="none", preprocess_device="cpu")
    )
    assert [cell.id for cell in cells] == [
        "decode-my_photos_1_-rgb",
        "transform-my_photos_1_-rgb",
        "transform-my_photos_1_-gray",
        "file-my_photos_1_-rgb",
        "file-my_photos_1_-gray",
        "stream-my_photos_1_-rgb-threads1",
        "stream-my_photos_1_-rgb-threads2",
    ]
    assert {cell.images for cell in cells} == {32}
    assert {cell.regime["images"] for cell in cells} == {"a folder's"}
