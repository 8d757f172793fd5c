"""Files that servers have, held to the contract: config.pbtxt, KServe metadata, ONNX."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pipeline.errors import PipelineError, one_line
from pipeline.validation.serving import DATATYPES, Component, Port

__all__ = ["Served", "ServedPort", "differences", "read"]

_TOKEN = re.compile(
    r"""\s+ | \#[^\n]* | (?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    | (?P<word>[A-Za-z_][\w.]*) | (?P<number>-?\d+(?:\.\d+)?) | (?P<sign>[{}\[\]:,;])""",
    re.VERBOSE,
)
_ONNX_DATATYPES = {1: "FP32", 10: "FP16", 16: "BF16", 7: "INT64", 6: "INT32"}
REMEDY = "name a config.pbtxt, a KServe metadata .json, or an .onnx file"


@dataclass(frozen=True)
class ServedPort:
    """An input or an output that a file declares."""

    is_input: bool
    datatype: str
    """As KServe's protocol names it."""
    dims: tuple[int, ...] | None
    """-1 where any size is taken; without the batch where `Served.max_batch_size` has it.

    None where the file has no shape."""


@dataclass(frozen=True)
class Served:
    """What a file declares of one component."""

    name: str
    max_batch_size: int | None
    """Of Triton; None where the batch is the first of the dims."""
    ports: Mapping[str, ServedPort]


class _Tensor(msgspec.Struct):
    """An input or an output in KServe's metadata."""

    name: str
    datatype: str
    shape: list[int]


class _Metadata(msgspec.Struct):
    """What KServe's protocol says of a model."""

    inputs: list[_Tensor]
    outputs: list[_Tensor]
    name: str = ""


def read(path: Path) -> list[Served]:
    """Return the components that a server's file declares.

    Raises `PipelineError` for a file that is missing, foreign or damaged.
    """
    reader = {".pbtxt": _read_pbtxt, ".json": _read_json, ".onnx": _read_onnx}.get(path.suffix)
    try:
        if not path.is_file():
            path.stat()
            expected = f"a file, not a {'folder' if path.is_dir() else 'device or pipe'}"
            raise PipelineError(f"--check {path}", expected, REMEDY)
        if reader is None:
            expected = "a name that ends in .pbtxt, .json or .onnx"
            raise PipelineError(f"--check {path}", expected, REMEDY)
        served = reader(path)
        if not served:
            raise ValueError("it has no model")
        return served
    except PipelineError:
        raise
    except OSError as error:
        expected = f"a file that can be read ({error.strerror})"
        raise PipelineError(f"--check {path}", expected, "check the path") from error
    except Exception as error:  # what a damaged file makes of a reader
        expected = f"a whole {path.suffix} of a server ({one_line(error)})"
        raise PipelineError(f"--check {path}", expected, REMEDY) from error


def differences(path: Path, served: Served, components: Sequence[Component]) -> list[str]:
    """Return one line for each tensor and field that differs: what the file has, what it needs.

    Raises `PipelineError` where the file shares no tensor with any component.
    """
    shared = {
        component.name: len({port.name for port in component.ports} & served.ports.keys())
        for component in components
    }
    named = [one for one in components if one.name == served.name and shared[one.name]]
    component = named[0] if named else max(components, key=lambda one: shared[one.name])
    if not shared[component.name]:
        expected = f"the tensors of {' or '.join(one.name for one in components)}"
        raise PipelineError(f"--check {path}", expected, "check the file, or --sd-model")
    lines, most = [], component.max_batch_size
    batched = _leaves_the_batch_out(served, component)
    if batched and served.max_batch_size is not None and served.max_batch_size < most:
        lines.append(_line(component, "", "max_batch_size", served.max_batch_size, most))
    for port in component.ports:
        lines += _port_differences(component, port, served, batched)
    names = {port.name for port in component.ports}
    lines += [
        _line(component, name, "input", "one", "none: the pipeline does not feed it")
        for name, port in served.ports.items()
        if port.is_input and name not in names
    ]
    return lines


def _leaves_the_batch_out(served: Served, component: Component) -> bool:
    """Whether the dims of a file lack the batch; with a `max_batch_size` of 0 they should not."""
    if served.max_batch_size is None:
        return False
    return served.max_batch_size > 0 or any(
        len(has.dims or ()) == len(port.dims)
        for port in component.ports
        if port.dims and (has := served.ports.get(port.name)) is not None
    )


def _port_differences(
    component: Component, port: Port, served: Served, batched: bool
) -> Iterator[str]:
    kind = "input" if port.is_input else "output"
    has = served.ports.get(port.name)
    if has is None:
        needs = f"{DATATYPES[port.dtype]} {[-1, *port.dims]}"
        yield _line(component, port.name, kind, "none", needs)
        return
    if has.is_input != port.is_input:
        yield _line(component, port.name, "direction", "output" if port.is_input else "input", kind)
    if has.datatype != DATATYPES[port.dtype]:
        yield _line(component, port.name, "datatype", has.datatype, DATATYPES[port.dtype])
    sides = port.sides[1:] if batched else port.sides
    needed = [side.dim for side in sides]
    dims = has.dims
    if batched and not sides and dims == (1,):  # reshaped to none
        return
    fits = (
        dims is not None
        and len(dims) == len(sides)
        and all(
            dim == -1 or dim == side.smallest == side.largest
            for dim, side in zip(dims, sides, strict=True)
        )
    )
    if not fits:
        ranges = [f"{side.smallest}–{side.largest}" for side in sides if side.dim == -1]
        text = f"{needed} ({' × '.join(ranges)})" if ranges else str(needed)
        shape = "no shape" if dims is None else list(dims)
        yield _line(component, port.name, "dims", shape, text)


def _line(component: Component, tensor: str, field: str, has: object, needs: object) -> str:
    return f"{component.name}{f' {tensor}' if tensor else ''}: {field}: has {has}, needs {needs}"


def _read_pbtxt(path: Path) -> list[Served]:
    models = _split(list(_tokens(path.read_text(encoding="utf-8-sig"))))
    return [_config(_message(iter(tokens), ""), path.parent.name) for tokens in models]


def _split(tokens: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the tokens of each model: `--emit` prints several, each from its name on."""
    starts, depth = [], 0
    for at, token in enumerate(tokens):
        depth += (token in ("{", "[")) - (token in ("}", "]"))
        if token == "name" and depth == 0 and tokens[at + 1 : at + 2] == [":"]:
            starts.append(at)
    if len(starts) < 2:
        yield tokens
    elif starts[0]:
        raise ValueError("several models, of which the first does not begin with its name")
    else:
        for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
            yield tokens[start:end]


def _config(fields: Mapping[str, list[Any]], folder: str) -> Served:
    ports = {}
    for key, is_input in (("input", True), ("output", False)):
        for entry in fields.get(key, []):
            absent = [name for name in ("name", "data_type", "dims") if name not in entry]
            if absent:
                raise ValueError(f"an {key} without {absent[0]}")
            datatype = str(entry["data_type"][0]).removeprefix("TYPE_")
            dims = tuple(int(dim) for dim in entry["dims"])
            ports[str(entry["name"][0])] = ServedPort(is_input, datatype, dims)
    if not ports:
        raise ValueError("it has neither input nor output")
    name = str(fields.get("name", [folder])[0])
    return Served(name, int(fields.get("max_batch_size", [0])[0]), ports)


def _tokens(text: str) -> Iterator[str]:
    """Split the text format of protocol buffers; strings keep their quotes."""
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            line = text.count("\n", 0, at) + 1
            raise ValueError(f"line {line} has {text[at : at + 10]!r}")
        at = match.end()
        if match.lastgroup:
            yield match[match.lastgroup]


def _message(tokens: Iterator[str], end: str) -> dict[str, list[Any]]:
    """Read fields up to `end`; every field is a list, as any may be repeated."""
    fields: dict[str, list[Any]] = {}
    for name in tokens:
        if name == end:
            return fields
        if name in ",;":
            continue
        if not re.match(r"[A-Za-z_]", name):
            raise ValueError(f"a field instead of {name}")
        sign = next(tokens, "")
        token = next(tokens, "") if sign == ":" else sign
        values = fields.setdefault(name, [])
        if token == "[":
            values += _items(tokens)
        else:
            values.append(_value(token, tokens))
    if end:
        raise ValueError(f"a {end} that is missing at its end")
    return fields


def _items(tokens: Iterator[str]) -> list[Any]:
    items: list[Any] = []
    for token in tokens:
        if token == "]":
            return items
        if token != ",":
            items.append(_value(token, tokens))
    raise ValueError("a ] that is missing at its end")


def _value(token: str, tokens: Iterator[str]) -> Any:
    if token == "{":
        return _message(tokens, "}")
    if token[:1] in "\"'" and token:
        return token[1:-1]
    if not token or token in "}]:,;":
        raise ValueError(f"a value instead of {token or 'its end'}")
    return token


def _read_json(path: Path) -> list[Served]:
    text = path.read_text(encoding="utf-8-sig")
    content = msgspec.json.decode(text, type=list[_Metadata] | _Metadata)
    return [
        Served(
            model.name,
            None,
            {
                tensor.name: ServedPort(is_input, tensor.datatype, tuple(tensor.shape))
                for is_input, tensors in ((True, model.inputs), (False, model.outputs))
                for tensor in tensors
            },
        )
        for model in (content if isinstance(content, list) else [content])
    ]


def _read_onnx(path: Path) -> list[Served]:
    try:
        import onnx
    except Exception as error:  # absent, or damaged: then anything
        expected = f"the library onnx ({one_line(error)})"
        remedy = 'pip install "sd-flux-bench[onnx]"'
        raise PipelineError(f"--check {path}", expected, remedy) from error
    graph = onnx.load(str(path), load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    ports = {}
    for values, is_input in ((graph.input, True), (graph.output, False)):
        for value in values:
            if value.name not in weights:
                type_ = value.type.tensor_type
                dims = None
                if type_.HasField("shape"):
                    sides = type_.shape.dim
                    dims = tuple(
                        side.dim_value if side.HasField("dim_value") else -1 for side in sides
                    )
                datatype = _ONNX_DATATYPES.get(type_.elem_type, f"ONNX {type_.elem_type}")
                ports[value.name] = ServedPort(is_input, datatype, dims)
    if not ports:
        raise ValueError("it has neither input nor output")
    return [Served(path.stem, None, ports)]
