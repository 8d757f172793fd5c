"""Bulk rows: seconds of a run in a fresh process, and what stands where there are none."""

import math
from pathlib import Path

import pytest

from bench.workloads import bulk
from pipeline.errors import PipelineError, UnavailableError


def test_seconds_are_of_a_run_over_every_item(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(bulk, "ITEMS", 2)
    monkeypatch.setattr(bulk, "PICTURE", bulk.FIXTURES / "images" / "generated_image_1.png")
    programs = []
    output = bulk.processes.output

    def kept(name: str, program: list[str], remedy: str) -> str:
        programs.append((program, printed := output(name, program, remedy)))
        return printed

    monkeypatch.setattr(bulk.processes, "output", kept)
    seconds = bulk.seconds_of("process", 1)
    assert seconds > 0
    assert math.isfinite(seconds)
    [(program, printed)] = programs
    assert "--ray" not in program
    assert bulk.json.loads(printed)["items"] == 2


def test_a_run_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(bulk, "PICTURE", Path("no such picture"))
    monkeypatch.setattr(bulk, "ITEMS", 1)
    with pytest.raises(PipelineError) as caught:
        bulk.seconds_of("process", 1)
    assert str(caught.value).startswith("process: expected a process that ends well, not: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("place", "absent", "extra"), [("ray", "ray", "cluster"), ("process", "pyarrow", "bulk")]
)
def test_a_library_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, place: str, absent: str, extra: str
) -> None:
    monkeypatch.setattr(bulk, "find_spec", lambda name: None if name == absent else object())
    with pytest.raises(UnavailableError) as caught:
        bulk.seconds_of(place, 1)
    assert caught.value.missing.remedy == f'pip install -e ".[{extra}]"'
