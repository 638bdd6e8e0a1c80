"""ONNX's `.onnx`: a ModelProto. The k-th Conv node is the k-th convolution of VGG-19, whatever its tensors are called.

Fields (onnx/onnx, onnx/onnx.proto):
    ModelProto: graph = 7
    GraphProto: node = 1, initializer = 5, sparse_initializer = 15; nodes are in topological order
    NodeProto: input = 1, op_type = 4
    TensorProto: dims = 1, data_type = 2 (1 = float32), float_data = 4, name = 8, raw_data = 9, data_location = 14
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .binary import UnreadableError, mapped, quoted
from .contents import Contents, by_custom
from .names import CONVOLUTIONS, MOST_TENSORS, SHAPES, assign, require_shape
from .protobuf import BYTES, VARINT, Walker, packed_floats, text

GRAPH = 7
NODE, INITIALIZER, SPARSE_INITIALIZER = 1, 5, 15
NODE_INPUT, NODE_OP_TYPE = 1, 4
FLOAT32 = 1
EXTERNAL = 1


def read(path: Path) -> Contents:
    """The convolutions of an ONNX model of VGG-19."""
    walker = Walker()
    graphs = [data for number, kind, _, data in walker.fields(mapped(path)) if number == GRAPH and kind == BYTES]
    if len(graphs) != 1:
        raise UnreadableError(f"holds {len(graphs)} graphs: not an ONNX model")
    convolutions: list[list[str]] = []
    tensors: dict[str, memoryview] = {}
    for number, kind, _, data in walker.fields(graphs[0]):
        if number == NODE and kind == BYTES:
            inputs = _convolution(walker, data)
            if inputs is not None:
                convolutions.append(inputs)
        elif number == INITIALIZER and kind == BYTES:
            name = _name(walker, data)
            if name in tensors:
                raise UnreadableError(f"holds the tensor {quoted(name)} twice")
            tensors[name] = data
        elif number == SPARSE_INITIALIZER:
            raise UnreadableError("holds a sparse tensor; only dense ones are read")
        if len(tensors) > MOST_TENSORS:
            raise UnreadableError(f"holds more than {MOST_TENSORS} tensors: not a VGG-19")
    return _match(walker, convolutions, tensors)


def _match(walker: Walker, convolutions: list[list[str]], tensors: dict[str, memoryview]) -> Contents:
    """The tensors of the Conv nodes under our names."""
    if not 1 <= len(convolutions) <= len(CONVOLUTIONS):
        raise UnreadableError(f"has {len(convolutions)} Conv nodes, VGG-19 has {len(CONVOLUTIONS)}: another network")
    parameters = {}
    for layer, inputs in zip(CONVOLUTIONS, convolutions, strict=False):
        if len(inputs) != 3:
            raise UnreadableError(f"the Conv node of {layer} has {len(inputs)} inputs, expected picture, filters, bias")
        for name, raw in zip((f"{layer}_weight", f"{layer}_bias"), inputs[1:], strict=True):
            if raw not in tensors:
                raise UnreadableError(f"the Conv node of {layer} takes {quoted(raw)}, which is no stored tensor")
            parameters[name] = _tensor(walker, tensors[raw], name)
    try:
        style = assign([raw for inputs in convolutions for raw in inputs[1:]])[1]
    except UnreadableError:
        style = "positions only"  # exporters may number their tensors
    return by_custom(parameters, style, caffe="vgg-bgr")


def _convolution(walker: Walker, node: memoryview) -> list[str] | None:
    """The inputs' names of a Conv node, or None for another node."""
    inputs, is_convolution = [], False
    for number, kind, _, data in walker.fields(node):
        if number == NODE_INPUT and kind == BYTES:
            inputs.append(text(data, "a tensor's name"))
        elif number == NODE_OP_TYPE and kind == BYTES:
            is_convolution = bytes(data[:8]) == b"Conv"
    return inputs if is_convolution else None


def _name(walker: Walker, tensor: memoryview) -> str:
    names = [data for number, kind, _, data in walker.fields(tensor) if number == 8 and kind == BYTES]
    if len(names) != 1:
        raise UnreadableError(f"a tensor has {len(names)} names")
    return text(names[0], "a tensor's name")


def _tensor(walker: Walker, tensor: memoryview, name: str) -> np.ndarray:
    shape: list[int] = []
    data_type, parts, external = 0, [], False
    for number, kind, value, data in walker.fields(tensor):
        if number == 1:
            shape.extend(walker.integers(kind, value, data))
        elif number == 2 and kind == VARINT:
            data_type = value
        elif number in (4, 9):
            if kind != BYTES:
                raise UnreadableError(f"{name} is not packed")
            parts.append(data)
        elif number == 14:
            external = value == EXTERNAL
    if external:
        raise UnreadableError(f"{name} lies in another file, which is not followed")
    if data_type != FLOAT32:
        raise UnreadableError(f"{name} has ONNX's type {data_type}, expected 1 (float32)")
    require_shape(name, shape)
    return packed_floats(parts, SHAPES[name], name)
