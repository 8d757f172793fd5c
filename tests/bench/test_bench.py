"""The benchmarks themselves: every cell's contract, and one real run from measuring to reading."""

import json
import re
import shutil
import statistics
from pathlib import Path

import pytest

from bench import test_harness
from bench.measuring.session import OPTIONAL
from bench.results import record, thumbnail
from bench.results.cell import CHECKED, FAILED, MEASURED, UNAVAILABLE
from bench.results.rates import matrix_rate
from pipeline.preprocessing import fast
from pipeline.stable_diffusion.models import TINY
from support.commands import runner
from support.grids import default_cells
from support.helpers import hide_julia
from support.runs import (
    ROOT,
    Run,
    compare,
    copy_of_bench,
    lines_after,
    pytest_in,
    python_in,
    warm_pytest_in,
)

TINY_CELL, TRANSFORM, NOOP = MEASURED_IDS = (
    "tiny-cpu-float32-64x64-2steps",
    "transform-512x512-gray",
    "harness-noop",
)


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Every cell of the repository once, from another folder, where no CUDA device is seen."""
    folder = tmp_path_factory.mktemp("elsewhere")
    json = f"--benchmark-json={folder / 'out.json'}"
    asked = ("--benchmark-disable", json, "-pno:cacheprovider")
    return warm_pytest_in(folder, str(ROOT / "bench"), *asked)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three cells, measured in a copy: the repository keeps the journal of its own last run."""
    return pytest_in(
        copy_of_bench(tmp_path_factory.mktemp("copy")),
        "bench/",
        "--benchmark-only",
        "--benchmark-max-time=0.3",
        "--benchmark-json=out.json",
        "-k",
        "64x64-2steps or transform-512x512-gray or noop",
    )


def test_every_cell_is_a_row_in_order_and_holds_its_contract_where_it_can_run(
    checked: Run,
) -> None:
    assert checked.code == 0, checked.out
    rows = {row.name: row for row in record.load(checked.folder / "out.json").rows}
    families = default_cells().values()
    cells = [cell for cells in families for cell in cells if cell.family not in OPTIONAL]
    named = {f"bench/test_{cell.family}.py::test_{cell.family}[{cell.id}]": cell for cell in cells}
    assert rows.keys() == named.keys()
    assert all(rows[name].cell.axes == cell.axes for name, cell in named.items())
    assert {row.status for row in rows.values() if not row.cell.needs} == {CHECKED}


def test_the_cells_that_need_cuda_are_one_line(checked: Run) -> None:
    rows = record.load(checked.folder / "out.json").rows
    absent = [row for row in rows if "cuda" in row.cell.needs]
    assert {(row.status, row.cell.device) for row in absent} == {(UNAVAILABLE, "cuda")}
    assert len({(row.reason, row.remedy) for row in absent}) == 1
    assert absent[0].reason.startswith("no CUDA: ")
    expected = f"unavailable: {len(absent)} cells of end_to_end, forward, generate, preprocess"
    assert checked.out.splitlines().count(expected) == 1


CONTRACTS = "bench/test_contracts.py"


def test_a_folder_without_cuda_says_how_to_measure_it_here(tmp_path: Path) -> None:
    ask = ("bench/test_generate.py", "--benchmark-disable", f"--sd-model={TINY}", "-q")
    run = pytest_in(copy_of_bench(tmp_path), *ask)
    assert run.code == 0, run.out
    assert "  → add --sd-device cpu, or run on a machine with an NVIDIA GPU" in run.out


def test_skipping_benchmarks_checks_the_contracts_of_what_they_would_run(tmp_path: Path) -> None:
    skipped = warm_pytest_in(
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
    heading, first, *_ = filter(None, lines_after(skipped.out, "= memory, estimated ="))
    costs = ["weights", "most", "in", "needs"]
    assert heading.split() == ["model", "size", "channels", *costs]
    assert first.split()[:3] == ["tiny", "64x64", "3"]
    assert max(map(len, skipped.out.partition("= memory, estimated =")[2].splitlines())) <= 80


def test_a_contract_fails_in_pytest_with_the_line_of_validate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
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
    chosen = (CONTRACTS, "bench/test_generate.py", *at, "--preprocess-color=rgb")
    failed = warm_pytest_in(folder, *chosen, "--benchmark-disable", "--benchmark-json=out.json")
    assert failed.code == 1, failed.out
    assert f"does not hold: {line}" in failed.out.splitlines()
    assert re.search(r"^=+ 2 failed in ", failed.out, re.MULTILINE)
    (row,) = failed.others.values()
    assert (row["status"], row["first_call"]) == (FAILED, None)
    assert row["reason"] == line.replace(", expected", ": expected", 1)
    hide_julia(monkeypatch)
    asked = ("--sd-model", str(model), "--size", "64", "--dtype", "float32")
    code, out, _ = runner(capsys)("validate", *asked)
    assert (code, out[-1]) == (1, f"does not hold: {line}")


def test_a_run_prints_tables_of_80_columns(measured: Run) -> None:
    assert measured.code == 0, measured.out
    assert re.search(r"= 3 passed, \d+ deselected", measured.out)
    assert "3 of 3 cells can run here: about 1 s" in measured.out
    printed = lines_after(measured.out, "= sd-flux-bench =")
    assert max(map(len, printed)) <= 80
    assert "generate · prompt → images, by diffusers" in printed
    assert "preprocess · images → batch, by torchvision" in printed
    for row in record.load(measured.folder / "out.json").rows:
        name = row.cell.id
        lines = [line for line in printed if re.match(rf"{name}[¹²³⁴⁵⁶,]* +[\d.]", line)]
        assert len(lines) == 1 + bool(row.stages)  # its times, and its stages


def test_a_result_file_has_every_number_and_what_it_ran_on(measured: Run) -> None:
    run = record.load(measured.folder / "out.json")
    rows = {row.cell.id: row for row in run.rows}
    assert rows.keys() == set(MEASURED_IDS)
    for name, row in rows.items():
        assert (row.status, row.threads) == (MEASURED, 1)
        assert len(row.samples) >= 6 or row.limited_by == "first call"  # on a busy machine
        assert re.fullmatch("" if name == NOOP else "[0-9a-f]{384}", row.fingerprint)
    assert rows[TINY_CELL].weights == "tiny, trained"
    assert set(run.machine) == {"hardware", "software", "state", "guards", "workload"}
    assert run.machine["workload"]["start"].keys() == run.machine["workload"]["end"].keys()
    assert matrix_rate(run.machine, "cpu", "float32")


def test_a_result_file_has_a_small_picture_of_what_a_cell_made(measured: Run) -> None:
    rows = record.load(measured.folder / "out.json").rows
    pictures = {row.cell.id: dict(row.thumbnail) for row in rows if row.thumbnail}
    assert all(thumbnail.is_jpeg(picture.pop("jpeg")) for picture in pictures.values())
    prompt = "a serene sunset over a futuristic city"
    assert pictures == {
        TINY_CELL: {"prompt": prompt, "seed": 0, "width": 64, "height": 64},
        TRANSFORM: {"source": "generated_image_1.png", "width": 224, "height": 224},
    }


def test_a_call_that_does_nothing_is_told_in_steps_of_an_empty_loop(measured: Run) -> None:
    [row] = [row for row in record.load(measured.folder / "out.json").rows if row.cell.id == NOOP]
    assert row.iterations > 1
    per_call_ns = measured.measured[NOOP]["stats"]["median"] * 1e9
    steps = per_call_ns / row.extra["empty_loop_ns"]
    assert row.extra["times_an_empty_loop"] == pytest.approx(steps)
    assert "time relative to one step of an empty loop, measured beside it" in " ".join(
        measured.out.split()
    )


def test_a_step_is_a_hundred_thousandth_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_harness, "empty_loop", lambda: 0.001)
    extra = test_harness.beside_an_empty_loop([3e-8, 4e-8, 9e-8])
    assert extra == pytest.approx({"empty_loop_ns": 10, "times_an_empty_loop": 4})


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
    assert row.cell.regime["decoder"] == fast.decoder("png")


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
        assert re.search(rf"^{name}.* 1(\.0+)? .*(same|undecided)\S*$", shown.out, re.MULTILINE)
    assert "fail-on: 0 rows fail" in shown.out


def test_show_prints_the_tables_of_the_run(measured: Run, tmp_path: Path) -> None:
    shown = python_in(tmp_path, "-m", "bench", "show", str(measured.folder / "out.json"))
    assert shown.code == 0, shown.err
    for name in MEASURED_IDS:
        lines = [line for line in measured.out.splitlines() if line.startswith(name)]
        assert lines == [line for line in shown.out.splitlines() if line.startswith(name)]
