"""The pictures of fixtures/ are what their names say; a user's folder has a fingerprint."""

from pathlib import Path

import pytest

from bench.workloads import pictures
from pipeline.errors import PipelineError


@pytest.mark.parametrize("key", pictures.FILES, ids=str)
def test_a_picture_has_its_format_and_size(key: tuple[str, tuple[int, int]]) -> None:
    from PIL import Image

    with Image.open(pictures.FILES[key]) as image:
        assert (str(image.format).lower(), image.size, image.mode) == (*key, "RGB")


def test_the_pictures_are_small_enough_for_a_checkout() -> None:
    folder = pictures.FILES["png", (512, 512)].parent
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5_000_000


def photo(path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (9, 9)).save(path)


def test_a_folder_is_its_first_pictures_by_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", ".hidden.png"):
        photo(tmp_path / name)
    (tmp_path / "below").mkdir()
    assert [path.name for path in pictures.folder(str(tmp_path))] == ["a.jpg", "b.png"]
    assert pictures.left_out(str(tmp_path)) == []


def test_what_cannot_be_read_is_left_out_and_said(tmp_path: Path) -> None:
    photo(tmp_path / "b.png")
    whole = pictures.FILES["jpeg", (512, 512)].read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[:3000])
    (tmp_path / "notes.txt").write_text("no picture")
    assert [path.name for path in pictures.folder(str(tmp_path))] == ["b.png"]
    broken, text = pictures.left_out(str(tmp_path))
    assert broken.startswith(f"left out image {tmp_path / 'a.jpg'}: expected a whole image file (")
    assert text == (
        f"left out image {tmp_path / 'notes.txt'}: expected a format that Pillow reads, such as "
        "PNG or JPEG; convert it"
    )


def test_of_many_that_cannot_be_read_three_are_named(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.txt").write_text("no picture")
    with pytest.raises(PipelineError, match="a folder with a picture; of 5 files none is one: "):
        pictures.folder(str(tmp_path))
    lines = pictures.left_out(str(tmp_path))
    assert len(lines) == 4
    assert lines[3] == f"left out 2 more of {tmp_path}"


def test_a_fingerprint_is_of_contents_in_order(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"1")
    second.write_bytes(b"23")
    both = pictures.fingerprint([first, second])
    assert both == pictures.fingerprint([first, second])
    assert both.startswith("2 images ")
    assert pictures.fingerprint([second, first]) != both
    second.write_bytes(b"24")
    assert pictures.fingerprint([first, second]) != both
    first.write_bytes(b"12")
    second.write_bytes(b"4")
    assert pictures.fingerprint([first, second]) != both
