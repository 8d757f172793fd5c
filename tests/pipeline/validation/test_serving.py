"""The contract as servers take it, and servers' files held to it."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.flux import network
from pipeline.validation import answers, server_files, serving
from pipeline.validation.answers import Answer, Scorer
from pipeline.validation.serving import Component

SCORER = Scorer("the reference", network.output_shape)


@cache
def answered(model: str = "tiny", **axes: str) -> list[Answer]:
    return [answers.answer(one, SCORER) for one in answers.questions(model, **axes)]


def ranged() -> list[Answer]:
    return answered(size="64,128x96", batch="2,1,4")


def components(given: list[Answer]) -> dict[str, Component]:
    return {component.name: component for component in serving.components_of(given)}


def dims(component: Component) -> dict[str, list[int]]:
    return {port.name: [port.sides[0].largest, *port.dims] for port in component.ports}


def test_a_dimension_is_variable_where_the_questions_differ() -> None:
    found = components(ranged())
    assert list(found) == ["text_encoder", "unet", "vae_decoder", "scorer"]
    assert dims(found["unet"]) == {
        "sample": [8, 4, -1, -1],
        "timestep": [8],
        "encoder_hidden_states": [8, 77, 32],
        "out_sample": [8, 4, -1, -1],
    }
    assert dims(found["vae_decoder"]) == {"latent_sample": [4, 4, -1, -1], "sample": [4, 3, -1, -1]}
    sample = found["unet"].ports[0]
    assert [(side.smallest, side.first, side.largest) for side in sample.sides] == [
        (2, 4, 8),
        (4, 4, 4),
        (8, 8, 12),
        (8, 8, 16),
    ]
    assert found["unet"].max_batch_size == 8, "two rows an image"
    fixed = components(answered(size="64"))
    assert dims(fixed["unet"])["sample"] == [2, 4, 8, 8]


def test_xl_has_a_second_text_encoder_and_added_conditions() -> None:
    found = components(answered("arch:sdxl", size="64", dtype="bfloat16"))
    assert dims(found["text_encoder_2"]) == {
        "input_ids": [1, 77],
        "hidden_states": [1, 77, 1280],
        "text_embeds": [1, 1280],
    }
    assert dims(found["unet"]) == {
        "sample": [2, 4, 8, 8],
        "timestep": [2],
        "encoder_hidden_states": [2, 77, 2048],
        "text_embeds": [2, 1280],
        "time_ids": [2, 6],
        "out_sample": [2, 4, 8, 8],
    }
    assert {port.dtype for port in found["unet"].ports} == {"bfloat16", "int64"}


def test_the_components_take_and_give_what_the_contract_says() -> None:
    """Against the real tiny networks, at a size of the range."""
    import torch

    from pipeline.stable_diffusion import diffusion

    pipe = diffusion.load("tiny", "cpu")
    found = components(answered(size="128x96", batch="2"))

    def inputs(name: str) -> dict[str, Any]:
        return {
            port.name: torch.zeros(
                [side.largest for side in port.sides], dtype=getattr(torch, port.dtype)
            )
            for port in found[name].ports
            if port.is_input
        }

    def outputs(name: str) -> list[tuple[list[int], str]]:
        ports = [port for port in found[name].ports if not port.is_input]
        return [([side.largest for side in port.sides], f"torch.{port.dtype}") for port in ports]

    with torch.inference_mode():
        states = pipe.text_encoder(**inputs("text_encoder"))[0]
        noise = pipe.unet(**inputs("unet"))[0]
        image = pipe.vae.decode(inputs("vae_decoder")["latent_sample"])[0]
    for name, tensor in (("text_encoder", states), ("unet", noise), ("vae_decoder", image)):
        assert outputs(name) == [(list(tensor.shape), str(tensor.dtype))]


@pytest.mark.parametrize(
    ("model", "axes", "line"),
    [
        (
            "tiny",
            {"dtype": "float32,bfloat16"},
            "--dtype float32, bfloat16: expected one value for a server; ask one at a time",
        ),
        (
            "tiny",
            {"channels": "1,3"},
            "--channels 1, 3: expected one value for a server; ask one at a time",
        ),
        (
            "tiny,arch:sd15",
            {"size": "64", "dtype": "float32"},
            "--sd-model tiny, arch:sd15: expected one value for a server; ask one at a time",
        ),
    ],
)
def test_a_server_runs_one_model_in_one_type(model: str, axes: dict[str, str], line: str) -> None:
    with pytest.raises(PipelineError) as refused:
        serving.components_of(answered(model, **axes))
    assert str(refused.value) == line


def test_tritons_dims_leave_the_batch_out() -> None:
    unet = serving.emit(ranged(), "triton").split("\n\n")[1]
    assert unet == (
        "# unet/config.pbtxt\n"
        "# with guidance its batch is two rows an image: first all without the prompt, then with\n"
        'name: "unet"\n'
        "max_batch_size: 8\n"
        "input [\n"
        '  {\n    name: "sample"\n    data_type: TYPE_FP32\n'
        "    dims: [ 4, -1, -1 ]  # 8–12 × 8–16\n  },\n"
        '  {\n    name: "timestep"\n    data_type: TYPE_INT64\n'
        "    dims: [ 1 ]\n    reshape: { shape: [ ] }\n  },\n"
        '  {\n    name: "encoder_hidden_states"\n    data_type: TYPE_FP32\n'
        "    dims: [ 77, 32 ]\n  }\n"
        "]\n"
        "output [\n"
        '  {\n    name: "out_sample"\n    data_type: TYPE_FP32\n'
        "    dims: [ 4, -1, -1 ]  # 8–12 × 8–16\n  }\n"
        "]"
    )


def test_kserves_metadata_has_the_batch_and_the_layout() -> None:
    scorer = json.loads(serving.emit(ranged(), "kserve"))[-1]
    assert scorer["inputs"] == [
        {
            "name": "batch",
            "datatype": "FP32",
            "shape": [-1, 3, 224, 224],
            "parameters": {
                "layout": "NCHW in C order, which Julia reads as (W, H, C, N) without a copy"
            },
        }
    ]
    assert scorer["outputs"] == [{"name": "scores", "datatype": "FP32", "shape": [-1, 10]}]


def test_a_schema_bounds_every_dimension() -> None:
    schema = json.loads(serving.emit(ranged(), "json-schema"))["$defs"]["vae_decoder"]
    (latents,) = schema["properties"]["inputs"]["prefixItems"]
    assert latents["properties"]["name"] == {"const": "latent_sample"}
    assert latents["properties"]["datatype"] == {"const": "FP32"}
    assert [
        (side["minimum"], side["maximum"]) for side in latents["properties"]["shape"]["prefixItems"]
    ] == [(1, 4), (4, 4), (8, 12), (8, 16)]


def test_a_profile_has_the_smallest_the_first_and_the_largest() -> None:
    lines = serving.emit(ranged(), "onnx-profile").splitlines()
    assert lines[lines.index("# vae_decoder") + 1 :][:3] == [
        "--minShapes=latent_sample:1x4x8x8",
        "--optShapes=latent_sample:2x4x8x8",
        "--maxShapes=latent_sample:4x4x12x16",
    ]


# Files of servers.


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
    assert compared(written(tmp_path, "all.json", serving.emit(ranged(), "kserve"))) == []


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
            [
                "unet sample: dims: has [4, -1, -1], needs [-1, 4, -1, -1] (2–8 × 8–12 × 8–16)",
                "unet timestep: dims: has [1], needs [-1] (2–8)",
                "unet encoder_hidden_states: dims: has [-1, -1], needs [-1, 77, 32] (2–8)",
                "unet out_sample: dims: has [4, -1, -1], needs [-1, 4, -1, -1] "
                "(2–8 × 8–12 × 8–16)",
            ],
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
        [helper.make_tensor_value_info("sample", types.FLOAT, ["n", 3, "H", "W"])],
    )
    onnx.save(helper.make_model(graph), tmp_path / "vae_decoder.onnx")
    assert compared(tmp_path / "vae_decoder.onnx") == [
        "vae_decoder latent_sample: datatype: has FP16, needs FP32",
        "vae_decoder latent_sample: dims: has [-1, 4, -1, 16], needs [-1, 4, -1, -1] "
        "(1–4 × 8–12 × 8–16)",
    ]


KIND = "name a config.pbtxt, a KServe metadata .json, or an .onnx file"


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("config.txt", "", f"expected a file of a server; {KIND}"),
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
        ("e.json", "{}", f"expected a whole .json of a server ('inputs'); {KIND}"),
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


def test_a_file_that_is_absent_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"expected a file that can be read \(No such file"):
        server_files.read(tmp_path / "config.pbtxt")
