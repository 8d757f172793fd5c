"""What users type is read once, and refused with one line that says what to type instead."""

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.arguments import (
    Parser,
    parse_choices,
    parse_count,
    parse_folder,
    parse_list,
    parse_number,
    parse_size,
    size_label,
)
from pipeline.errors import PipelineError

parse_some = partial(parse_choices, known=("cuda", "julia"))

SIZE = "512 or 768x512 (width × height); change --x"
COUNT = "a whole number of at least 1; change --x"
NUMBER = "a number from 0; change --x"


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_size, "512", (512, 512)),
        (parse_size, "768x512", (768, 512)),
        (parse_size, "768X512", (768, 512)),
        (parse_size, "8", (8, 8)),
        (parse_count, "30", 30),
        (parse_number, "0", 0.0),
        (parse_number, "7.5", 7.5),
        (parse_number, "1e1", 10.0),
        (parse_some, "julia, cuda", ["julia", "cuda"]),
        (parse_some, "", []),
    ],
)
def test_a_value_is_read(parse: Callable[..., Any], text: str, value: Any) -> None:
    assert parse(text, name="--x") == value


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        *(
            (parse_size, text, SIZE)
            for text in ("", "x", "512x", "x512", "512x512x512", "-8", "8.0", "8 ", "²", "big")
        ),
        *((parse_size, text, "at least 1 pixel a side; change --x") for text in ("0", "512x0")),
        (parse_size, "100", "sides divisible by 8; try 96x96 or 104x104"),
        (parse_size, "768x500", "sides divisible by 8; try 768x496 or 768x504"),
        (parse_size, "7x512", "sides divisible by 8; try 8x512"),
        (
            partial(parse_size, multiple=64),
            "100",
            "sides divisible by 64; try 64x64 or 128x128",
        ),
        *((parse_count, text, COUNT) for text in ("0", "-1", "1.5", "many")),
        *((parse_number, text, NUMBER) for text in ("", "-1", "nan", "inf", "7,5", "much")),
        (parse_some, "gpu", "cuda or julia; change --x"),
    ],
)
def test_another_value_is_refused_with_what_to_type(
    parse: Callable[..., Any], text: str, expected: str
) -> None:
    with pytest.raises(PipelineError) as refused:
        parse(text, name="--x")
    assert str(refused.value) == f"--x {text}: expected {expected}"


@given(st.integers(1, 5000), st.integers(1, 5000), st.sampled_from([1, 8, 64]))
def test_a_size_that_is_suggested_is_accepted(width: int, height: int, multiple: int) -> None:
    text = size_label((width, height))
    try:
        assert parse_size(text, multiple=multiple) == (width, height)
        assert width % multiple == height % multiple == 0
    except PipelineError as error:
        suggested = re.findall(r"\d+x\d+", str(error).partition("try ")[2])
        assert suggested
        for other in suggested:
            near = parse_size(other, multiple=multiple)
            assert all(abs(a - b) < multiple for a, b in zip(near, (width, height), strict=True))


@pytest.mark.parametrize(
    ("text", "parts"),
    [("512", ["512"]), ("b,a", ["b", "a"]), (" a , b ", ["a", "b"]), ("a,b,a", ["a", "b"])],
)
def test_a_list_keeps_its_order_and_counts_a_value_once(text: str, parts: list[str]) -> None:
    assert parse_list(text) == parts


@pytest.mark.parametrize("text", ["", " ", "a,", ",a", "a,,b"])
def test_an_empty_value_in_a_list_is_refused(text: str) -> None:
    with pytest.raises(PipelineError) as refused:
        parse_list(text)
    assert str(refused.value) == (
        f"list {text!r}: expected values separated by commas; remove the empty one"
    )


def test_a_folder_need_not_exist(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    for folder in (tmp_path / "here", tmp_path / "a" / "b"):
        assert parse_folder(str(folder), "--out") == folder
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("below", ["", "run", "run/deep"])
def test_a_folder_at_or_below_a_file_is_refused(tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(PipelineError) as refused:
        parse_folder(str(file / below), "--out")
    assert str(refused.value) == (
        f"--out {file / below}: expected a folder, but {file} is a file; change --out"
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit of 255 characters a name")
def test_a_folder_with_a_null_byte_is_refused() -> None:
    with pytest.raises(PipelineError) as refused:
        parse_folder("run\0", "--out")
    assert str(refused.value) == ("--out run�: expected a name without a null byte; change --out")


def test_a_folder_whose_name_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"^--out .*: expected .*; change --out$"):
        parse_folder(str(tmp_path / ("a" * 300)), "--out")


def test_a_wrong_option_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="paint")
    parser.add_argument("--seed", type=int)
    with pytest.raises(SystemExit) as left:
        parser.parse_args(["--seed", "x"])
    assert left.value.code == 2
    assert capsys.readouterr().err == (
        "paint: argument --seed: invalid int value: 'x'; see paint --help\n"
    )
