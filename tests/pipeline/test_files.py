"""A file is whole or absent."""

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.files import FIXTURES, read_bytes, writing


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


# What is no regular file stays what it is. Each is made here: never the system's own devices.


def write(path: Path, content: bytes) -> None:
    with writing(path) as file:
        file.write(content)


@pytest.mark.parametrize("there", [True, False], ids=["file", "dangling"])
def test_a_symbolic_link_stays_and_its_file_is_replaced(tmp_path: Path, there: bool) -> None:
    file, link, chain = tmp_path / "deep" / "file", tmp_path / "link", tmp_path / "chain"
    if there:
        file.parent.mkdir()
        file.write_bytes(b"old")
    link.symlink_to(file)
    chain.symlink_to("link")
    write(chain, b"new")
    assert link.is_symlink()
    assert chain.is_symlink()
    assert file.read_bytes() == b"new"
    assert os.listdir(file.parent) == ["file"]


def test_a_link_that_names_itself_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("link")
    with pytest.raises(PipelineError, match=r"expected a place that can be written \("):
        write(link, b"new")
    assert link.is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
@pytest.mark.parametrize("linked", [False, True], ids=["itself", "linked"])
def test_a_pipe_gets_everything_at_once_and_stays(tmp_path: Path, linked: bool) -> None:
    fifo, link = tmp_path / "fifo", tmp_path / "link"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    content = bytes(range(256)) * 1000  # more than a pipe holds
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(fifo.read_bytes)
        write(link if linked else fifo, content)
        assert reader.result() == content
    assert stat.S_ISFIFO(fifo.lstat().st_mode)
    assert link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["fifo", "link"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_pipe_that_nobody_reads_is_refused_and_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.files.READER_S", 0.0)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(PipelineError, match=r"written \(nobody reads this pipe\)"):
        write(tmp_path / "fifo", b"new")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_block_that_fails_writes_nothing_into_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    reading = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)

    def fail() -> None:
        with writing(tmp_path / "fifo") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert os.read(reading, 10) == b""
    os.close(reading)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    content = bytes(range(256)) * 1000  # more than a pipe holds
    for most, expected in ((len(content), content), (len(content) - 1, None)):
        with ThreadPoolExecutor(1) as pool:
            writer = pool.submit(write, tmp_path / "fifo", content)
            assert read_bytes(tmp_path / "fifo", most) == expected
            writer.exception()  # it may have been left with a byte that nobody took


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_pipe_that_nobody_writes_and_a_device_are_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.files.READER_S", 0.0)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="nobody writes into this pipe"):
        read_bytes(tmp_path / "fifo", 9)
    with pytest.raises(OSError, match="it is no file but a device"):
        read_bytes(Path(os.devnull), 9)


def test_a_device_stays_a_device(tmp_path: Path) -> None:
    device = tmp_path / "device"
    try:
        os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(1, 3))  # takes everything, keeps nothing
        device.write_bytes(b"")
    except (AttributeError, OSError) as error:
        pytest.skip(f"no device can be made here: {error}")
    before = device.stat()
    write(device, b"report")
    after = device.stat()
    assert stat.S_ISCHR(after.st_mode)
    assert (after.st_rdev, after.st_ino) == (before.st_rdev, before.st_ino)
    assert os.listdir(tmp_path) == ["device"]


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
@pytest.mark.parametrize("name", ["n" * 255, "é" * 127], ids=["letters", "bytes"])
def test_the_longest_name_can_be_written(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, b"whole")
    assert os.listdir(tmp_path) == [name]


def test_the_fixtures_lie_beside_the_package() -> None:
    assert Path(__file__).parents[2] / "fixtures" == FIXTURES
    assert (FIXTURES / "tiny-sd" / "model_index.json").is_file()
