"""Cold starts: one sample each, from a process that does nothing else, and only when asked for."""

import json
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.results import record
from bench.results.cell import CHECKED, MEASURED
from bench.workloads import cold
from bench.workloads.cold import Start
from pipeline.errors import PipelineError, UnavailableError
from support.runs import Run, copy_of_bench, lines_after, pytest_in


def in_copy(factory: pytest.TempPathFactory, *arguments: str, **environment: str) -> Run:
    folder = copy_of_bench(factory.mktemp("cold"))
    chosen = "bench/test_cold.py", "-kpython-start or torch-import", "--benchmark-json=out.json"
    return pytest_in(folder, *chosen, *arguments, **environment)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two starts, whose budgets no process could keep."""
    return in_copy(tmp_path_factory, "--cold", "--benchmark-max-time=0.001")


def test_a_start_is_one_sample_and_says_so(run: Run) -> None:
    assert run.code == 0, run.out
    rows = {row.cell.id: row for row in record.load(run.folder / "out.json").rows}
    assert list(rows) == ["python-start", "torch-import"]
    for row in rows.values():
        assert (row.status, row.limited_by, len(row.samples)) == (MEASURED, "fresh process", 1)
        assert "other processes" in row.guards
    assert rows["torch-import"].samples > rows["python-start"].samples
    assert "\n¹ a single sample, from one fresh process: run again to get another\n" in run.out
    lines = lines_after(run.out, "cold · what happens once in a process")
    assert lines[2].startswith("python-start")
    assert lines[2].split()[2:4] == ["–", "1"]


def test_without_the_option_no_start_is_made(tmp_path_factory: pytest.TempPathFactory) -> None:
    run = in_copy(tmp_path_factory)
    assert run.code == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "20 cold starts were left out: add --cold" in run.out
    assert "20 deselected" in run.out


def test_without_timing_a_start_is_made_once_and_has_no_number(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    run = in_copy(tmp_path_factory, "--cold", "--benchmark-disable", "-kpython-start")
    assert run.code == 0, run.out
    (row,) = record.load(run.folder / "out.json").rows
    assert (row.status, row.samples) == (CHECKED, ())


def test_what_comes_before_is_not_in_the_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    order: list[Any] = []

    def after(prepared: Any) -> dict[str, float]:
        order.append(f"after {prepared}")
        time.sleep(0.2)
        return {"again_s": 1.0}

    def before() -> str:
        time.sleep(0.2)
        order.append("before")
        return "made"

    monkeypatch.setattr(cold, "STARTS", {"x": Start(order.append, before, extra=after)})
    assert cold.main(["x"]) == 0
    assert order == ["before", "made", "after made"]
    printed = json.loads(capsys.readouterr().out)
    assert printed["seconds"] < 0.2
    assert printed["extra"] == {"again_s": 1.0}


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["python-start"], ["a", "b"]])
def test_an_unknown_start_is_one_line_and_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cold.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("python -m bench.workloads.cold ")
    assert "expected one of torch-import, torchvision-import, diffusers-import" in err
    assert len(err.splitlines()) == 1


def test_an_output_that_breaks_its_contract_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    flat = Image.new("RGB", (64, 64))
    monkeypatch.setattr(cold.diffusion, "sample", lambda *_: [flat])
    start = Start(lambda pipe: cold._sample(pipe, 64, 2))
    monkeypatch.setattr(cold, "STARTS", {"x": start})
    assert cold.main(["x"]) == 1
    assert capsys.readouterr().err.startswith("image 1: one flat colour")


def test_a_process_that_fails_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Traceback (most recent call last):\n  …\ntorch.OutOfMemoryError: CUDA out of memory\n"
    ended = SimpleNamespace(returncode=1, stdout="", stderr=said)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ended)
    with pytest.raises(PipelineError) as caught:
        cold.sample("sd15-cuda-load")
    assert str(caught.value) == (
        "sd15-cuda-load: expected a process that ends well, not: torch.OutOfMemoryError: CUDA out "
        "of memory; run it by hand: python -m bench.workloads.cold sd15-cuda-load"
    )


def test_a_gpu_that_another_process_holds_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "RuntimeError: CUDA error: CUDA-capable device(s) is/are busy or unavailable\n"
    ended = SimpleNamespace(returncode=1, stdout="", stderr=line)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ended)
    with pytest.raises(UnavailableError) as caught:
        cold.sample("cuda-context")
    assert caught.value.missing == cold.EXCLUSIVE


def test_a_process_that_hangs_is_ended_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold.processes, "TIMEOUT_S", 0.05)
    with pytest.raises(PipelineError) as caught:
        cold.sample("torch-import")
    assert str(caught.value) == (
        "torch-import: expected an end within 0 s; run it by hand: python -m bench.workloads.cold "
        "torch-import"
    )


def test_what_is_compiled_is_not_taken_from_an_earlier_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folders: list[Path] = []

    def run(*_: Any, env: dict[str, str], **__: Any) -> Any:
        folders.append(Path(env["TORCHINDUCTOR_CACHE_DIR"]))
        assert not list(folders[-1].iterdir())
        return SimpleNamespace(
            returncode=0, stdout='noise\n{"seconds": 1.5, "extra": {}}\n', stderr=""
        )

    monkeypatch.setattr(subprocess, "run", run)
    taken = [cold.sample("reference-cpu-compile") for _ in range(2)]
    assert taken == [(1.5, {}), (1.5, {})]
    assert len(set(folders)) == 2
    assert not any(folder.exists() for folder in folders)
