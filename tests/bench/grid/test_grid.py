"""The cells of each family: their names, what they need, how long they may take."""

import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from bench import grid
from bench.measuring.session import OPTIONAL
from bench.results.cell import Cell
from pipeline import availability
from pipeline.errors import PipelineError
from pipeline.files import FIXTURES
from support.grids import default_cells, ids, options
from support.helpers import NO_CUDA, ROOT

# A name is what results are matched by: who changes one here breaks with every older result file.
IDS = {
    "generate": """
        tiny-cpu-float32-{64x64,128x128}-{2,4,8}steps
        sd15-cuda-float16-{512x512,768x768}-{10,20,30,50}steps
    """,
    "preprocess": """
        decode-{png,jpeg}-512x512-rgb
        transform-512x512-rgb{,-classic,-v2,-torchcodec,-opencv,-albumentations,-cuda,-cuda-kornia}
        transform-512x512-gray
        file-png-512x512-rgb{,-classic,-v2,-torchcodec,-opencv,-albumentations,-cuda,-cuda-kornia}
        file-png-512x512-gray
        file-jpeg-512x512-rgb{,-classic,-v2,-torchcodec,-opencv,-albumentations,-cuda,-cuda-kornia}
        file-jpeg-512x512-gray
        stream-{png,jpeg}-512x512-rgb-threads{1,2}
        scaled-jpeg-512x512-rgb
    """,
    "forward": """
        flux-{cpu,cuda}-batch{1,8,32}
        flux-inside-{cpu,cuda}-batch{1,8,32}
        flux-buffered-cpu-batch{1,8,32}
        flux-bridge-cpu-batch{1,8,32}
        reference-{cpu,cuda}-batch{1,8,32}
        compiled-{cpu,cuda}-batch{1,8,32}
    """,
    "end_to_end": "{flux,reference}-{cpu,cuda}",
    "harness": "harness-noop",
    "cold": """
        python-start {torch,torchvision,diffusers}-import tiny-cpu-{load,first-call}
        sd15-cuda-{load,first-call} reference-{cpu,cuda}-compile
        tiny-cpu-compile-new-size sd15-cuda-{compile,graph}-new-size cuda-{context,first-kernel}
        julia-start flux-using flux-cpu-first-forward flux-cuda-{using,first-forward}
    """,
    "bulk": "{process,ray}-workers{1,2}",
}


def spelled_out(patterns: str) -> Iterator[str]:
    """`a-{b,c}` as the shell spells it out: a-b a-c."""
    for pattern in patterns.split():
        parts = [part.split(",") for part in re.split(r"[{}]", pattern)]
        yield from ("".join(chosen) for chosen in product(*parts))


@pytest.fixture(params=[NO_CUDA, None], ids=["without-cuda", "with-cuda"])
def _machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for ask in ("cuda", "torch_build"):
        monkeypatch.setattr(availability, ask, lambda: request.param)


@pytest.fixture
def _no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "cuda", lambda: NO_CUDA)


def cells() -> list[Cell]:
    return [
        cell for cells in default_cells().values() for cell in cells if cell.family not in OPTIONAL
    ]


@pytest.mark.usefixtures("_machine")
@pytest.mark.parametrize("family", IDS)
def test_default_cells_have_these_names_with_and_without_cuda(family: str) -> None:
    names = [cell.id for cell in default_cells()[family]]
    assert names == list(spelled_out(IDS[family]))
    assert len(set(names)) == len(names)
    assert default_cells().keys() == IDS.keys()


@pytest.mark.usefixtures("_machine")
def test_a_cell_knows_its_family_and_what_must_be_here() -> None:
    for family, cells in default_cells().items():
        for cell in () if family in OPTIONAL else cells:
            assert cell.family == family
            assert ("-cuda" in cell.id) == (cell.device == "cuda")
            generated = "cuda" in str(cell.regime.get("images"))  # end to end, with CUDA
            assert ("cuda" in cell.needs) == (cell.device == "cuda" or generated)
            peer = cell.axes.get("peer") in ("torchcodec", "opencv", "albumentations", "kornia")
            assert ("peers" in cell.needs) == peer
            assert ("julia" in cell.needs) == cell.id.startswith("flux-")
            assert ("compiler" in cell.needs) == (cell.axes.get("engine") == "compiled")
            assert not set("=[] ()") & set(cell.id), "pytest -k takes it"


def test_a_cold_start_says_what_it_needs() -> None:
    for cell in default_cells()["cold"]:
        assert (cell.family, cell.regime) == ("cold", {"process": "fresh"})
        assert ("cuda" in cell.needs) == (cell.device == "cuda") == ("cuda" in cell.id)
        assert ("julia" in cell.needs) == cell.id.startswith(("julia-", "flux-"))
        assert ("compiler" in cell.needs) == cell.id.endswith(("-compile", "-new-size"))


def test_what_torch_or_flux_computes_has_a_dtype() -> None:
    without = [cell.id for cell in cells() if not cell.dtype]
    assert without == [
        "decode-png-512x512-rgb",
        "decode-jpeg-512x512-rgb",
        *(f"flux-bridge-cpu-batch{batch}" for batch in (1, 8, 32)),
        "harness-noop",
    ]
    assert {cell.axes["model"] for cell in cells() if cell.dtype == "float16"} == {"sd15"}


def test_cuda_is_asked_for_before_julia_since_asking_for_julia_starts_it() -> None:
    both = [cell.needs for cell in cells() if "julia" in cell.needs and len(cell.needs) > 1]
    assert set(both) == {("cuda", "julia")}


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
    for cell in grid.generate(options(f"--sd-model tiny --sd-mode {mode} --sd-device {device}")):
        assert cell.needs == needs


def test_a_cell_knows_its_batch_and_its_mode_and_has_time_for_them() -> None:
    one, four = grid.generate(
        options("--sd-model tiny --sd-size 64 --sd-steps 4 --sd-batch 1,4 --sd-mode compile")
    )
    assert (one.images, one.regime, one.budget_factor) == (1, {"batch": 1, "mode": "compile"}, 1)
    assert (four.images, four.regime, four.budget_factor) == (4, {"batch": 4, "mode": "compile"}, 4)


@pytest.mark.usefixtures("_no_cuda")
def test_the_default_run_without_cuda_takes_at_most_a_minute() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    addopts = shlex.split(settings["tool"]["pytest"]["ini_options"]["addopts"])
    (seconds,) = [float(text[21:]) for text in addopts if text.startswith("--benchmark-max-time=")]
    budgets = [cell.budget_factor * seconds for cell in cells() if "cuda" not in cell.needs]
    assert 30 < sum(budgets) < 60


@pytest.mark.usefixtures("_no_cuda")
@pytest.mark.parametrize(
    ("typed", "source", "budget_factor"),
    [
        ("", "pregenerated", 1.0),
        ("--sd-model tiny", "tiny-cpu-float32-64x64-2steps", 1.0),
        ("--sd-model tiny --sd-steps 3 --sd-size 72", "tiny-cpu-float32-72x72-3steps", 1.0),
        ("--sd-model tiny --sd-batch 4 --sd-mode compile", "tiny-cpu-float32-64x64-2steps", 1.0),
        ("--sd-model arch:sd15,tiny", "sd15-cuda-float16-512x512-10steps", 15.0),
        ("--sd-model arch:sd15 --sd-device cpu", "sd15-cpu-float32-512x512-10steps", 15.0),
    ],
)
def test_end_to_end_says_where_its_images_come_from(
    typed: str, source: str, budget_factor: float
) -> None:
    for cell in grid.end_to_end(options(typed)):
        apart = cell.axes == {"engine": "flux", "device": "cuda"}
        process = {"process": "its own"} if apart else {}
        assert (cell.regime, cell.images) == ({"images": source} | process, 3)
        assert cell.budget_factor == budget_factor
        assert ("cuda" in cell.needs) == ("cuda" in f"{cell.id} {source}")


def test_end_to_end_generates_its_images_where_there_is_cuda(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(availability, "torch_build", lambda: None)
    source = grid.image_cell(options())
    assert source is not None
    assert source.id == "sd15-cuda-float16-512x512-10steps"


def test_every_row_of_preprocessing_states_its_regime() -> None:
    for cell in grid.preprocess(options()):
        stated = {"includes", "threads", "batch", "layout"}
        if cell.axes["regime"] != "decode":
            stated |= {"antialias", "output"}
        assert set(cell.regime) == stated
        assert cell.regime["threads"] == cell.axes.get("threads", 1)
        assert cell.images == cell.regime["batch"]


def test_a_folder_of_the_users_is_named_and_said(tmp_path: Path) -> None:
    folder = tmp_path / "my photos [1]"
    folder.mkdir()
    for number in range(40):
        shutil.copy(FIXTURES / "images" / "512x512.jpg", folder / f"{number}.jpg")
    cells = grid.preprocess(
        options(f"--preprocess-images '{folder}' --preprocess-peer none --preprocess-device cpu")
    )
    names = "decode-N-rgb {transform,file}-N-{rgb,gray} stream-N-rgb-threads{1,2} scaled-N-rgb"
    assert [cell.id for cell in cells] == list(spelled_out(names.replace("N", "my_photos_1_")))
    assert {(cell.images, cell.regime["images"]) for cell in cells} == {(32, "a folder's")}


def test_a_flux_model_of_the_users_runs_in_flux_alone_and_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.jl"
    file.touch()
    assert ids("forward", f"--flux-model {file}:wide --flux-device cpu --flux-batch 8") == list(
        spelled_out("mine.wide-flux{,-inside,-bridge}-cpu-batch8")
    )


def test_several_flux_models_are_cells_of_their_own(tmp_path: Path) -> None:
    for name in ("a.jl", "b.jl", "deep/a.jl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    flags = "--flux-device cpu --flux-batch 8 --flux-engine flux"
    one, other, deep = (str(tmp_path / name) for name in ("a.jl", "b.jl:wide", "deep/a.jl"))
    assert ids("forward", f"--flux-model {one},{other} {flags}") == [
        "a.model-flux-cpu-batch8",
        "b.wide-flux-cpu-batch8",
    ]
    chosen = options(f"--flux-model {one},{other}")
    assert grid.flux_models(chosen) == {"a.model": one, "b.wide": other}
    with pytest.raises(PipelineError) as refused:
        ids("forward", f"--flux-model {one},{deep} {flags}")
    assert str(refused.value) == (
        f"--flux-model {one},{deep}: expected one model called a.model; rename a file or a function"
    )


def test_a_cell_leads_back_to_what_sd_model_named(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")
    chosen = options(f"--sd-model arch:sd15,{folder} --sd-size 512 --sd-steps 1")
    named = [grid.model_of(cell, chosen) for cell in grid.generate(chosen)]
    assert named == ["arch:sd15", str(folder)]


@pytest.mark.parametrize(("gigabytes", "factor"), [(0.001, 1), (1, 7.5), (2, 15), (24, 60)])
def test_the_budget_of_a_folder_fits_its_weights(
    tmp_path: Path, gigabytes: float, factor: float
) -> None:
    folder = tmp_path / "model"
    for part in ("unet", "vae"):
        (folder / part).mkdir(parents=True)
        with (folder / part / "model.safetensors").open("wb") as file:
            file.truncate(int(gigabytes * 1e9 / 2))
    (folder / "unet" / "model.fp16.safetensors").write_bytes(b"half of it again")
    (folder / "model_index.json").write_text("{}")
    cells = grid.generate(options(f"--sd-model {folder} --sd-size 512 --sd-steps 2"))
    assert [cell.budget_factor for cell in cells] == [pytest.approx(factor)]
