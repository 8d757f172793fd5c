"""The collector is paused while classes are imported, and runs again afterwards."""

import gc

import pytest

from pipeline.errors import PipelineError
from pipeline.stable_diffusion import kinds
from pipeline.stable_diffusion.collector import paused


def test_the_collector_runs_again_after_a_pause_also_one_within_another() -> None:
    with paused():
        assert not gc.isenabled()
        with paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_collector_runs_again_after_an_import_that_is_refused() -> None:
    with pytest.raises(PipelineError):
        kinds.text_to_image("x", "StableVideoDiffusionPipeline")
    assert gc.isenabled()
