"""`python -m pipeline validate`, from the command line."""

import json
import re
from pathlib import Path

import pytest

from support.commands import Command
from support.helpers import HIDDEN


def test_validate_prints_boundaries_and_its_own_time(command: Command) -> None:
    code, out, err = command("validate", "--size", "72x40", "--batch", "2", "--memory", "1GB")
    assert (code, err) == (0, [])
    assert out[0] == "tiny · 72x40 · batch 2 · float32 · RGB"
    assert [line.rsplit(maxsplit=1)[1] for line in out[1:13]] == ["result"] + ["holds"] * 11
    assert out[-2] == "shape of scores: by the PyTorch reference (no Julia: this test hides it)"
    assert re.fullmatch(r"checked in \S+ s, after \S+ s of imports", out[-1])


def test_validate_names_the_first_broken_boundary_last(command: Command) -> None:
    code, out, err = command("validate", "--size", "64,513", "--batch", "2")
    assert (code, err) == (1, [])
    assert out[-1] == (
        "does not hold: tiny · 513x513 · batch 2 · float32 · RGB: "
        "size: 513x513, expected sides divisible by 8; try 512x512 or 520x520"
    )


def test_validate_prints_nothing_but_json_when_asked(command: Command) -> None:
    code, out, err = command("validate", "--size", "513", "--json")
    document = json.loads("\n".join(out))
    assert code == 1
    assert err == [document["first_broken"]]
    assert err == [
        "does not hold: size: 513x513, expected sides divisible by 8; try 512x512 or 520x520"
    ]
    assert document["seconds"] > 0
    code, out, err = command("validate", "--json")
    assert (code, err, json.loads("\n".join(out))["holds"]) == (0, [], True)


def test_validate_says_what_it_cannot_check_of_a_flux_model_without_julia(command: Command) -> None:
    Path("mine.jl").touch()
    code, out, err = command("validate", "--flux-model", "mine.jl:deep")
    assert (code, err) == (0, [])
    line = f"--flux-model mine.jl:deep: expected Julia; {HIDDEN}"
    assert f"not checked: shape and memory of scores: {line}" in out


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ("--target export --emit triton", "--emit with --target: expected one of them"),
        ("--check f.json --target onnx", "--check with --target: expected one of them"),
        ("--emit triton --check f.json", "--emit with --check: expected one of them"),
        ("--emit triton --json", "--emit with --json: expected one of them"),
        (
            "--diff a b --sd-model tiny --emit triton",
            "--diff with --sd-model: expected one of them",
        ),
    ],
)
def test_validate_refuses_options_of_which_one_would_be_ignored(
    command: Command, asked: str, line: str
) -> None:
    assert command("validate", *asked.split()) == (2, [], [f"{line}; leave one out"])


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (["--target", "tensorrt"], "--target tensorrt: expected eager or export or onnx; change"),
        (["--target", ""], "--target '': expected eager or export or onnx; change --target"),
        (["--check", ""], "--check '': expected the name of a file; change --check"),
        (["--memory", "-3GB"], "--memory -3GB: expected a size such as 8GB or 8GiB; change"),
        (
            ["--memory", "24"],
            "--memory 24: expected a size such as 8GB or 8GiB; add the unit, such as",
        ),
        (["--size", "1000000"], "--size 1000000: expected sides up to 65536 pixels; change --size"),
        (
            ["--batch", "9999999"],
            "--batch 9999999: expected at most 1048576 images at once; change",
        ),
        (
            ["--calibrate", "x"],
            "--calibrate: expected the memory of the device; add --memory, such",
        ),
    ],
)
def test_validate_refuses_a_wrong_value_in_one_line(
    command: Command, asked: list[str], line: str
) -> None:
    code, out, err = command("validate", *asked)
    assert (code, out, len(err)) == (2, [], 1)
    assert err[0].startswith(line)


def test_validate_compares_in_json_when_asked(command: Command) -> None:
    for name, size in (("before", "64"), ("after", "72")):
        Path(f"{name}.json").write_text("\n".join(command("validate", "--size", size, "--json")[1]))
    code, out, err = command("validate", "--diff", "before.json", "after.json", "--json")
    document = json.loads("\n".join(out))
    assert (code, err, document["holds"]) == (1, [], False)
    assert document["changes"][0] == "size: 64x64 → 72x72"
    contract = "\n".join(command("validate", "--size", "64", "--emit", "kserve")[1])
    Path("server.json").write_text(contract.replace("FP32", "FP16"))
    code, out, err = command("validate", "--size", "64", "--check", "server.json", "--json")
    document = json.loads("\n".join(out))
    assert (code, err, document["holds"]) == (1, [], False)
    assert "vae_decoder sample: datatype: has FP16, needs FP32" in document["differences"]


@pytest.mark.parametrize(("format_", "name"), [("triton", "all.pbtxt"), ("kserve", "all.json")])
def test_validate_takes_what_it_emits(command: Command, format_: str, name: str) -> None:
    Path(name).write_text("\n".join(command("validate", "--size", "64", "--emit", format_)[1]))
    assert command("validate", "--size", "64", "--check", name) == (0, [f"{name} holds"], [])
