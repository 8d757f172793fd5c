"""Files and folders become preprocessed PNG files: named after their source, whole, made once."""

import os
import re
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline import pregenerated
from pipeline.errors import PipelineError
from pipeline.preprocessing import conversion
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.preprocessing.preprocess import Settings
from support import warm
from support.commands import Command
from support.helpers import ROOT

PHOTO = pregenerated.paths()[0]
SMALL = Settings(size=16)
COUNT = 168  # five batches and a bit: each kill comes while one or two are written


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def put(*names: str, size: int = 24) -> None:
    from PIL import Image

    for number, name in enumerate(names):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (size, size), (number, 100, 200)).save(name)


def convert(*paths: str, out: str = "out", settings: Settings = SMALL) -> list[str]:
    """Plan and convert; return the names of what was written, in order."""
    written: list[str] = []
    missing = conversion.plan(paths, Path(out), settings).missing
    assert not conversion.convert(
        missing, settings, 2, lambda done, outputs: written.extend(map(str, outputs))
    )
    return written


def colour(path: str) -> Any:
    from PIL import Image

    with Image.open(path) as image:
        return image.convert("RGB").getpixel((0, 0))


def test_a_generated_image_keeps_its_number_and_names_never_collide() -> None:
    sources = ("a/photo.png", "b/photo.png", "a/photo.jpg", "a/generated_image_7.png",
               "b/generated_image_7.png", "generated_image_01.png")  # fmt: skip
    put(*sources)
    names = convert(*sources)
    assert len(set(names)) == len(sources)
    assert [re.sub("-[0-9a-f]{12}", "-*", name) for name in names] == [
        "out/photo-*.png",
        "out/photo-*.png",
        "out/photo-*.png",
        "out/preprocessed_image_7.png",
        "out/generated_image_7-*.png",
        "out/generated_image_01-*.png",
    ]
    assert [colour(name)[0] for name in names if "photo-" in name][:2] == [0, 1]


def test_a_name_depends_on_its_source_alone() -> None:
    put("a/photo.png", "a/other.png", "photo.png")
    [alone] = convert("a/photo.png", out="one")
    together = convert("photo.png", "a", str(Path("a/photo.png").resolve()), out="two")
    assert alone.removeprefix("one/") in [name.removeprefix("two/") for name in together]


def test_a_folder_is_every_image_below_it_sorted_and_once() -> None:
    put("in/b.png", "in/a/z.JPG", "in/a/y.webp", "in/.hidden.png", "in/.git/x.png", "in/out/x.png")
    Path("in/notes.txt").write_text("no image")
    names = convert("in", "in/b.png", "in", out="in/out")
    assert [name.split("-")[0] for name in names] == ["in/out/b", "in/out/y", "in/out/z"]


NAMES = ["夜" * 80, "🌆" * 60, "ü" * 120, "x" * 250, "\udcff\udcfe", " a\nb'\"$", "-rf"]
"""Stems of file names, up to the 255 bytes that file systems allow with `.png`."""


def test_a_name_of_any_bytes_has_an_output_that_stays_its_own() -> None:
    put("ok.png")
    Path("in").mkdir()
    for stem in NAMES:
        Path("in", f"{stem}.png").write_bytes(Path("ok.png").read_bytes())
    names = convert("in")
    assert len(set(names)) == len(NAMES)
    assert all(len(os.fsencode(Path(name).name)) <= 255 - len("..12345678") for name in names)
    assert convert("in") == []


def test_an_output_that_cannot_be_written_is_skipped_and_the_rest_goes_on() -> None:
    put("in/a.png", "in/b.png")
    missing = conversion.plan(["in"], Path("out"), SMALL).missing
    missing[Path("in/a.png")] = Path("in/b.png/no folder/a.png")
    written: list[Path] = []
    [fault] = conversion.convert(missing, SMALL, 2, lambda done, outputs: written.extend(outputs))
    assert str(fault).startswith("output in/b.png/no folder/a.png: expected a place that can be ")
    assert written == [missing[Path("in/b.png")]]


def test_links_are_followed_and_end_where_they_lead_back() -> None:
    put("real/x.png", "in/own.png", "in/below/y.png")
    Path("in/linked").symlink_to("../real")
    Path("in/file.png").symlink_to("../real/x.png")
    Path("in/below/up").symlink_to("..")
    Path("in/self").symlink_to(".")
    Path("real/back").symlink_to("../in")
    Path("in/out").symlink_to("../out")
    Path("in/one.txt").symlink_to("other.txt")  # and back: it is neither file nor folder
    Path("in/other.txt").symlink_to("one.txt")
    names = convert("in")
    assert [name.split("-")[0] for name in names] == ["out/file", "out/own", "out/y", "out/x"]


def test_other_files_are_left_alone_and_pictures_of_other_formats_are_counted() -> None:
    put("in/a.png")
    for name in (
        "manual.pdf",
        "clip.mpg",
        "data.h5",
        "b.heic",
        "c.HEIC",
        "d.jxl",
        "e.dng",
        "f.eps",
    ):
        Path("in", name).write_bytes(b"x")
    plan = conversion.plan(["in"], Path("out"), SMALL)
    assert list(plan.missing) == [Path("in/a.png")]
    notice = (
        "left out 5 pictures in formats that Pillow does not read: "
        "1 .dng, 1 .eps, 2 .heic, 1 .jxl; convert to PNG or JPEG"
    )
    assert plan.notice() == notice
    Path("in/a.png").unlink()
    with pytest.raises(PipelineError) as refused:
        conversion.plan(["in"], Path("out"), SMALL)
    assert str(refused.value).endswith(f"or a folder of images; {notice}")
    assert conversion.Plan({}, 0, Counter()).notice() == ""


def test_an_output_is_what_preprocess_makes() -> None:
    from PIL import Image

    for settings in (Settings(), Settings(size=100, grayscale=True)):
        [name] = convert(str(PHOTO), settings=settings)
        batch = preprocessing.preprocess([PHOTO], settings.size, settings.grayscale)
        with Image.open(name) as image:
            assert image.tobytes() == preprocessing.to_image(batch[0]).tobytes()
        Path(name).unlink()


def test_a_second_run_makes_only_what_is_missing() -> None:
    put("in/a.png", "in/b.png", "in/c.png")
    first = convert("in")
    Path(first[1]).unlink()
    before = {name: os.stat(name).st_mtime_ns for name in (first[0], first[2])}
    plan = conversion.plan(["in"], Path("out"), SMALL)
    assert (list(plan.missing), plan.done) == ([Path("in/b.png")], 2)
    assert convert("in") == [first[1]]
    assert convert("in") == []
    assert {name: os.stat(name).st_mtime_ns for name in before} == before


def test_an_output_of_other_settings_or_of_a_changed_source_is_made_again() -> None:
    put("a.png", "b.png")
    [output] = convert("a.png")
    for settings in (
        Settings(size=17),
        Settings(size=16, grayscale=True),
        Settings(16, scaled=True),
    ):
        assert convert("a.png", settings=settings) == [output]
        assert convert("a.png", settings=settings) == []
    put("a.png", size=25)
    assert convert("a.png") == [output]
    os.utime("a.png", ns=(1, 1))
    assert convert("a.png") == [output]
    for content in (b"", b"no image", PHOTO.read_bytes(), Path(output).read_bytes()[:60]):
        Path(output).write_bytes(content)
        assert convert("a.png") == [output]


def test_a_source_that_changes_after_it_was_read_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put("a.png")

    def then_changed(*arguments: Any, **options: Any) -> Any:
        for batch in preprocessing_stream(*arguments, **options):
            put("other.png", "a.png", size=25)
            yield batch

    preprocessing_stream = conversion.stream
    with monkeypatch.context() as patched:
        patched.setattr(conversion, "stream", then_changed)
        [name] = convert("a.png")
    assert colour(name)[0] == 0
    assert convert("a.png") == [name]
    assert colour(name)[0] == 1


def test_unreadable_files_are_skipped_and_reported() -> None:
    put("in/a.png", "in/c.png")
    Path("in/b.png").write_bytes(b"no image")
    plan = conversion.plan(["in", "nowhere.png"], Path("out"), SMALL)
    written: list[Path] = []
    counts: list[int] = []

    def tell(done: int, outputs: Any) -> None:
        counts.append(done)
        written.extend(outputs)

    skipped = conversion.convert(plan.missing, SMALL, 2, tell)
    assert [str(error) for error in skipped] == [
        "image in/b.png: expected a format that Pillow reads, such as PNG or JPEG; convert it",
        "image nowhere.png: expected a file that exists; check the path",
    ]
    assert [path.name.split("-")[0] for path in written] == ["a", "c"]
    assert counts == [4]


@pytest.mark.parametrize("paths", [["nowhere.png"], ["empty"], ["nowhere", "empty"]])
def test_a_question_without_images_is_wrong(paths: list[str]) -> None:
    Path("empty").mkdir()
    with pytest.raises(PipelineError) as refused:
        conversion.plan(paths, Path("out"), SMALL)
    assert str(refused.value) == (
        f"image {', '.join(paths)}: expected a file that exists, or a folder of images; "
        "check the path"
    )


def test_half_written_files_of_a_killed_run_are_removed_and_no_others() -> None:
    put("a.png", "b.png")
    [output] = convert("a.png")
    mine = Path("out") / f".{Path(output).name}.k3j2h1g0.part"
    others = [Path("out/.hidden"), Path("out/.another.png.k3j2h1g0.part")]
    for path in (mine, *others):
        path.write_bytes(b"half")
    assert convert("a.png") == []
    assert [path.exists() for path in (mine, *others)] == [False, True, True]


def ended(how: signal.Signals, *question: str) -> tuple[int, str]:
    """Send a run a signal once it has written a file; return its code, and what it says of it."""
    before = set(Path("out").glob("[!.]*"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = warm.start(Path.cwd(), "pipeline", "preprocess", *question, environment=environment)
    while set(Path("out").glob("[!.]*")) == before:
        assert psutil.pid_exists(process.pid), process.wait()
        time.sleep(0.01)
    process.send(how)
    code, _, said = process.wait()
    return code, said


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither signal")
def test_after_kills_the_next_run_does_the_rest_and_nothing_twice(command: Command) -> None:
    from PIL import Image

    Path("in").mkdir()
    for number in range(COUNT):
        Path(f"in/{number}.png").symlink_to(PHOTO)
    question = ("in", "--out", "out", "--size", "64", "--workers", "2")
    code, said = ended(signal.SIGINT, *question)
    assert code == 130
    assert said.endswith("interrupted: every file that was written is whole\n")
    assert "Traceback" not in said
    first = times()
    assert 0 < len(first) < COUNT
    code, said = ended(signal.SIGKILL, *question)
    assert code == -signal.SIGKILL
    assert re.match(rf"{len(first)} images? (was|were) preprocessed before\n", said)
    second = times()
    assert len(first) < len(second) < COUNT
    code, out, err = command("preprocess", *question)
    assert code == 0
    assert re.match(rf"{len(second)} images? (was|were) preprocessed before$", err[0])
    assert len(out) == COUNT - len(second)
    assert first.items() <= second.items() <= times().items()
    after = sorted(Path("out").iterdir())
    assert len(after) == COUNT  # and no temporary file
    expected = preprocessing.to_image(preprocessing.preprocess([PHOTO], 64)[0]).tobytes()
    for path in after:
        with Image.open(path) as image:
            assert image.tobytes() == expected


def times() -> dict[Path, int]:
    """When each file was written."""
    return {path: path.stat().st_mtime_ns for path in Path("out").glob("[!.]*")}
