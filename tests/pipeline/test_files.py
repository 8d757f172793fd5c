"""A file is whole or absent."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.files import FIXTURES, writing


@pytest.fixture
def umask() -> Iterator[int]:
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


def test_a_file_appears_when_its_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "image.png"
    with writing(path) as file:
        file.write(b"whole")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert os.listdir(path.parent) == ["image.png"]


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(b"old")
    with writing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [PipelineError("a", "b", "c"), ValueError(), KeyboardInterrupt()])
def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(b"old")

    def fail() -> None:
        with writing(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["image.png"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_a_file_has_the_permissions_of_any_other(tmp_path: Path, umask: int) -> None:
    with writing(tmp_path / "image.png"):
        pass
    assert (tmp_path / "image.png").stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("file/image.png", "File exists"),
        ("file/deep/image.png", "Not a directory"),
        ("folder", "Is a directory"),
        ("a" * 300, "File name too long"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(PipelineError) as refused, writing(tmp_path / name) as file:
        file.write(b"whole")
    assert str(refused.value) == (
        f"output {tmp_path / name}: expected a place that can be written ({why}); "
        "choose another folder"
    )
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_the_fixtures_lie_beside_the_package() -> None:
    assert Path(__file__).parents[2] / "fixtures" == FIXTURES
    assert (FIXTURES / "tiny-sd" / "model_index.json").is_file()
