"""Servers' files held to the contract."""

import json
import sys
from functools import cache
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.flux import network
from pipeline.validation import answers, server_files, serving
from pipeline.validation.answers import Answer, Scorer

SCORER = Scorer("the reference", network.output_shape)


@cache
def ranged() -> list[Answer]:
    asked = answers.questions("tiny", size="64,128x96", batch="2,1,4")
    return [answers.answer(one, SCORER) for one in asked]


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def compared(path: Path) -> list[str]:
    components_ = serving.components_of(ranged())
    return [
        line
        for served in server_files.read(path)
        for line in server_files.differences(path, served, components_)
    ]


def test_what_is_emitted_holds(tmp_path: Path) -> None:
    for number, text in enumerate(serving.emit(ranged(), "triton").split("\n\n")):
        assert compared(written(tmp_path, f"{number}.pbtxt", text)) == []
    for format_, suffix in (("triton", "pbtxt"), ("kserve", "json")):
        path = written(tmp_path, f"all.{suffix}", serving.emit(ranged(), format_))
        assert [one.name for one in server_files.read(path)] == NAMES
        assert compared(path) == []


NAMES = ["text_encoder", "unet", "vae_decoder", "scorer"]

PBTXT = """
name: 'unet'  max_batch_size: 8
input { name: "sample" data_type: TYPE_FP32 dims: 4 dims: -1 dims: -1 }
input { name: "timestep" data_type: TYPE_INT64 dims: [ 1 ] reshape { shape: [] } }
input [ { name: "encoder_hidden_states", data_type: TYPE_FP32, dims: [ -1, -1 ] } ]
output { name: "out_sample" data_type: TYPE_FP32 dims: [ 4, -1, -1 ] }  # the noise
instance_group [ { kind: KIND_GPU; count: 1 } ]
"""


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("", "", []),
        ("max_batch_size: 8", "max_batch_size: 1", ["unet: max_batch_size: has 1, needs 8"]),
        (
            "max_batch_size: 8",
            "max_batch_size: 0",
            ["unet: max_batch_size: has 0, needs 8"],
        ),
        (
            "TYPE_FP32 dims: 4 dims: -1 dims: -1",
            "TYPE_FP16 dims: 4 dims: 8 dims: 8",
            [
                "unet sample: datatype: has FP16, needs FP32",
                "unet sample: dims: has [4, 8, 8], needs [4, -1, -1] (8–12 × 8–16)",
            ],
        ),
        (
            'input { name: "timestep"',
            'output { name: "timestep"',
            ["unet timestep: direction: has output, needs input"],
        ),
        (
            '"out_sample"',
            '"noise"',
            ["unet out_sample: output: has none, needs FP32 [-1, 4, -1, -1]"],
        ),
        (
            'input { name: "sample"',
            'input { name: "mask" data_type: TYPE_BOOL dims: 1 } input { name: "sample"',
            ["unet mask: input: has one, needs none: the pipeline does not feed it"],
        ),
        ("dims: [ -1, -1 ]", "dims: [ 77, 64 ]",
         ["unet encoder_hidden_states: dims: has [77, 64], needs [77, 32]"]),
    ],
)  # fmt: skip
def test_each_difference_of_a_config_is_one_line(
    tmp_path: Path, old: str, new: str, lines: list[str]
) -> None:
    assert compared(written(tmp_path, "config.pbtxt", PBTXT.replace(old, new, 1))) == lines


def test_each_difference_of_metadata_is_one_line(tmp_path: Path) -> None:
    document = json.loads(serving.emit(ranged(), "kserve"))[2]
    document["inputs"][0]["shape"] = [1, 4, -1, -1]
    document["outputs"][0]["datatype"] = "FP16"
    document["name"] = "decoder"
    assert compared(written(tmp_path, "decoder.json", json.dumps(document))) == [
        "vae_decoder latent_sample: dims: has [1, 4, -1, -1], needs [-1, 4, -1, -1] "
        "(1–4 × 8–12 × 8–16)",
        "vae_decoder sample: datatype: has FP16, needs FP32",
    ]


def test_each_difference_of_an_onnx_file_is_one_line(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [helper.make_node("Identity", ["latent_sample"], ["sample"])],
        "decoder",
        [helper.make_tensor_value_info("latent_sample", types.FLOAT16, ["n", 4, "h", 16])],
        [helper.make_tensor_value_info("sample", types.FLOAT, None)],
    )
    onnx.save(helper.make_model(graph), tmp_path / "vae_decoder.onnx")
    assert compared(tmp_path / "vae_decoder.onnx") == [
        "vae_decoder latent_sample: datatype: has FP16, needs FP32",
        "vae_decoder latent_sample: dims: has [-1, 4, -1, 16], needs [-1, 4, -1, -1] "
        "(1–4 × 8–12 × 8–16)",
        "vae_decoder sample: dims: has no shape, needs [-1, 3, -1, -1] (1–4 × 64–96 × 64–128)",
    ]


def test_an_onnx_library_that_cannot_be_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "onnx.py", "raise RuntimeError('built for another numpy')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnx", raising=False)
    path = written(tmp_path, "unet.onnx", "")
    with pytest.raises(PipelineError) as refused:
        server_files.read(path)
    assert str(refused.value) == (
        f"--check {path}: expected the library onnx (built for another numpy); "
        'pip install "sd-flux-bench[onnx]"'
    )


KIND = "name a config.pbtxt, a KServe metadata .json, or an .onnx file"


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("config.txt", "", f"expected a name that ends in .pbtxt, .json or .onnx; {KIND}"),
        ("empty.json", "[]", f"expected a whole .json of a server (it has no model); {KIND}"),
        (
            "two.pbtxt",
            "max_batch_size: 1 name: 'a' max_batch_size: 2 name: 'b'",
            "expected a whole .pbtxt of a server (several models, of which the first does not "
            f"begin with its name); {KIND}",
        ),
        (
            "dims.pbtxt",
            "input { name: 'sample' data_type: TYPE_FP32 }",
            f"expected a whole .pbtxt of a server (an input without dims); {KIND}",
        ),
        (
            "a.pbtxt",
            "",
            f"expected a whole .pbtxt of a server (it has neither input nor output); {KIND}",
        ),
        (
            "b.pbtxt",
            "name: 'unet'\ninput [ { name: 'sample'",
            f"expected a whole .pbtxt of a server (a }} that is missing at its end); {KIND}",
        ),
        (
            "c.pbtxt",
            "name: 'unet'\n\x00",
            f"expected a whole .pbtxt of a server (line 2 has '\\x00'); {KIND}",
        ),
        (
            "d.pbtxt",
            "name: ]",
            f"expected a whole .pbtxt of a server (a value instead of ]); {KIND}",
        ),
        (
            "e.json",
            '{"inputs": []}',
            f"expected a whole .json of a server (Object missing required field `outputs`); {KIND}",
        ),
        (
            "number.json",
            '{"inputs": 3, "outputs": []}',
            "expected a whole .json of a server (Expected `array`, got `int` - at `$.inputs`); "
            f"{KIND}",
        ),
        (
            "f.json",
            '{"name": "x", "inputs": [], "outputs": []}',
            "expected the tensors of text_encoder or unet or vae_decoder or scorer; "
            "check the file, or --sd-model",
        ),
    ],
)
def test_a_foreign_or_damaged_file_is_one_line(
    tmp_path: Path, name: str, text: str, line: str
) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(PipelineError) as refused:
        compared(path)
    assert str(refused.value) == f"--check {path}: {line}"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "[" * 100_000),
        ("b.json", "\x00"),
        ("c.json", "[1]"),
        ("d.onnx", "no onnx at all"),
    ],
)
def test_whatever_a_reader_raises_is_one_line(tmp_path: Path, name: str, text: str) -> None:
    if name.endswith(".onnx"):
        pytest.importorskip("onnx")
    with pytest.raises(PipelineError, match=r"^--check .*: expected a whole .* of a server"):
        compared(written(tmp_path, name, text))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("absent", r"a file that can be read \(No such file or directory\); check the path"),
        (".", f"a file, not a folder; {KIND}"),
        ("/dev/null", f"a file, not a device or pipe; {KIND}"),
    ],
)
def test_what_is_no_file_is_one_line(path: str, expected: str) -> None:
    with pytest.raises(PipelineError, match=f"^--check {path}: expected {expected}$"):
        server_files.read(Path(path))
