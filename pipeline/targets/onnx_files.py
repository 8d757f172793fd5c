"""ONNX made of exported programs, without weights."""

from dataclasses import replace
from typing import Any

from pipeline.errors import one_line
from pipeline.targets.programs import Program, quiet

__all__ = ["converted"]


def converted(program: Program) -> Program:
    """Return the program as ONNX takes it: the same guards, and each side that ONNX made constant.

    An ONNX file keeps no guards. Outside them a runtime stops inside the graph, or computes what
    nobody has traced.
    """
    import torch

    if program.failure:
        return program
    try:
        with quiet():
            # Optimizing reads weights, of which there are none on the meta device.
            made = torch.onnx.export(program.exported, dynamo=True, optimize=False, verbose=False)
            assert made is not None
    except Exception as error:  # an operation that ONNX lacks, or a fault of the exporter
        return replace(program, failure=f"no ONNX: {one_line(error)}")
    graph = made.model.graph
    fixed = {
        str(value.name): [side if isinstance(side, int) else None for side in value.shape or ()]
        for value in graph.inputs
    }
    opset = made.model.opset_imports[""]
    text = f"opset {opset}, {len(graph)} nodes"
    return replace(program, guard=_guard(program, fixed), made=text)


def _guard(program: Program, fixed: dict[str, list[int | None]]) -> Any:
    def guard(**inputs: Any) -> None:
        for name, sides in fixed.items():
            for axis, side in enumerate(sides):
                if side is not None and inputs[name].shape[axis] != side:
                    raise AssertionError(f"{name}.size()[{axis}] == {side} in ONNX")
        program.guard(**inputs)

    return guard
