"""The contract of each component as a server takes it: names, types, dims, batch, layout."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import PipelineError
from pipeline.validation.answers import Answer

__all__ = ["DATATYPES", "FORMATS", "Component", "Port", "Side", "components_of", "emit"]

DATATYPES = {
    "float16": "FP16",
    "bfloat16": "BF16",
    "float32": "FP32",
    "int64": "INT64",
    "int32": "INT32",
}
"""Types as KServe's protocol names them; Triton writes `TYPE_` before each."""

LAYOUT = "NCHW in C order, which Julia reads as (W, H, C, N) without a copy"

NOTES = {
    "unet": "with guidance its batch is two rows an image: first all without the prompt, then with",
    "scorer": f"batch: {LAYOUT}",
}


@dataclass(frozen=True)
class Side:
    """One dimension of a tensor over all the questions that were asked."""

    smallest: int
    first: int
    """Of the first question: what a server tunes for."""
    largest: int

    @property
    def dim(self) -> int:
        """Return the size; -1 where it varies."""
        return self.largest if self.smallest == self.largest else -1


@dataclass(frozen=True)
class Port:
    """An input or an output of a component; its first side is the batch."""

    name: str
    is_input: bool
    dtype: str
    sides: tuple[Side, ...]

    @property
    def dims(self) -> list[int]:
        """Return all dims but the batch, -1 where they vary."""
        return [side.dim for side in self.sides[1:]]


@dataclass(frozen=True)
class Component:
    """A network that a server runs, in the order of the pipeline."""

    name: str
    ports: tuple[Port, ...]

    @property
    def max_batch_size(self) -> int:
        """Return the largest batch that was asked for, in rows of this component."""
        return max(port.sides[0].largest for port in self.ports)


def components_of(answers: Sequence[Answer]) -> list[Component]:
    """Return the components that serve all the questions, with the range of each dimension.

    Raises `PipelineError` where the questions differ in more than size, batch and memory.
    """
    for name in ("model", "dtype", "channels", "flux_model"):
        values = list(dict.fromkeys(getattr(answer.question, name) for answer in answers))
        if len(values) > 1:
            given = ", ".join(str(getattr(value, "name", value)) for value in values)
            option = f"--{'sd-' if name == 'model' else ''}{name.replace('_', '-')}"
            raise PipelineError(f"{option} {given}", "one value for a server", "ask one at a time")
    shapes: dict[tuple[str, str, bool, str], list[tuple[int, ...]]] = {}
    for answer in answers:
        for tensor in answer.tensors:
            key = (tensor.component, tensor.name, tensor.is_input, tensor.dtype)
            shapes.setdefault(key, []).append(tensor.shape)
    ports: dict[str, list[Port]] = {}
    for (component, name, is_input, dtype), all_ in shapes.items():
        sides = tuple(Side(min(sizes), sizes[0], max(sizes)) for sizes in zip(*all_, strict=True))
        ports.setdefault(component, []).append(Port(name, is_input, dtype, sides))
    return [Component(name, tuple(ports[name])) for name in ports]


def emit(answers: Sequence[Answer], format_: str) -> str:
    """Return the contract in one of `FORMATS`; raises as `components_of`."""
    return FORMATS[format_](components_of(answers))


def _triton(components: Sequence[Component]) -> str:
    """A `config.pbtxt` a component: dims leave the batch out, `max_batch_size` has it."""
    files = []
    for component in components:
        lines = [f"# {component.name}/config.pbtxt"]
        if component.name in NOTES:
            lines.append(f"# {NOTES[component.name]}")
        lines += [f'name: "{component.name}"', f"max_batch_size: {component.max_batch_size}"]
        for is_input in (True, False):
            ports = [port for port in component.ports if port.is_input == is_input]
            entries = ",\n".join(_triton_port(port) for port in ports)
            lines.append(f"{'input' if is_input else 'output'} [\n{entries}\n]")
        files.append("\n".join(lines))
    return "\n\n".join(files)


def _triton_port(port: Port) -> str:
    dims, extra = port.dims, ""
    if not dims:  # Triton wants one dim at least
        dims, extra = [1], "\n    reshape: { shape: [ ] }"
    ranges = [_range(side) for side in port.sides[1:] if side.dim == -1]
    comment = f"  # {' × '.join(ranges)}" if ranges else ""
    return (
        f'  {{\n    name: "{port.name}"\n    data_type: TYPE_{DATATYPES[port.dtype]}\n'
        f"    dims: [ {', '.join(map(str, dims))} ]{comment}{extra}\n  }}"
    )


def _range(side: Side) -> str:
    return f"{side.smallest}–{side.largest}"


def _kserve(components: Sequence[Component]) -> str:
    """A model's metadata (Open Inference Protocol, V2) a component: the batch is -1."""
    documents = []
    for component in components:
        document: dict[str, Any] = {"name": component.name, "versions": ["1"], "platform": ""}
        for key, is_input in (("inputs", True), ("outputs", False)):
            document[key] = [
                {
                    "name": port.name,
                    "datatype": DATATYPES[port.dtype],
                    "shape": [-1, *port.dims],
                    **({"parameters": {"layout": LAYOUT}} if _is_julias(component, port) else {}),
                }
                for port in component.ports
                if port.is_input == is_input
            ]
        documents.append(document)
    return json.dumps(documents, indent=2, ensure_ascii=False)


def _json_schema(components: Sequence[Component]) -> str:
    """A JSON Schema of the V2 inference requests of each component."""
    definitions = {}
    for component in components:
        ports = [port for port in component.ports if port.is_input]
        definitions[component.name] = {
            "type": "object",
            "required": ["inputs"],
            "properties": {
                "inputs": {
                    "type": "array",
                    "minItems": len(ports),
                    "maxItems": len(ports),
                    "prefixItems": [_schema_of(component, port) for port in ports],
                }
            },
        }
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": definitions}
    return json.dumps(document, indent=2, ensure_ascii=False)


def _schema_of(component: Component, port: Port) -> dict[str, Any]:
    sides = [
        {"type": "integer", "minimum": 1 if axis == 0 else side.smallest, "maximum": side.largest}
        for axis, side in enumerate(port.sides)
    ]
    schema = {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"const": port.name},
            "datatype": {"const": DATATYPES[port.dtype]},
            "shape": {
                "type": "array",
                "minItems": len(sides),
                "maxItems": len(sides),
                "prefixItems": sides,
            },
        },
    }
    return {"$comment": LAYOUT, **schema} if _is_julias(component, port) else schema


def _onnx_profile(components: Sequence[Component]) -> str:
    """The optimization profile of each component, as `trtexec` takes it."""
    lines = []
    for component in components:
        lines.append(f"# {component.name}")
        if component.name in NOTES:
            lines.append(f"# {NOTES[component.name]}")
        for option, size in (("min", "smallest"), ("opt", "first"), ("max", "largest")):
            shapes = [
                f"{port.name}:{'x'.join(str(getattr(side, size)) for side in port.sides)}"
                for port in component.ports
                if port.is_input
            ]
            lines.append(f"--{option}Shapes={','.join(shapes)}")
    return "\n".join(lines)


def _is_julias(component: Component, port: Port) -> bool:
    return (component.name, port.name) == ("scorer", "batch")


FORMATS: dict[str, Callable[[Sequence[Component]], str]] = {
    "triton": _triton,
    "kserve": _kserve,
    "json-schema": _json_schema,
    "onnx-profile": _onnx_profile,
}
"""What `--emit` takes."""
