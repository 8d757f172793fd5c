"""The first contact with a GPU, on the simulated one: what it verifies and leaves, row by row."""

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import first_contact
from bench.results import record
from bench.results.cell import CHECKED, FAILED, MEASURED, NOT_COMPARABLE, UNAVAILABLE, Cell, Row
from pipeline import availability
from simulated_cuda.plugin import LARGE
from support.helpers import NO_CUDA
from support.runs import Run, copy_of_bench, python_in
from support.simulation import BRIEF, python_on_cuda

PARTS = ("contracts", "modes", "memory", "device", "cold")
"""All but `flux`, which needs a Julia with CUDA.jl."""

Rows = dict[str, tuple[Row, ...]]

LEFT_OUT = [
    "bench/test_cold.py::test_cold[sd15-cuda-load]",
    "bench/test_cold.py::test_cold[sd15-cuda-first-call]",
    "bench/test_cold.py::test_cold[sd15-cuda-compile-new-size]",
    "bench/test_cold.py::test_cold[sd15-cuda-graph-new-size]",
    "bench/test_cold.py::test_cold[cuda-context]",
]
"""Too much for a CPU, and what the first kernel needs anyhow."""

SMALLEST = ("--sd-steps=1", "--sd-agreement=0", "--flux-batch=1")


@pytest.fixture(scope="module")
def contact(tmp_path_factory: pytest.TempPathFactory) -> Run:
    options = shlex.join([*BRIEF, *SMALLEST, *(f"--deselect={cell}" for cell in LEFT_OUT)])
    return python_on_cuda(
        copy_of_bench(tmp_path_factory.mktemp("contact")),
        *("-m", "bench.first_contact", "--model=tiny", "--size=32", "--steps=1", "--slower=20"),
        *(f"--large=--sd-batch {LARGE},1", f"--pytest={options}"),
        *("--only", *PARTS),
    )


@pytest.fixture(scope="module")
def rows(contact: Run) -> Rows:
    """The rows of each part."""
    folder = contact.folder / "first-contact"
    return {part: record.load(folder / f"{part}.json").rows for part in PARTS}


def on_cuda(rows: Rows) -> Iterator[Row]:
    for part in PARTS:
        yield from (row for row in rows[part] if row.cell.device == "cuda")


def test_every_fact_holds_on_a_device_that_works(contact: Run) -> None:
    assert (contact.code, contact.err) == (0, ""), contact.out
    assert "FAIL" not in contact.out
    assert "{" not in contact.out  # words, no Python
    count = contact.out.count("\nok   ")
    assert contact.out.endswith(f"\n{count} of {count} facts hold\n")
    titles = [line for line in contact.out.splitlines() if line.startswith("== ")]
    assert [title.split(", ")[0] for title in titles] == [
        f"== {part}: exit code 0" for part in PARTS
    ]
    for words in (
        "ok   driver 580.65.06, torch ",
        "ok   tiny-cuda-float16-32x32-graph-1steps: at most 0 levels of 255 off eager",
        " × eager, ",
        "ok   out of memory: CUDA out of memory. Tried to allocate 20.00 GiB.",
        "ok   the cell after it was measured",
    ):
        assert words in contact.out


def test_each_part_leaves_its_results(contact: Run) -> None:
    outcomes = json.loads((contact.folder / "first-contact" / "first-contact.json").read_text())
    assert [outcome["part"] for outcome in outcomes] == list(PARTS)
    assert all(outcome["ended"] == "exit code 0" for outcome in outcomes)


def test_every_cuda_cell_is_measured_but_for_a_peer_that_is_not_exact(
    rows: Rows,
) -> None:
    by_peers = {row.status for row in on_cuda(rows) if "peer" in row.cell.axes}
    assert by_peers <= {NOT_COMPARABLE, UNAVAILABLE}
    ended: dict[str, set[str]] = {}
    for part in ("modes", "device", "cold"):
        for row in rows[part]:
            if "peer" not in row.cell.axes:
                ended.setdefault(row.cell.family, set()).add(row.status)
    families = ("cold", "end_to_end", "forward", "generate", "preprocess")
    assert ended == {family: {MEASURED} for family in families}
    assert {row.status for row in rows["contracts"]} == {CHECKED}
    assert {row.cell.family for row in rows["contracts"]} == set(families) - {"cold"}


def test_a_row_on_cuda_has_memory_busy_time_energy_and_guards(rows: Rows) -> None:
    for row in on_cuda(rows):
        name = row.cell.id
        if row.status != MEASURED:
            continue
        assert {guard for guard, why in row.guards.items() if why} <= {"CPU clock"}, name
        if row.cell.family == "cold":
            continue
        assert row.busy, name
        assert row.extra["peak_reserved_bytes"] > 0, name
        assert ("peak_allocated_bytes" in row.extra) == (row.cell.axes.get("mode") != "graph")
        assert row.extra["gpu_process_bytes"] == 2**30
        assert row.extra["energy_j_per_image"] > 0, name
        if row.cell.family == "generate":
            assert list(row.stages) == ["text encoder", "scheduler", "UNet", "VAE decode"]


def test_every_mode_draws_what_eager_draws(rows: Rows) -> None:
    modes = {row.cell.axes.get("mode", "eager"): row.extra for row in rows["modes"]}
    assert set(modes) == {"eager", "compile", "graph"}
    off = {mode: extra.get("levels_off_eager") for mode, extra in modes.items()}
    assert off == {"eager": None, "compile": 0, "graph": 0}


def test_memory_of_a_family_is_its_own(rows: Rows) -> None:
    """The pipeline of another family was counted: 2 GB with sd15."""
    [drawn] = [row.extra for row in rows["modes"] if "mode" not in row.cell.axes]
    assert drawn["peak_allocated_bytes"] == pytest.approx(drawn["estimated_bytes"], rel=0.1)
    picture, features = 4 * 3 * 224 * 224, 4 * 16 * 224 * 224
    own = picture + 2 * features  # what the convolution gives, and what its activation gives
    pipeline, after = [row for row in rows["memory"] if row.status == MEASURED]
    assert (pipeline.cell.family, after.cell.family) == ("generate", "forward")
    peak = after.extra["peak_allocated_bytes"]
    assert own <= peak < own + drawn["estimated_bytes"] / 2


def test_rows_of_a_simulated_device_say_so_and_are_not_compared(contact: Run, rows: Rows) -> None:
    assert {row.cell.regime.get("device") for row in on_cuda(rows)} == {"simulated"}
    folder = contact.folder / "first-contact"
    assert "\nsimulated GPU · " in (folder / "modes.log").read_text()
    compared = python_in(folder, "-m", "bench", "compare", "modes.json", "modes.json")
    assert (compared.code, compared.out) == (2, "")
    assert compared.err == (
        "modes.json: expected results of a real device, not of the simulated GPU; "
        "measure on the device itself\n"
    )


# Without a run.


def test_all_parts_together_end_within_nine_minutes() -> None:
    assert sum(part.limit_s for part in first_contact.PARTS) <= 9 * 60


def test_a_sensor_of_the_cpu_that_is_hidden_is_no_fault_of_the_device() -> None:
    guards = {"CPU clock": "no cpufreq here", "GPU energy": "NVML: Not Supported", "x": ""}
    assert first_contact._unread(guards) == {"GPU energy": "NVML: Not Supported"}


@pytest.mark.parametrize(
    ("status", "reason", "holds"),
    [
        (UNAVAILABLE, "no Julia: none that fits is on PATH", True),
        (UNAVAILABLE, "no CUDA.jl: it finds no device that it can use", False),
        (FAILED, "no Julia", False),
    ],
)
def test_flux_may_lack_a_julia_but_not_a_device(status: str, reason: str, holds: bool) -> None:
    cell = Cell("forward", {"engine": "flux", "device": "cuda", "batch": 1}, device="cuda")
    run = record.Run({}, (Row("forward", cell, status, reason, "remedy"),))
    facts = list(first_contact._verified(first_contact.PARTS[-1], run))
    assert facts[0] == (holds, f"{cell.id}: {status}: {reason}; remedy")
    assert facts[-1] == (holds, "0 cells were measured")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--out", "file"], "--out file: expected a folder, but file is a file; change --out"),
        (["--out", ""], "--out '': expected the name of a folder; change --out"),
        (
            ["--slower", "0.5"],
            "--slower 0.5: expected a whole number of at least 1; change --slower",
        ),
        (["--pytest", 'a "b'], '--pytest a "b: expected quotes that are closed; change --pytest'),
        (["--large", 'x "y'], '--large x "y: expected quotes that are closed; change --large'),
        (["--size", "511"], "--size 511: expected sides divisible by 8; try 504x504 or 512x512"),
        (["--steps", "0"], "--steps 0: expected a whole number of at least 1; change --steps"),
        (["--model", "arch:x"], "--sd-model arch:x: expected one of "),
        (["--only"], "python -m bench.first_contact: argument --only: expected at least one "),
        ([], "first contact: expected a CUDA device; no CUDA"),
    ],
)
def test_a_wrong_question_is_one_line(
    arguments: list[str],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(availability, "cuda", lambda: NO_CUDA)
    try:
        code: object = first_contact.main(arguments)
    except SystemExit as ended:  # argparse's
        code = ended.code
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(line)
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_written_is_one_line_before_the_first_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(availability, "cuda", lambda: None)
    (tmp_path / "first-contact.json").mkdir()
    assert first_contact.main(["--out", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"output {tmp_path / 'first-contact.json'}: expected a place that can be")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_pipe_in_the_place_of_its_results_holds_nothing_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "first-contact.json")
    first_contact._write(tmp_path, [first_contact.Outcome("modes", 1.0, "exit code 0")])
    [outcome] = json.loads((tmp_path / "first-contact.json").read_text())
    assert outcome["part"] == "modes"


def test_a_folder_of_a_model_is_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model_index.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert first_contact._model("model") == str(tmp_path / "model")
    assert first_contact._model("tiny") == "tiny"
