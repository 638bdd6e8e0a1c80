"""Caffe's `.caffemodel`: a NetParameter message. Filters (O, I, H, W), channels BGR.

Fields (BVLC/caffe, src/caffe/proto/caffe.proto):
    NetParameter: layers = 2 (V1LayerParameter, what Oxford's file has), layer = 100 (LayerParameter)
    V1LayerParameter: name = 4, blobs = 6. LayerParameter: name = 1, blobs = 7
    BlobProto: num, channels, height, width = 1..4, data = 5 (packed float), shape = 7, double_data = 8
    BlobShape: dim = 1
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..conventions import CONVENTIONS
from .binary import UnreadableError, mapped, quoted
from .contents import Contents
from .names import SHAPES, assign, require_shape
from .protobuf import BYTES, VARINT, Walker, packed_floats, text

LAYER_FIELDS = {2: (4, 6), 100: (1, 7)}  # field of NetParameter -> fields of name and blobs
MOST_LAYERS = 1000


@dataclass
class _Blob:
    parts: list[memoryview] = field(default_factory=list)
    legacy: dict[int, int] = field(default_factory=dict)  # num, channels, height, width
    shape: list[int] | None = None
    doubles: bool = False
    unpacked: bool = False

    def sides(self) -> tuple[int, ...]:
        if self.shape is not None:
            return tuple(self.shape)
        return tuple(self.legacy.get(axis, 1) for axis in (1, 2, 3, 4))


def read(path: Path) -> Contents:
    """The convolutions of a Caffe model."""
    walker = Walker()
    blobs: dict[str, memoryview] = {}
    layers = 0
    for number, kind, _, data in walker.fields(mapped(path)):
        if number not in LAYER_FIELDS or kind != BYTES:
            continue
        layers += 1
        if layers > MOST_LAYERS:
            raise UnreadableError(f"holds more than {MOST_LAYERS} layers: not a VGG-19")
        _collect(walker, data, *LAYER_FIELDS[number], blobs)
    if not layers:
        raise UnreadableError("holds no layers: not a Caffe model")
    wanted, _ = assign(blobs)
    parameters = {}
    for raw, name in wanted.items():
        blob = _blob(walker, blobs[raw])
        if blob.doubles or blob.unpacked:
            raise UnreadableError(f"{quoted(raw)} is not packed float32")
        shape = blob.sides()
        if name.endswith("_bias") and shape[:-1] == (1,) * (len(shape) - 1):
            shape = shape[-1:]  # the old form writes a bias as 1 x 1 x 1 x O
        require_shape(name, shape)
        parameters[name] = packed_floats(blob.parts, SHAPES[name], raw)
    return Contents(parameters, CONVENTIONS["vgg-bgr"], True)


def _collect(walker: Walker, layer: memoryview, name_field: int, blob_field: int, blobs: dict[str, memoryview]) -> None:
    """Add a layer's blobs to `blobs`, named LAYER_weight and LAYER_bias."""
    name, found = "", []
    for number, kind, _, data in walker.fields(layer):
        if number == name_field and kind == BYTES:
            name = text(data, "a layer's name")
        elif number == blob_field and kind == BYTES:
            found.append(data)
    if len(found) > 2:
        raise UnreadableError(f"layer {quoted(name)} has {len(found)} blobs: another network")
    for part, data in zip(("weight", "bias"), found, strict=False):
        if f"{name}_{part}" in blobs:
            raise UnreadableError(f"holds the layer {quoted(name)} twice")
        blobs[f"{name}_{part}"] = data


def _blob(walker: Walker, message: memoryview) -> _Blob:
    blob = _Blob()
    for number, kind, value, data in walker.fields(message):
        if number in (1, 2, 3, 4) and kind == VARINT:
            blob.legacy[number] = value
        elif number == 5:
            blob.unpacked |= kind != BYTES
            blob.parts.append(data)
        elif number == 7 and kind == BYTES:
            blob.shape = [
                side
                for axis, axis_kind, axis_value, axis_data in walker.fields(data)
                if axis == 1
                for side in walker.integers(axis_kind, axis_value, axis_data)
            ]
        elif number == 8:
            blob.doubles = True
    return blob
