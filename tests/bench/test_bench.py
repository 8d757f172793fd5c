"""The benchmarks themselves: every cell's contract, and one real run from measuring to reading."""

import json
import re
import shutil
import statistics
from pathlib import Path

import pytest

from bench import grid
from bench.grid import Options
from bench.results import record, thumbnail
from bench.results.cell import CHECKED, FAILED, MEASURED, UNAVAILABLE
from bench.results.rates import matrix_rate
from pipeline.stable_diffusion.models import TINY
from support.runs import ROOT, Run, compare, copy_of_bench, lines_after, pytest_in, python_in

HEAVY = {"torch", "diffusers", "torchvision", "transformers", "juliacall", "numpy"}

MEASURED_IDS = {"tiny-cpu-float32-64x64-2steps", "transform-512x512-gray"}


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Every cell of the repository once, from another folder, where no CUDA device is seen."""
    folder = tmp_path_factory.mktemp("elsewhere")
    json = f"--benchmark-json={folder / 'out.json'}"
    return pytest_in(folder, str(ROOT / "bench"), "--benchmark-disable", json, "-pno:cacheprovider")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two cells, measured in a copy: the repository keeps the journal of its own last run."""
    return pytest_in(
        copy_of_bench(tmp_path_factory.mktemp("copy")),
        "bench/",
        "--benchmark-only",
        "--benchmark-max-time=0.3",
        "--benchmark-json=out.json",
        "-k",
        "64x64-2steps or transform-512x512-gray",
    )


def test_every_cell_that_can_run_anywhere_holds_its_contract(checked: Run) -> None:
    assert checked.code == 0, checked.out
    rows = record.load(checked.folder / "out.json").rows
    assert len(rows) == 76
    free = {row.name: row.status for row in rows if not row.cell.needs}
    assert len(free) == 29
    assert set(free.values()) == {CHECKED}


CONTRACTS = "bench/test_contracts.py"


def test_skipping_benchmarks_checks_the_contracts_of_what_they_would_run(tmp_path: Path) -> None:
    skipped = pytest_in(
        copy_of_bench(tmp_path), "bench/", "--benchmark-skip", "--sd-model=tiny", "-v"
    )
    assert skipped.code == 0, skipped.out
    held = re.findall(rf"{CONTRACTS}::test_contracts\[(\S+)\] PASSED", skipped.out)
    assert held == [
        f"tiny-float32-{size}-batch1-{color}"
        for size in ("64x64", "128x128")
        for color in ("rgb", "gray")
    ]
    assert "4 passed" in skipped.out


def test_a_contract_fails_in_pytest_with_the_line_of_validate(tmp_path: Path) -> None:
    folder = copy_of_bench(tmp_path)
    model = folder / "narrow"
    shutil.copytree(TINY, model)
    config = json.loads((model / "unet" / "config.json").read_text())
    config["cross_attention_dim"] = 48
    (model / "unet" / "config.json").write_text(json.dumps(config))
    at = ("--sd-model=narrow", "--sd-size=64", "--sd-device=cpu", "--sd-steps=1")
    line = (
        "text embeddings: width 32, expected 48, the UNet's cross-attention; "
        "take text encoder and UNet from one model"
    )
    failed = pytest_in(folder, CONTRACTS, *at, "--preprocess-color=rgb")
    assert failed.code == 1, failed.out
    assert f"does not hold: {line}" in failed.out.splitlines()
    asked = ("--sd-model", "narrow", "--size", "64", "--dtype", "float32")
    said = python_in(folder, "-m", "pipeline", "validate", *asked)
    assert said.code == 1, said.err
    assert said.out.splitlines()[-1] == f"does not hold: {line}"
    timed = pytest_in(
        folder, "bench/test_generate.py", *at, "--benchmark-disable", "--benchmark-json=out.json"
    )
    assert timed.code == 1, timed.out
    (row,) = timed.others.values()
    assert (row["status"], row["first_call"]) == (FAILED, None)
    assert row["reason"] == line.replace(", expected", ": expected", 1)


def test_the_cells_that_need_cuda_are_one_line(checked: Run) -> None:
    rows = record.load(checked.folder / "out.json").rows
    absent = [row for row in rows if "cuda" in row.cell.needs]
    assert {(row.status, row.cell.device) for row in absent} == {(UNAVAILABLE, "cuda")}
    assert len({(row.reason, row.remedy) for row in absent}) == 1
    assert absent[0].reason.startswith("no CUDA: ")
    expected = f"unavailable: {len(absent)} cells of end_to_end, forward, generate, preprocess"
    assert checked.out.splitlines().count(expected) == 1
    assert len(absent) == 28


def test_the_rows_are_the_cells_of_the_grid_in_order(checked: Run) -> None:
    names = {row.name: row.cell for row in record.load(checked.folder / "out.json").rows}
    families = (grid.generate, grid.preprocess, grid.forward, grid.end_to_end)
    for cell in [*grid.harness(), *(cell for family in families for cell in family(Options()))]:
        name = f"bench/test_{cell.family}.py::test_{cell.family}[{cell.id}]"
        assert names.pop(name).axes == cell.axes
    assert names == {}


def test_a_run_prints_tables_of_80_columns(measured: Run) -> None:
    assert measured.code == 0, measured.out
    assert "2 passed, 99 deselected" in measured.out
    assert "2 of 2 cells can run here: about 1 s, at most 4 s where calls are slow" in measured.out
    printed = lines_after(measured.out, "= sd-flux-bench =")
    assert max(map(len, printed)) <= 80
    assert "generate · prompt → images, by diffusers" in printed
    assert "preprocess · images → batch, by torchvision" in printed
    for name in MEASURED_IDS:
        lines = [line for line in printed if re.match(rf"{name}[¹²³⁴⁵⁶,]* +[\d.]", line)]
        assert len(lines) == (2 if name.startswith("tiny") else 1)  # its times, and its stages


def test_a_result_file_has_every_number_and_what_it_ran_on(measured: Run) -> None:
    run = record.load(measured.folder / "out.json")
    rows = {row.cell.id: row for row in run.rows}
    assert set(rows) == MEASURED_IDS
    for row in rows.values():
        assert row.status == MEASURED
        assert len(row.samples) >= 6 or row.limited_by == "first call"  # on a busy machine
        assert row.threads == 1
        assert re.fullmatch("[0-9a-f]{384}", row.fingerprint)
    assert rows["tiny-cpu-float32-64x64-2steps"].weights == "tiny, seeded random"
    assert set(run.machine) == {"hardware", "software", "state", "guards", "workload"}
    assert run.machine["workload"]["start"].keys() == run.machine["workload"]["end"].keys()
    assert matrix_rate(run.machine, "cpu", "float32")


def test_a_result_file_has_a_small_picture_of_what_a_cell_made(measured: Run) -> None:
    found = {
        row.cell.id: dict(row.thumbnail) for row in record.load(measured.folder / "out.json").rows
    }
    assert all(thumbnail.is_jpeg(each.pop("jpeg")) for each in found.values())
    prompt = "a serene sunset over a futuristic city"
    assert found == {
        "tiny-cpu-float32-64x64-2steps": {"prompt": prompt, "seed": 0, "width": 64, "height": 64},
        "transform-512x512-gray": {"source": "generated_image_1.png", "width": 224, "height": 224},
    }


def test_report_makes_a_page_of_the_run(measured: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    made = python_in(
        tmp_path, "-m", "bench", "report", str(measured.folder / "out.json"), "-o", str(page)
    )
    assert (made.code, made.out, made.err) == (0, f"report: {page}\n", "")
    text = page.read_text(encoding="utf-8")
    assert text.count("<img ") == 2
    assert "UNet takes" in text


def test_importing_torchvision_is_not_preprocessing(measured: Run) -> None:
    """The first call once held the import, 3 s, and was published as the cell's only sample."""
    alone = pytest_in(
        measured.folder,
        "bench/test_preprocess.py",
        "--benchmark-max-time=0.3",
        "--benchmark-json=alone.json",
        "-kfile-png-512x512-gray",
    )
    assert alone.code == 0, alone.out
    (row,) = record.load(measured.folder / "alone.json").rows
    assert row.limited_by != "first call"


def test_the_plugin_compares_a_result_file(measured: Run) -> None:
    printed = compare(ROOT, measured.folder / "out.json")
    assert printed.code == 0, printed.err
    for name in MEASURED_IDS:
        assert f"[{name}]" in printed.out


def test_the_github_action_for_benchmarks_reads_a_result_file(measured: Run) -> None:
    """Its `tool: pytest` takes these five values (benchmark-action, src/extract.ts), no others."""
    for bench in measured.document["benchmarks"]:
        stats = bench["stats"]
        samples = stats["data"]
        assert re.fullmatch(r"bench/test_(\w+)\.py::test_\1\[.+\]", bench["fullname"])
        assert stats["ops"] == pytest.approx(len(samples) / sum(samples))
        assert stats["mean"] == pytest.approx(sum(samples) / len(samples))
        assert stats["stddev"] == pytest.approx(statistics.stdev(samples))
        assert stats["rounds"] == len(samples)


def test_a_real_file_compares_with_itself(measured: Run, tmp_path: Path) -> None:
    file = str(measured.folder / "out.json")
    shown = python_in(tmp_path, "-m", "bench", "compare", file, file, "--fail-on", "slower:1%")
    assert shown.code == 0, shown.err
    for name in MEASURED_IDS:
        assert re.search(rf"^{name} .* 1\.0+ .*(same|undecided)$", shown.out, re.MULTILINE)
    assert "fail-on: 0 rows fail" in shown.out


def test_show_prints_the_tables_of_the_run(measured: Run, tmp_path: Path) -> None:
    shown = python_in(tmp_path, "-m", "bench", "show", str(measured.folder / "out.json"))
    assert shown.code == 0, shown.err
    for name in MEASURED_IDS:
        lines = [line for line in measured.out.splitlines() if line.startswith(name)]
        assert lines == [line for line in shown.out.splitlines() if line.startswith(name)]


def test_collecting_imports_nothing_heavy(measured: Run) -> None:
    listed = python_in(
        measured.folder, "-Ximporttime", "-m", "pytest", "bench/", "--collect-only", "-qs"
    )  # -s: else pytest captures what is listed
    assert listed.code == 0, listed.out
    assert "84/101 tests collected (17 deselected)" in listed.out
    imported = {line.rpartition("|")[2].strip() for line in listed.err.splitlines()}
    assert "bench.grid" in imported
    assert imported & HEAVY == set()
