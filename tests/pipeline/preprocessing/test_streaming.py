"""Many pictures become batches in order; a bad one stops nothing, and stopping leaves no thread."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import contracts, pregenerated
from pipeline.errors import PipelineError
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.preprocessing.preprocess import Settings
from pipeline.preprocessing.resizing import takes_torchvision
from pipeline.preprocessing.streaming import default_workers, stream
from support.helpers import ROOT

IMAGES = pregenerated.paths()
SMALL = Settings(size=16)


def pictures(count: int) -> list[Any]:
    from PIL import Image

    return [Image.new("RGB", (20, 20), (number, 0, 0)) for number in range(count)]


def threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("preprocess")]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_batches_are_what_preprocess_makes_in_order(workers: int) -> None:
    import torch

    many = [IMAGES[number % 3] for number in range(7)]
    batches = list(stream(many, 3, workers, Settings(size=64, grayscale=True)))
    assert [paths for paths, _, _ in batches] == [many[:3], many[3:6], many[6:]]
    assert [errors for _, _, errors in batches] == [[], [], []]
    for paths, batch, _ in batches:
        assert contracts.check_batch(batch, (len(paths), 1, 64, 64)) == []
        assert torch.equal(batch, preprocessing.preprocess(paths, 64, grayscale=True))
    assert threads() == []


def test_a_bad_image_has_an_error_and_no_row(tmp_path: Path) -> None:
    import torch

    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    nowhere = tmp_path / "nowhere.png"
    [(paths, batch, errors)] = stream([IMAGES[0], bad, IMAGES[1], nowhere], 8, settings=SMALL)
    assert paths == [IMAGES[0], IMAGES[1]]
    assert torch.equal(batch, preprocessing.preprocess(paths, 16))
    assert batch.is_contiguous()
    assert [(path, str(error)) for path, error in errors] == [
        (bad, f"image {bad}: expected a format that Pillow reads, such as PNG or JPEG; convert it"),
        (nowhere, f"image {nowhere}: expected a file that exists; check the path"),
    ]


def test_a_batch_may_be_empty_and_so_may_a_stream(tmp_path: Path) -> None:
    first, second = stream([tmp_path, tmp_path, IMAGES[0]], 2, settings=SMALL)
    assert (first[0], first[1].shape, len(first[2])) == ([], (0, 3, 16, 16), 2)
    assert second[1].shape == (1, 3, 16, 16)
    assert list(stream([])) == []


def test_paths_are_taken_as_they_are_needed() -> None:
    taken = []

    def endless() -> Iterator[Any]:
        for picture in pictures(1) * 1000:
            taken.append(picture)
            yield picture

    batches = stream(endless(), 4, 2, SMALL)
    next(batches)
    next(batches)
    assert len(taken) == 12  # two batches that were returned, and one that is being filled
    batches.close()  # type: ignore[attr-defined]
    assert threads() == []


def test_at_most_two_batches_are_in_memory() -> None:
    alive: list[Any] = []
    most = 0
    for _, batch, _ in stream(pictures(200), 4, 2, SMALL):
        alive.append(weakref.ref(batch))
        most = max(most, sum(reference() is not None for reference in alive))
    assert len(alive) == 50
    assert most <= 2  # the loop's own variable holds the last one until it has the next


def test_an_error_in_the_callers_loop_ends_the_threads() -> None:
    def work() -> None:
        for _ in stream(pictures(100), 4, 2, SMALL):
            raise ValueError("the caller's")

    with pytest.raises(ValueError, match="the caller's"):
        work()
    gc.collect()
    assert threads() == []


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "2"])
@pytest.mark.parametrize("option", ["batch", "workers"])
def test_a_wrong_number_is_refused_at_once(option: str, value: Any) -> None:
    with pytest.raises(PipelineError) as refused:
        stream(IMAGES, **{option: value})
    assert str(refused.value) == f"{option} {value}: expected at least 1; change {option}"


def test_settings_of_another_type_and_one_picture_alone_are_refused_at_once() -> None:
    with pytest.raises(PipelineError) as refused:
        stream(IMAGES, settings={"size": 32})  # type: ignore[arg-type]
    assert str(refused.value) == "settings in a dict: expected Settings; pass Settings(size=…)"
    with pytest.raises(PipelineError) as refused:
        stream("photo.png")
    assert str(refused.value) == (
        "image photo.png, alone: expected a list of images; put it in a list"
    )


def test_default_workers_are_the_cores_of_this_process() -> None:
    assert 1 <= default_workers() <= (os.cpu_count() or 1)


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_ends_it_without_a_thread_left_or_torchvision_imported() -> None:
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests/suites/streams_for_ever.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    left, threads, has_torchvision = out.splitlines()[-3:]
    assert (left, threads) == ("left", "['MainThread']")
    assert has_torchvision == str(takes_torchvision())
