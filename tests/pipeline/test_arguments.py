"""What users type is read once, and refused with one line that says what to type instead."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.arguments import (
    Parser,
    parse_count,
    parse_folder,
    parse_list,
    parse_number,
    parse_size,
    size_label,
)
from pipeline.errors import PipelineError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", (512, 512)),
        ("768x512", (768, 512)),
        ("768X512", (768, 512)),
        ("8", (8, 8)),
    ],
)
def test_a_size_is_width_times_height(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "line"),
    [
        *(
            (text, f"--size {text}: expected 512 or 768x512 (width × height); change --size")
            for text in ("", "x", "512x", "x512", "512x512x512", "-8", "8.0", "8 ", "²", "big")
        ),
        ("0", "--size 0: expected at least 1 pixel a side; change --size"),
        ("512x0", "--size 512x0: expected at least 1 pixel a side; change --size"),
        ("100", "--size 100: expected sides divisible by 8; try 96x96 or 104x104"),
        ("768x500", "--size 768x500: expected sides divisible by 8; try 768x496 or 768x504"),
        ("7x512", "--size 7x512: expected sides divisible by 8; try 8x512"),
    ],
)
def test_another_size_is_refused_with_what_to_type(text: str, line: str) -> None:
    with pytest.raises(PipelineError) as refused:
        parse_size(text)
    assert str(refused.value) == line


def test_a_size_is_refused_under_its_own_option_and_multiple() -> None:
    with pytest.raises(PipelineError) as refused:
        parse_size("100", "--sd-size", 64)
    assert str(refused.value) == (
        "--sd-size 100: expected sides divisible by 64; try 64x64 or 128x128"
    )


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


def test_a_size_reads_as_it_is_typed() -> None:
    assert size_label((768, 512)) == "768x512"


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


def test_a_count_is_a_whole_number() -> None:
    assert parse_count("30", "--steps") == 30


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many"])
def test_another_count_is_refused(text: str) -> None:
    with pytest.raises(PipelineError) as refused:
        parse_count(text, "--steps")
    assert str(refused.value) == (
        f"--steps {text}: expected a whole number of at least 1; change --steps"
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


@pytest.mark.parametrize(("text", "number"), [("0", 0.0), ("7.5", 7.5), ("1e1", 10.0)])
def test_a_number_from_0_is_read(text: str, number: float) -> None:
    assert parse_number(text, "--guidance") == number


@pytest.mark.parametrize("text", ["", "-1", "-0.1", "nan", "inf", "7,5", "much"])
def test_another_number_is_refused(text: str) -> None:
    with pytest.raises(PipelineError) as refused:
        parse_number(text, "--guidance")
    assert str(refused.value) == (f"--guidance {text}: expected a number from 0; change --guidance")
