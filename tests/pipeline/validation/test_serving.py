"""The contract as servers take it."""

import json
from functools import cache
from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.flux import network
from pipeline.validation import answers, serving
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
