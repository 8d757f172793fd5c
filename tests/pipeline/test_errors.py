"""An error is one line: what was given, what was expected, what to do."""

import pickle

import pytest

from pipeline.errors import (
    ContractError,
    Missing,
    PipelineError,
    UnavailableError,
    one_line,
    with_article,
)


def test_an_error_says_given_expected_and_remedy() -> None:
    assert str(PipelineError("--size 100", "sides divisible by 8", "try 96x96")) == (
        "--size 100: expected sides divisible by 8; try 96x96"
    )


def test_a_line_of_what_a_library_raised_has_no_colours() -> None:
    assert one_line(ValueError("\x1b[36mray::work()\x1b[39m failed\n\x1b]0;title\x07")) == (
        "ray::work() failed �]0;title�"
    )


def test_an_error_stays_one_line() -> None:
    assert str(PipelineError("a\nb", "c\r\n  d", "e\tf")) == "a b: expected c d; e f"


def test_an_unavailable_error_says_what_is_missing_and_what_changes_that() -> None:
    missing = Missing("julia", "Julia", "no Julia: none is installed", "install it")
    error = UnavailableError("Flux.jl", missing)
    assert str(error) == "Flux.jl: expected Julia; no Julia: none is installed; install it"
    assert error.missing is missing


@pytest.mark.parametrize("family", [ContractError, UnavailableError])
def test_every_error_is_of_one_family(family: type[Exception]) -> None:
    assert issubclass(family, PipelineError)


@pytest.mark.parametrize(
    ("noun", "text"),
    [
        ("AutoencoderKL", "an AutoencoderKL"),
        ("AsymmetricAutoencoderKL", "an AsymmetricAutoencoderKL"),
        ("EulerDiscreteScheduler", "an EulerDiscreteScheduler"),
        ("Image", "an Image"),
        ("int", "an int"),
        ("ndarray", "an ndarray"),
        ("UNet2DConditionModel", "a UNet2DConditionModel"),
        ("NoneType", "a NoneType"),
        ("dict", "a dict"),
    ],
)
def test_a_class_has_its_article(noun: str, text: str) -> None:
    assert with_article(noun) == text


def test_an_error_is_the_same_in_another_process() -> None:
    missing = Missing("julia", "Julia", "no Julia: none is installed", "install it")
    for error in (ContractError("a", "b", "c"), UnavailableError("Flux.jl", missing)):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))
    assert again.missing == missing
