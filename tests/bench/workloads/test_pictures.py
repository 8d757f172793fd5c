"""The pictures of fixtures/ are what their names say; a user's folder has a fingerprint."""

from pathlib import Path

import pytest

from bench.workloads import pictures


@pytest.mark.parametrize("key", pictures.FILES, ids=str)
def test_a_picture_has_its_format_and_size(key: tuple[str, tuple[int, int]]) -> None:
    from PIL import Image

    with Image.open(pictures.FILES[key]) as image:
        assert (str(image.format).lower(), image.size, image.mode) == (*key, "RGB")


def test_the_pictures_are_small_enough_for_a_checkout() -> None:
    folder = pictures.FILES["png", (512, 512)].parent
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5_000_000


def test_a_folder_is_its_first_files_by_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "below").mkdir()
    assert [path.name for path in pictures.folder(str(tmp_path))] == ["a.jpg", "b.png"]


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
