"""Processes decode the PNG files of a stream beside its threads, and leave nothing behind."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from bench.workloads import pictures
from pipeline.preprocessing import decoders, fast
from pipeline.preprocessing import preprocess as preprocessing
from pipeline.preprocessing.preprocess import Settings
from pipeline.preprocessing.streaming import stream
from support.pictures import encode, photo

PNG = pictures.FILES["png", (512, 512)].read_bytes()
SMALL = Settings(size=16)


@pytest.fixture
def decoder() -> Iterator[decoders.Decoder]:
    started = decoders.Decoder()
    until = time.monotonic() + 60
    while not started.is_ready() and time.monotonic() < until:
        time.sleep(0.01)
    assert started.is_ready()
    yield started
    started.close()


@pytest.mark.parametrize(("mode", "name"), [("L", "mono"), ("RGB", "rgb"), ("RGBA", "rgba")])
def test_a_process_decodes_files_of_any_size_one_after_another(
    mode: str, name: str, decoder: decoders.Decoder
) -> None:
    import numpy as np

    for side in (64, 512, 1, 300):
        picture = photo((side, side)).convert(mode)
        levels = decoder.decode(encode(picture, "PNG"), side, side, name)
        assert (levels.squeeze() == np.asarray(picture).squeeze()).all()


def test_a_file_that_it_refuses_does_not_end_it(decoder: decoders.Decoder) -> None:
    with pytest.raises(ValueError, match="does not read this file"):
        decoder.decode(PNG[:1000], 512, 512, "rgb")
    with pytest.raises(ValueError, match="does not read this file"):
        decoder.decode(PNG, 100, 100, "rgb")
    assert decoder.decode(PNG, 512, 512, "rgb").shape == (512, 512, 3)


def test_a_process_that_has_died_refuses(decoder: decoders.Decoder) -> None:
    decoder._process.kill()
    with pytest.raises(ValueError, match="does not read this file"):
        decoder.decode(PNG, 512, 512, "rgb")
    assert not decoder.is_alive()


def used(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Record the decoder of every file that a thread decodes, None for itself."""
    answers: list[Any] = []
    current = decoders.current

    def recorded() -> Any:
        answers.append(current())
        return answers[-1]

    monkeypatch.setattr(fast.decoders, "current", recorded)
    return answers


def test_a_stream_starts_processes_after_some_files_and_keeps_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    decoders._close_idle()
    answers = used(monkeypatch)
    expected = preprocessing.preprocess([PNG], 16)
    until = time.monotonic() + 120
    while not any(answers) and time.monotonic() < until:
        for _, batch, errors in stream([PNG] * 64, 32, 2, SMALL):
            assert torch.equal(batch, expected.expand_as(batch))
            assert errors == []
    assert answers[: decoders.FILES_BEFORE] == [None] * decoders.FILES_BEFORE
    assert any(answers)
    assert 1 <= len(decoders._idle) <= 2
    answers.clear()
    [_] = stream([PNG] * 4, 4, 2, SMALL)
    assert any(answers)  # at once
    decoders._close_idle()
    assert decoders._idle == []


@pytest.mark.parametrize(("count", "workers"), [(40, 1), (8, 2)])
def test_one_worker_or_few_files_start_no_process(
    count: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoders._close_idle()
    monkeypatch.setattr(decoders, "Decoder", None)
    for _, batch, _ in stream([PNG] * count, 8, workers, SMALL):
        assert len(batch) == 8
