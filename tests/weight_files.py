"""Writes VGG-19's convolutions in every format that is read, byte by byte from the formats' definitions.

Each writer takes canonical parameters (float32, filters (O, I, 3, 3), RGB) and gives the bytes of a file that holds the
same network as files in circulation do: BGR where Caffe's descendants are BGR, (H, W, I, O) where those are. `.npz` and
`.mat` are written by NumPy and SciPy, `.h5` by h5py.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import scipy.io

Parameters = Mapping[str, np.ndarray]

# The sixteen convolutions and where torchvision's `features` has them (torchvision/models/vgg.py, configuration E).
CONVOLUTIONS = {
    **{"conv1_1": 0, "conv1_2": 2, "conv2_1": 5, "conv2_2": 7},
    **{"conv3_1": 10, "conv3_2": 12, "conv3_3": 14, "conv3_4": 16},
    **{"conv4_1": 19, "conv4_2": 21, "conv4_3": 23, "conv4_4": 25},
    **{"conv5_1": 28, "conv5_2": 30, "conv5_3": 32, "conv5_4": 34},
}
CHANNELS = {"1": 64, "2": 128, "3": 256, "4": 512, "5": 512}
MEAN_RGB = (123.68, 116.779, 103.939)


def random_parameters(last: str = "conv2_1", seed: int = 0) -> dict[str, np.ndarray]:
    """Seeded parameters of VGG-19's shapes, from conv1_1 to `last`."""
    random = np.random.default_rng(seed)
    parameters, inputs = {}, 3
    for name in CONVOLUTIONS:
        outputs = CHANNELS[name[4]]
        parameters[f"{name}_weight"] = random.normal(0, 0.1, (outputs, inputs, 3, 3)).astype(np.float32)
        parameters[f"{name}_bias"] = random.normal(0, 0.1, outputs).astype(np.float32)
        inputs = outputs
        if name == last:
            break
    return parameters


def layers(parameters: Parameters) -> list[str]:
    return [name for name in CONVOLUTIONS if f"{name}_weight" in parameters]


def bgr(parameters: Parameters) -> dict[str, np.ndarray]:
    """The same network for BGR input."""
    return {**parameters, "conv1_1_weight": np.ascontiguousarray(parameters["conv1_1_weight"][:, ::-1])}


def torchvision_names(parameters: Parameters) -> dict[str, np.ndarray]:
    return {
        f"features.{CONVOLUTIONS[layer]}.{part}": parameters[f"{layer}_{part}"]
        for layer in layers(parameters)
        for part in ("weight", "bias")
    }


def raw(array: np.ndarray) -> bytes:
    return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()


# MXNet: src/ndarray/ndarray.cc, NDArray::Save and its legacy forms.


def mxnet_array(array: np.ndarray, version: int, stype: int = 0, type_flag: int = 0) -> bytes:
    if version == 0:
        head = struct.pack(f"<I{array.ndim}I", array.ndim, *array.shape)
    elif version == 1:
        head = struct.pack(f"<Ii{array.ndim}q", 0xF993FAC8, array.ndim, *array.shape)
    else:
        magic = {2: 0xF993FAC9, 3: 0xF993FACA}[version]
        head = struct.pack(f"<Iii{array.ndim}q", magic, stype, array.ndim, *array.shape)
    return head + struct.pack("<iii", 1, 0, type_flag) + raw(array)


def mxnet_list(arrays: list[bytes], names: list[bytes]) -> bytes:
    body = struct.pack("<QQQ", 0x112, 0, len(arrays)) + b"".join(arrays) + struct.pack("<Q", len(names))
    return body + b"".join(struct.pack("<Q", len(name)) + name for name in names)


def params(parameters: Parameters, version: int = 0) -> bytes:
    return mxnet_list(
        [mxnet_array(array, version) for array in parameters.values()],
        [f"arg:{name}".encode() if version else name.encode() for name in parameters],
    )


# NumPy.


def npz(parameters: Parameters, compressed: bool = False, **extra: np.ndarray) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **parameters, **extra)
    return stream.getvalue()


def npy(parameters: Parameters) -> bytes:
    record = np.zeros((), dtype=[(name, "<f4", array.shape) for name, array in parameters.items()])
    for name, array in parameters.items():
        record[name] = array
    stream = io.BytesIO()
    np.save(stream, record)
    return stream.getvalue()


# MATLAB, by SciPy: the struct layouts of MatConvNet before and since beta17, and of its first releases.


FIELDS = {
    "first": ("type", "name", "filters", "biases", "pad", "stride"),
    "beta16": ("weights", "pad", "type", "name", "stride"),
    "beta17": ("type", "name", "weights", "pad"),
}
"""The fields of a layer's struct, in order."""


def mat(parameters: Parameters, layout: str = "beta17", compressed: bool = True) -> bytes:
    rows = []
    for name in layers(parameters):
        weights = np.empty((1, 2), dtype=object)
        weights[0, 0] = parameters[f"{name}_weight"].transpose(2, 3, 1, 0)  # (O, I, H, W) -> (H, W, I, O)
        weights[0, 1] = parameters[f"{name}_bias"].reshape(1, -1)
        conv = {"type": "conv", "name": name, "pad": np.ones((1, 4)), "stride": np.ones((1, 2))}
        conv |= {"weights": weights, "filters": weights[0, 0], "biases": weights[0, 1]}
        rows.append({key: conv[key] for key in FIELDS[layout]})
        rows.append({"type": "relu", "name": name.replace("conv", "relu")})
    cells = np.empty((1, len(rows)), dtype=object)
    cells[0, :] = rows
    if layout != "beta17":
        average = np.broadcast_to(np.array(MEAN_RGB), (224, 224, 3)).copy()
        content = {
            "layers": cells,
            "normalization": {"averageImage": average, "imageSize": np.array([[224.0, 224, 3]])},
        }
    else:
        average = np.array(MEAN_RGB, dtype=np.float32).reshape(1, 1, 3)
        content = {"layers": cells, "meta": {"normalization": {"averageImage": average}, "classes": {"name": "cat"}}}
    stream = io.BytesIO()
    scipy.io.savemat(stream, content, do_compression=compressed)
    return stream.getvalue()


# safetensors: huggingface/safetensors, README, section Format.


def safetensors(tensors: Parameters, metadata: Mapping[str, str] | None = None) -> bytes:
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for name, array in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [position, position + array.nbytes]}
        position += array.nbytes
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(raw(array) for array in tensors.values())


# Protocol Buffers: the encoding guide; caffe.proto and onnx.proto for the field numbers.


def varint(value: int) -> bytes:
    digits = []
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def chunk(field: int, data: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(data)) + data


def caffe_blob(array: np.ndarray, old: bool) -> bytes:
    if old:
        sides = (1,) * (4 - array.ndim) + array.shape
        return b"".join(number(i, side) for i, side in enumerate(sides, 1)) + chunk(5, raw(array))
    return chunk(5, raw(array)) + chunk(7, chunk(1, b"".join(varint(side) for side in array.shape)))


def caffemodel(parameters: Parameters, old: bool = True) -> bytes:
    """`old`: V1LayerParameter with four sides a blob, as Oxford's file has them; else LayerParameter and BlobShape."""
    name_field, type_, blob_field, layer_field = (
        (4, number(5, 4), 6, 2) if old else (1, chunk(2, b"Convolution"), 7, 100)
    )
    messages = [chunk(1, b"VGG_ILSVRC_19_layers")]
    for name in layers(parameters):
        network = bgr(parameters)
        blobs = [chunk(blob_field, caffe_blob(network[f"{name}_{part}"], old)) for part in ("weight", "bias")]
        messages.append(chunk(layer_field, chunk(name_field, name.encode()) + type_ + b"".join(blobs)))
        messages.append(chunk(layer_field, chunk(name_field, name.replace("conv", "relu").encode())))
    return b"".join(messages)


def onnx_tensor(name: str, array: np.ndarray, as_raw: bool = True, data_type: int = 1) -> bytes:
    data = chunk(9, raw(array)) if as_raw else chunk(4, raw(array))
    return chunk(8, name.encode()) + b"".join(number(1, side) for side in array.shape) + number(2, data_type) + data


def onnx(parameters: Parameters, as_raw: bool = True) -> bytes:
    """As vgg19-caffe2-9.onnx: initializers conv1_1_w_0 and conv1_1_b_0, BGR."""
    network = bgr(parameters)
    nodes, tensors, picture = [], [], "data_0"
    for name in layers(parameters):
        inputs = [picture, f"{name}_w_0", f"{name}_b_0"]
        nodes.append(b"".join(chunk(1, i.encode()) for i in inputs) + chunk(2, name.encode()) + chunk(4, b"Conv"))
        nodes.append(chunk(1, name.encode()) + chunk(2, b"r" + name.encode()) + chunk(4, b"Relu"))
        picture = "r" + name
        tensors.append(onnx_tensor(inputs[1], network[f"{name}_weight"], as_raw))
        tensors.append(onnx_tensor(inputs[2], network[f"{name}_bias"], as_raw))
    graph = b"".join(chunk(1, node) for node in nodes) + chunk(2, b"vgg19") + b"".join(chunk(5, t) for t in tensors)
    return number(1, 3) + chunk(7, graph) + chunk(8, number(2, 9))


# Torch: the pickle opcodes of Python's pickletools; torch/serialization.py for what goes around them.


def _text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _tuple(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def _name(module: str, name: str) -> bytes:
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def state_dict_pickle(
    tensors: Parameters, legacy: bool, rebuild: str = "_rebuild_tensor_v2", storage: str = "FloatStorage"
) -> bytes:
    """The pickle of an OrderedDict of tensors, each with its own storage, named by its position."""
    ordered = _name("collections", "OrderedDict") + b")R"
    items = b""
    for key, (name, array) in enumerate(tensors.items()):
        location = [_text("storage"), _name("torch", storage), _text(str(key)), _text("cpu"), _integer(array.size)]
        reference = _tuple(*location, *([b"N"] if legacy else [])) + b"Q"
        strides = [int(np.prod(array.shape[i + 1 :])) for i in range(array.ndim)]
        arguments = [reference, _integer(0), _tuple(*map(_integer, array.shape)), _tuple(*map(_integer, strides))]
        if rebuild.endswith("v2"):
            arguments += [b"\x89", ordered]
        items += _text(name) + _name("torch._utils", rebuild) + _tuple(*arguments) + b"R"
    metadata = b"}" + _text("_metadata") + ordered + b"s"
    return b"\x80\x02" + ordered + b"q\x00" + b"(" + items + b"u" + metadata + b"b."


def pth(tensors: Parameters, pickle: bytes | None = None) -> bytes:
    """The zip layout (torch 1.6 and later)."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("vgg19/data.pkl", pickle if pickle is not None else state_dict_pickle(tensors, False))
        archive.writestr("vgg19/byteorder", "little")
        for key, array in enumerate(tensors.values()):
            archive.writestr(f"vgg19/data/{key}", raw(array))
        archive.writestr("vgg19/version", "3\n")
    return stream.getvalue()


def python2_pickle(tensors: Parameters) -> bytes:
    """The same as Python 2 wrote it: bytes for text, and an OrderedDict called with one list of [key, value] (its
    Lib/collections.py, OrderedDict.__reduce__)."""

    def text(value: str) -> bytes:
        return b"U" + bytes([len(value)]) + value.encode()

    def ordered(*pairs: bytes) -> bytes:
        return _name("collections", "OrderedDict") + b"](" + b"".join(b"](" + pair + b"e" for pair in pairs) + b"e\x85R"

    pairs = []
    for key, (name, array) in enumerate(tensors.items()):
        location = [text("storage"), _name("torch", "FloatStorage"), text(str(key)), text("cpu"), _integer(array.size)]
        strides = [int(np.prod(array.shape[i + 1 :])) for i in range(array.ndim)]
        arguments = [_tuple(*location, b"N") + b"Q", _integer(0), _tuple(*map(_integer, array.shape))]
        arguments += [_tuple(*map(_integer, strides)), b"\x89", ordered()]
        pairs.append(text(name) + _name("torch._utils", "_rebuild_tensor_v2") + _tuple(*arguments) + b"R")
    metadata = b"}" + text("_metadata") + ordered(text("") + b"}" + text("version") + b"K\x01s") + b"s"
    return b"\x80\x02" + ordered(*pairs) + metadata + b"b."


def pth_legacy(tensors: Parameters, rebuild: str = "_rebuild_tensor_v2", pickle: bytes | None = None) -> bytes:
    """The layout before torch 1.6."""
    magic = 0x1950A86A20F9469CFC6C.to_bytes(10, "little")
    system = b"}(" + _text("protocol_version") + b"M\xe9\x03" + _text("little_endian") + b"\x88u"
    keys = b"](" + b"".join(_text(str(key)) for key in range(len(tensors))) + b"e"
    start = b"\x80\x02\x8a\x0a" + magic + b"." + b"\x80\x02M\xe9\x03." + b"\x80\x02" + system + b"."
    start += (pickle or state_dict_pickle(tensors, True, rebuild)) + b"\x80\x02" + keys + b"."
    return start + b"".join(struct.pack("<q", array.size) + raw(array) for array in tensors.values())


# HDF5, by h5py: the groups that Keras's save_weights makes.


def write_h5(path: Path, parameters: Parameters, dtype: str = "<f4") -> None:
    import h5py

    network = bgr(parameters)
    with h5py.File(path, "w") as file:
        for layer in layers(parameters):
            name = f"block{layer[4]}_conv{layer[6]}"
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}_W_1:0".encode(), f"{name}_b_1:0".encode()]
            kernel = network[f"{layer}_weight"].transpose(2, 3, 1, 0)
            group.create_dataset(f"{name}_W_1:0", data=kernel, dtype=dtype)
            group.create_dataset(f"{name}_b_1:0", data=network[f"{layer}_bias"], dtype=dtype)
        file.create_group("block1_pool")


def crc(data: bytes) -> int:
    return zlib.crc32(data)


WRITERS = {
    "vgg19-v0.params": lambda p: params(p, 0),
    "vgg19-v1.params": lambda p: params(p, 1),
    "vgg19-v2.params": lambda p: params(p, 2),
    "vgg19-v3.params": lambda p: params(p, 3),
    "vgg19.npz": npz,
    "vgg19-compressed.npz": lambda p: npz(p, compressed=True),
    "vgg19.npy": npy,
    "vgg19-beta17.mat": mat,
    "vgg19-beta16.mat": lambda p: mat(p, "beta16"),
    "vgg19-first.mat": lambda p: mat(p, "first"),
    "vgg19-uncompressed.mat": lambda p: mat(p, compressed=False),
    "vgg19.safetensors": safetensors,
    "vgg19.caffemodel": caffemodel,
    "vgg19-new.caffemodel": lambda p: caffemodel(p, old=False),
    "vgg19.onnx": onnx,
    "vgg19-floats.onnx": lambda p: onnx(p, as_raw=False),
    "vgg19.pth": lambda p: pth(bgr(p)),
    "vgg19-legacy.pth": lambda p: pth_legacy(bgr(p)),
    "vgg19-torch02.pth": lambda p: pth_legacy(bgr(p), "_rebuild_tensor"),
    "vgg19-python2.pth": lambda p: pth_legacy(bgr(p), pickle=python2_pickle(bgr(p))),
}
"""File name -> writer of a network whose convention is Oxford's, the same canonical network from each."""

PEAK_OF_READING = """
import resource, sys
from pathlib import Path
from model_zoo import formats
from model_zoo.errors import InputError
from model_zoo.loading import load_file
formats.FEWEST_CONVOLUTIONS = 1
def peak():
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (own + children) * 1024
before, digest = peak(), "none"
for path in sys.argv[1:]:
    try:
        digest = load_file(Path(path)).sha256
    except InputError as error:
        print(error, file=sys.stderr)
print(before, peak(), digest)
"""
"""A program: reads the files named to it; prints its peak memory before and after (bytes) and the last one's hash."""
