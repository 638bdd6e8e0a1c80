"""Weight files that are cut, corrupt or made to do harm: each is refused in one line that names file and cause.

Memory: the whole corpus is read in one process, whose peak stays below twice the largest file plus 200 MB.
"""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import weight_files as wf

from model_zoo import formats
from model_zoo.errors import InputError
from model_zoo.loading import load_file

PARAMETERS = wf.random_parameters("conv1_1")
WEIGHT, BIAS = PARAMETERS["conv1_1_weight"], PARAMETERS["conv1_1_bias"]
NAMES = [b"conv1_1_weight", b"conv1_1_bias"]
HUGE = 2**62


@pytest.fixture(autouse=True)
def first_layer_is_enough(monkeypatch):
    """So that the files are small, and what is wrong with them is the only thing that is."""
    monkeypatch.setattr(formats, "FEWEST_CONVOLUTIONS", 1)


def changed(name: str, value: float) -> dict[str, np.ndarray]:
    """The parameters with one number of `name` replaced."""
    array = PARAMETERS[name].copy()
    array.flat[7] = value
    return {**PARAMETERS, name: array}


def vgg16() -> dict[str, np.ndarray]:
    """The torch names of VGG-16's conv3_3 and conv4_1, with small tensors: the names alone give it away."""
    tensors = wf.torchvision_names(wf.random_parameters("conv1_1"))
    return {**tensors, "features.17.weight": np.ones((2, 2, 3, 3), np.float32)}


def resnet() -> dict[str, np.ndarray]:
    return {"layer1.0.conv1.weight": np.ones((2, 2, 3, 3), np.float32), "bn1.running_mean": np.ones(2, np.float32)}


def mx(arrays: list[bytes], names: list[bytes] = NAMES) -> bytes:
    return wf.mxnet_list(arrays, names)


def mx_dims(version: int, dims: list[int], axes: int | None = None) -> bytes:
    """A list whose first array claims `dims`, without data."""
    axes = len(dims) if axes is None else axes
    if version == 0:
        head = struct.pack("<I", axes & 0xFFFFFFFF) + b"".join(struct.pack("<I", side & 0xFFFFFFFF) for side in dims)
    else:
        magic = {1: struct.pack("<I", 0xF993FAC8), 2: struct.pack("<Ii", 0xF993FAC9, 0)}[version]
        head = magic + struct.pack(f"<i{len(dims)}q", axes, *dims)
    return struct.pack("<QQQ", 0x112, 0, 2) + head + struct.pack("<iii", 1, 0, 0) + bytes(64)


ARRAYS = [wf.mxnet_array(WEIGHT, 2), wf.mxnet_array(BIAS, 2)]
HEAD = struct.pack("<QQ", 0x112, 0)

PARAMS = {
    "wrong magic": (b"\x13" + wf.params(PARAMETERS)[1:], "wrong magic"),
    "a billion arrays": (HEAD + struct.pack("<Q", 10**9) + bytes(64), "1000000000 arrays"),
    "2^61 arrays": (HEAD + struct.pack("<Q", 2**61) + bytes(64), "arrays"),
    "ndim -1": (mx_dims(2, [64], -1), "axes"),
    "ndim -1 in V1": (mx_dims(1, [64], -1), "axes"),
    "ndim 2^32 - 1 in V0": (mx_dims(0, [64], -1), "axes"),
    "ndim 2^31 - 1": (mx_dims(2, [64], 2**31 - 1), "axes"),
    "ndim 0": (mx_dims(2, []), "axes"),
    "dims that overflow": (mx_dims(2, [2**33, 2**33]), "truncated"),
    "dims that overflow to the right size": (mx_dims(2, [2**62, 2**2, 2**1]), "truncated"),
    "negative dims": (mx_dims(2, [-64, -3, 3, 3]), "shape"),
    "a terabyte": (mx_dims(2, [10**12]), "truncated"),
    "name of 2^62 bytes": (mx(ARRAYS)[: -len(NAMES[1]) - 8] + struct.pack("<Q", HUGE) + NAMES[1], "claims"),
    "name not UTF-8": (mx(ARRAYS, [b"conv1_1_weight", b"\xff\xfe"]), "UTF-8"),
    "a name twice": (mx(ARRAYS, [NAMES[0], NAMES[0]]), "twice"),
    "one layer twice": (mx([*ARRAYS, ARRAYS[0]], [*NAMES, b"arg:conv1_1_weight"]), "twice"),
    "no names": (wf.mxnet_list(ARRAYS, []), "0 names"),
    "more names than arrays": (mx(ARRAYS, [*NAMES, b"x"]), "3 names"),
    "trailing bytes": (wf.params(PARAMETERS, 2) + b"\0", "1 bytes follow"),
    "float64": (mx([wf.mxnet_array(WEIGHT.astype("f8"), 2, type_flag=1), ARRAYS[1]]), "expected 0"),
    "unknown type": (mx([wf.mxnet_array(WEIGHT, 2, type_flag=99), ARRAYS[1]]), "type 99"),
    "sparse": (mx([wf.mxnet_array(WEIGHT, 2, stype=1), ARRAYS[1]]), "sparse"),
    "another shape": (mx([wf.mxnet_array(WEIGHT[:32], 2), ARRAYS[1]]), "shape"),
}


def sft(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


W_BYTES, B_BYTES = WEIGHT.nbytes, BIAS.nbytes
BODY = wf.raw(WEIGHT) + wf.raw(BIAS)
W_ENTRY, B_ENTRY = entry([64, 3, 3, 3], 0, W_BYTES), entry([64], W_BYTES, W_BYTES + B_BYTES)
GOOD = {"conv1_1_weight": W_ENTRY, "conv1_1_bias": B_ENTRY}

SAFETENSORS = {
    "header of 2^62 bytes": (sft(GOOD, BODY, HUGE), "header"),
    "header beyond the file": (sft(GOOD, b"", 100_000), "truncated"),
    "header not UTF-8": (sft(b'{"\xff\xfe": 1}', BODY), "UTF-8"),
    "header not JSON": (sft(b"{conv1_1: }", BODY), "JSON"),
    "header a list": (sft(b"[1]", BODY), "'{'"),
    "header nested without end": (sft(b'{"a":' * 50_000, BODY), "JSON"),
    "a name twice": (sft(b'{"a": 1, "a": 2}', BODY), "twice"),
    "one layer twice": (
        sft({**GOOD, "arg:conv1_1_bias": entry([64], W_BYTES + B_BYTES, W_BYTES + 2 * B_BYTES)}, BODY + wf.raw(BIAS)),
        "twice",
    ),
    "trailing bytes": (sft(GOOD, BODY + b"\0"), "holds"),
    "overlap": (sft({**GOOD, "conv1_1_bias": entry([64], 0, B_BYTES)}, BODY), "overlap"),
    "a hole": (
        sft({"conv1_1_weight": W_ENTRY, "conv1_1_bias": entry([64], W_BYTES + 4, W_BYTES + B_BYTES + 4)}, BODY),
        "hole",
    ),
    "negative offset": (sft({**GOOD, "conv1_1_bias": entry([64], -B_BYTES, 0)}, BODY), "counts"),
    "dims that overflow": (sft({**GOOD, "conv1_1_weight": entry([2**40, 2**40], 0, W_BYTES)}, BODY), "takes"),
    "dims not numbers": (sft({**GOOD, "conv1_1_bias": entry(["a"], W_BYTES, W_BYTES + B_BYTES)}, BODY), "counts"),  # type: ignore[list-item]
    "dims true": (sft({**GOOD, "conv1_1_bias": entry([True], W_BYTES, W_BYTES + B_BYTES)}, BODY), "counts"),
    "entry a number": (sft({**GOOD, "conv1_1_bias": 5}, BODY), "entry"),
    "offsets of three": (sft({**GOOD, "conv1_1_bias": {**B_ENTRY, "data_offsets": [1, 2, 3]}}, BODY), "entry"),
    "F16": (sft({**GOOD, "conv1_1_weight": entry([64, 3, 3, 3], 0, W_BYTES // 2, "F16")}, BODY[W_BYTES // 2 :]), ""),
    "F16 whole": (wf.safetensors(PARAMETERS).replace(b'"F32"', b'"F16"'), "takes"),
    "I32": (wf.safetensors(PARAMETERS).replace(b'"F32"', b'"I32"'), "expected F32"),
    "unknown type": (wf.safetensors(PARAMETERS).replace(b'"F32"', b'"X99"'), "unknown type"),
    "type a list": (sft({**GOOD, "conv1_1_bias": {**B_ENTRY, "dtype": []}}, BODY), "unknown type"),
    "mean not numbers": (wf.safetensors(PARAMETERS, {"mean_rgb": "red"}), "mean_rgb"),
    "mean infinite": (wf.safetensors(PARAMETERS, {"mean_rgb": "inf,0,0"}), "mean_rgb"),
    "mean NaN": (wf.safetensors(PARAMETERS, {"mean_rgb": "nan,0,0"}), "mean_rgb"),
}


def zipped(entries: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return stream.getvalue()


def npy_header(text: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    body = text.encode() + b"\n"
    length = struct.pack("<H", len(body)) if version == b"\x01\x00" else struct.pack("<I", len(body))
    return b"\x93NUMPY" + version + length + body + data


def npy_array(array: np.ndarray, **keywords: bool) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **keywords)
    return stream.getvalue()


BIAS_ENTRY = {"conv1_1_bias.npy": npy_array(BIAS)}


def weight_header(shape: str, descr: str = "'<f4'", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


@cache
def bomb() -> bytes:
    """300 MB of zeros after a header that promises them, in 300 kB."""
    zeros = npy_header(weight_header("(75000000,)"), bytes(300_000_000))
    return zipped({**BIAS_ENTRY, "conv1_1_weight.npy": zeros})


@cache
def hidden_bomb() -> bytes:
    """The right header, and 300 MB of zeros where 7 kB are due."""
    return zipped({**BIAS_ENTRY, "conv1_1_weight.npy": npy_header(weight_header("(64, 3, 3, 3)"), bytes(300_000_000))})


def encrypted() -> bytes:
    data = bytearray(wf.npz(PARAMETERS))
    directory = data.index(b"PK\1\2")
    data[directory + 8] |= 1
    return bytes(data)


@cache
def huge_directory() -> bytes:
    """30,000 empty entries, whose directory takes 2 MB."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for i in range(30_000):
            archive.writestr(zipfile.ZipInfo(f"conv{i:07d}.npy"), b"")
    return stream.getvalue()


def entry_twice() -> bytes:
    data = wf.npz({"conv1_1_weight": WEIGHT, "conv1_1_wEight": WEIGHT, "conv1_1_bias": BIAS})
    return data.replace(b"wEight", b"weight")


NPZ = {
    "zip bomb": (bomb, "shape"),
    "zip bomb behind the right header": (hidden_bomb, "more than"),
    "encrypted": (encrypted, "encrypted"),
    "huge directory": (huge_directory, "directory"),
    "too many entries": (lambda: zipped({f"{i}.npy": b"" for i in range(2000)}), "2000 entries"),
    "an entry twice": (entry_twice, "twice"),
    "LZMA": (lambda: zipped({"conv1_1_weight.npy": npy_array(WEIGHT)}, zipfile.ZIP_LZMA), "compressed by method"),
    "pickled": (lambda: wf.npz(PARAMETERS | {"conv1_1_bias": np.array([{}], dtype=object)}), "pickle"),
    "float64": (lambda: wf.npz(PARAMETERS | {"conv1_1_weight": WEIGHT.astype("f8")}), "<f8"),
    "big-endian": (lambda: wf.npz(PARAMETERS | {"conv1_1_weight": WEIGHT.astype(">f4")}), ">f4"),
    "Fortran order": (lambda: wf.npz(PARAMETERS | {"conv1_1_weight": np.asfortranarray(WEIGHT)}), "Fortran"),
    "another shape": (lambda: wf.npz(PARAMETERS | {"conv1_1_weight": WEIGHT[:, ::-1][:32]}), "shape"),
    "trailing bytes": (lambda: zipped({**BIAS_ENTRY, "conv1_1_weight.npy": npy_array(WEIGHT) + b"\0"}), "more than"),
    "short data": (lambda: zipped({**BIAS_ENTRY, "conv1_1_weight.npy": npy_array(WEIGHT)[:-4]}), "bytes"),
    "damaged data": (lambda: wf.npz(PARAMETERS).replace(wf.raw(WEIGHT)[:64], bytes(64)), "CRC"),
    "header of 4 GB": (lambda: zipped({"conv1_1_weight.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\xff"}), "4294967295"),
    "header code": (lambda: zipped({"conv1_1_weight.npy": npy_header("__import__('os').abort()")}), "corrupt"),
    "version 9": (lambda: zipped({"conv1_1_weight.npy": npy_header("", version=b"\x09\x00")}), "format"),
    "negative shape": (lambda: zipped({"conv1_1_weight.npy": npy_header(weight_header("(-64, 3, 3, 3)"))}), "shape"),
    "mean too bright": (lambda: wf.npz(PARAMETERS, mean_rgb=np.array([1e9, 0, 0])), "mean"),
    "mean of four": (lambda: wf.npz(PARAMETERS, mean_rgb=np.zeros(4)), "mean_rgb"),
}

NPY = {
    "a plain array": (npy_array(WEIGHT), "one record"),
    "a pickled dictionary": (npy_array(np.array({"conv1_1": 1}, dtype=object), allow_pickle=True), "pickle"),
    "trailing bytes": (wf.npy(PARAMETERS) + b"\0", "1 bytes follow"),
    "a billion records": (
        npy_header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1000000000,)}"),
        "one record",
    ),
    "dims that overflow": (
        npy_header(
            "{'descr': [('conv1_1_bias', '<f4', (4294967296, 4294967296))], 'fortran_order': False, 'shape': ()}"
        ),
        "corrupt",
    ),
    "float64": (
        npy_array(np.zeros((), [("conv1_1_weight", "f8", WEIGHT.shape), ("conv1_1_bias", "f4", (64,))])),
        "<f8",
    ),
    "a number for a type": (npy_header("{'descr': 5, 'fortran_order': False, 'shape': ()}"), "plain array"),
    "a number for a header": (npy_header("5"), "corrupt header"),
    "a header that does not close": (npy_header("{'descr': [(\0"), "corrupt header"),
    "an expression in the header": (
        npy_header("{'descr': [('conv1_1_bias', '<f4')] * 2, 'fortran_order': False, 'shape': ()}"),
        "corrupt header",
    ),
    "a field of one name": (
        npy_header("{'descr': [('a', '<f4'), ('a', '<f4')], 'fortran_order': False, 'shape': ()}", bytes(8)),
        "twice",
    ),
    "no filters": (npy_array(np.zeros((), [("conv1_1_bias", "f4", (64,))])), "missing"),
}


def mat_value(**values: object) -> bytes:
    stream = io.BytesIO()
    scipy.io.savemat(stream, values, do_compression=True)
    return stream.getvalue()


def mat_layers(weight: object, bias: object = BIAS.reshape(1, -1), name: object = "conv1_1") -> bytes:
    weights = np.empty((1, 2), dtype=object)
    weights[0, 0], weights[0, 1] = weight, bias
    cells = np.empty((1, 1), dtype=object)
    cells[0, 0] = {"type": "conv", "name": name, "weights": weights}
    return mat_value(layers=cells, meta={"normalization": {"averageImage": np.array(wf.MEAN_RGB).reshape(1, 1, 3)}})


@cache
def mat_bomb() -> bytes:
    """One compressed matrix of 1.6 GB of zeros, in 1.6 MB."""
    element = struct.pack("<II", 14, 1_600_000_056) + struct.pack("<IIII", 6, 8, 6, 0)
    element += struct.pack("<IIii", 5, 8, 1, 200_000_000) + struct.pack("<II", 1, 8) + b"layersXX"
    element += struct.pack("<II", 9, 1_600_000_000)
    packer = zlib.compressobj(1)
    packed = packer.compress(element)
    zeros = bytes(16_000_000)
    packed += b"".join(packer.compress(zeros) for _ in range(100)) + packer.flush()
    return MAT_HEAD + struct.pack("<II", 15, len(packed)) + packed


def mat_junk() -> bytes:
    """A compressed element that goes on for 200 kB when its stream has ended."""
    data = mat_value(x=np.ones(3))
    return data[:128] + struct.pack("<II", 15, len(data) - 136 + 200_000) + data[136:] + bytes(200_000)


def mat_matrix(body: bytes) -> bytes:
    return MAT_HEAD + struct.pack("<II", 14, len(body)) + body


def mat_cell(dims: tuple[int, ...], cells: bytes = b"") -> bytes:
    sizes = struct.pack(f"<{len(dims)}i", *dims)
    head = struct.pack("<IIII", 6, 8, 1, 0) + struct.pack("<II", 5, len(sizes)) + sizes + bytes(-len(sizes) % 8)
    return head + struct.pack("<II", 1, 6) + b"layers\0\0" + cells


def nested_cells(depth: int) -> bytes:
    body = b""
    for _ in range(depth):
        body = mat_cell((1, 1), body)
        body = struct.pack("<II", 14, len(body)) + body
    return MAT_HEAD + body


MAT_HEAD = wf.mat(PARAMETERS)[:128]
FILTERS = WEIGHT.transpose(2, 3, 1, 0)

MAT = {
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(200), "7.3"),
    "big-endian": (MAT_HEAD[:126] + b"MI" + bytes(64), "little-endian"),
    "zip bomb": (mat_bomb, "zip bomb"),
    "a billion cells": (mat_matrix(mat_cell((1, 10**9))), "claims 1000000000"),
    "cells that overflow": (mat_matrix(mat_cell((2**31 - 1,) * 8)), "claims"),
    "negative cells": (mat_matrix(mat_cell((1, -5))), "shape"),
    "nested without end": (lambda: nested_cells(10_000), "deeper"),
    "element type 0": (MAT_HEAD + bytes(64), "type 0"),
    "element of 4 GB": (MAT_HEAD + struct.pack("<II", 14, 2**32 - 1), "truncated"),
    "trailing bytes": (lambda: wf.mat(PARAMETERS) + b"\0\0\0", "truncated"),
    "bad zlib": (MAT_HEAD + struct.pack("<II", 15, 8) + b"\x78\x9c" + b"\xff" * 6, "corrupt"),
    "bytes after a zlib stream": (mat_junk, "longer than its matrix"),
    "longer than it claims": (lambda: mat_matrix(mat_cell((0, 0), bytes(64))), "longer or shorter"),
    "double": (lambda: mat_layers(FILTERS.astype("f8")), "single"),
    "sparse": (lambda: mat_layers(scipy.sparse.csc_matrix(np.eye(3))), "sparse"),
    "complex": (lambda: mat_layers(FILTERS.astype("c8")), "complex"),
    "text for filters": (lambda: mat_layers("filters"), "no array"),
    "filters (O, I, H, W)": (lambda: mat_layers(WEIGHT), "shape"),
    "no name": (lambda: mat_layers(FILTERS, name=5.0), "no name"),
    "no layers": (lambda: mat_value(x=np.ones(3)), "no list of layers"),
    "layers of numbers": (lambda: mat_value(layers=np.ones(3)), "no list of layers"),
    "a variable twice": (lambda: wf.mat(PARAMETERS) + wf.mat(PARAMETERS)[128:], "twice"),
    "NaN mean": (lambda: _mat_mean(np.array([np.nan, 0, 0])), "averageImage"),
    "a picture for a mean": (
        lambda: _mat_mean(np.random.default_rng(0).uniform(0, 255, (224, 224, 3))),
        "not one colour",
    ),
}


def _mat_mean(average: np.ndarray) -> bytes:
    data = io.BytesIO(wf.mat(PARAMETERS))
    layers = scipy.io.loadmat(data)["layers"]
    return mat_value(layers=layers, meta={"normalization": {"averageImage": average.reshape(*average.shape[:-1], 3)}})


def caffe_layer(name: bytes, *blobs: bytes) -> bytes:
    return wf.chunk(2, wf.chunk(4, name) + b"".join(wf.chunk(6, blob) for blob in blobs))


W_BLOB, B_BLOB = wf.caffe_blob(WEIGHT, True), wf.caffe_blob(BIAS, True)

CAFFE = {
    "no layers": (wf.chunk(1, b"VGG"), "no layers"),
    "a layer twice": (caffe_layer(b"conv1_1", W_BLOB, B_BLOB) * 2, "twice"),
    "three blobs": (caffe_layer(b"conv1_1", W_BLOB, B_BLOB, B_BLOB), "3 blobs"),
    "name not UTF-8": (caffe_layer(b"\xff\xfe", W_BLOB, B_BLOB), "UTF-8"),
    "doubles": (caffe_layer(b"conv1_1", W_BLOB + wf.chunk(8, bytes(8)), B_BLOB), "float32"),
    "not packed": (caffe_layer(b"conv1_1", W_BLOB + wf.varint(5 << 3 | 5) + bytes(4), B_BLOB), "packed"),
    "dims that overflow": (
        caffe_layer(b"conv1_1", W_BLOB + wf.chunk(7, wf.chunk(1, wf.varint(2**63))), B_BLOB),
        "shape",
    ),
    "negative dims": (caffe_layer(b"conv1_1", W_BLOB + wf.number(1, 2**64 - 64), B_BLOB), "shape"),
    "another shape": (caffe_layer(b"conv1_1", wf.caffe_blob(WEIGHT[:32], True), B_BLOB), "shape"),
    "short data": (caffe_layer(b"conv1_1", wf.caffe_blob(WEIGHT, True) + wf.chunk(5, b"1234"), B_BLOB), "bytes"),
    "length of 2^62": (wf.varint(2 << 3 | 2) + wf.varint(HUGE) + b"x", "truncated"),
    "length beyond 64 bits": (wf.varint(2 << 3 | 2) + b"\xff" * 12, "10 bytes"),
    "wire type 7": (b"\x17" + bytes(8), "wire type"),
    "field 0": (bytes(64), "field number 0"),
    "millions of fields": (wf.number(20, 1) * 1_100_000, "1000000 fields"),
    "too many layers": (wf.chunk(2, b"") * 2000, "1000 layers"),
    "another network": (caffe_layer(b"inception_3a", W_BLOB, B_BLOB), "another network"),
    "trailing bytes": (wf.caffemodel(PARAMETERS) + b"\xff", ""),
}


def onnx_graph(*fields: bytes) -> bytes:
    return wf.chunk(7, b"".join(fields))


CONV = wf.chunk(1, wf.chunk(1, b"x") + wf.chunk(1, b"w") + wf.chunk(1, b"b") + wf.chunk(2, b"y") + wf.chunk(4, b"Conv"))
W_TENSOR, B_TENSOR = wf.chunk(5, wf.onnx_tensor("w", WEIGHT)), wf.chunk(5, wf.onnx_tensor("b", BIAS))
EXTERNAL = wf.chunk(5, wf.onnx_tensor("w", WEIGHT) + wf.chunk(13, wf.chunk(1, b"location")) + wf.number(14, 1))

ONNX = {
    "no graph": (wf.number(1, 3), "0 graphs"),
    "two graphs": (wf.onnx(PARAMETERS) * 2, "2 graphs"),
    "no convolution": (onnx_graph(W_TENSOR, B_TENSOR), "0 Conv"),
    "seventeen convolutions": (onnx_graph(*[CONV] * 17, W_TENSOR, B_TENSOR), "17 Conv"),
    "no such tensor": (onnx_graph(CONV, B_TENSOR), "no stored tensor"),
    "a tensor twice": (onnx_graph(CONV, W_TENSOR, W_TENSOR, B_TENSOR), "twice"),
    "no bias": (
        onnx_graph(wf.chunk(1, wf.chunk(1, b"x") + wf.chunk(1, b"w") + wf.chunk(4, b"Conv")), W_TENSOR),
        "inputs",
    ),
    "sparse": (onnx_graph(CONV, W_TENSOR, B_TENSOR, wf.chunk(15, b"")), "sparse"),
    "external": (onnx_graph(CONV, EXTERNAL, B_TENSOR), "another file"),
    "float16": (onnx_graph(CONV, wf.chunk(5, wf.onnx_tensor("w", WEIGHT, data_type=10)), B_TENSOR), "type 10"),
    "another shape": (onnx_graph(CONV, wf.chunk(5, wf.onnx_tensor("w", WEIGHT[:3])), B_TENSOR), "shape"),
    "a million dims": (onnx_graph(CONV, wf.chunk(5, wf.chunk(8, b"w") + wf.chunk(1, b"\1" * 1_100_000)), B_TENSOR), ""),
    "a name of a megabyte": (onnx_graph(CONV, wf.chunk(5, wf.chunk(8, b"w" * 1_000_000)), B_TENSOR), "takes 1000000"),
    "too many tensors": (onnx_graph(*[wf.chunk(5, wf.chunk(8, b"%d" % i)) for i in range(1200)]), "1000 tensors"),
}


class RunsCode:
    def __reduce__(self):
        return os.system, ("touch /tmp/model-zoo-was-here",)


def laughs() -> bytes:
    """Tuples of tuples: sixty doublings, which would print for ever."""
    doublings = b"".join(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(60))
    return b"\x80\x02)q\x00" + doublings + b"."


def tall_name() -> bytes:
    """Such tuples as the name of something to import."""
    return laughs()[:-1] + b"X\x01\x00\x00\x00x\x93."


def torch_tar() -> bytes:
    """The members that torch wrote before its pull request 713 (torch/serialization.py, legacy_load, reads them)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:", format=tarfile.PAX_FORMAT) as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            member = tarfile.TarInfo(name)
            member.size = 7
            archive.addfile(member, io.BytesIO(b"\x80\x02}q\x00(."))
    return stream.getvalue()


def ordered_dict(items: bytes, tuple_of: bytes = b"\x85", before: bytes = b"") -> bytes:
    """An OrderedDict called with `items`, as Python 2 pickles it."""
    return wf.pth(TENSORS, b"\x80\x02" + before + b"ccollections\nOrderedDict\n" + items + tuple_of + b"R.")


def many_dictionaries() -> bytes:
    """One list of 4000 items, of which 6000 dictionaries are made: 24 million entries."""
    items = b"](" + b"".join(b"](M" + struct.pack("<H", i) + b"K\1e" for i in range(4000)) + b"e"
    dictionary = b"ccollections\nOrderedDict\nh\x00\x85R"
    return wf.pth(TENSORS, b"\x80\x02" + items + b"q\x00" + dictionary * 6000 + b".")


TENSORS = wf.torchvision_names(PARAMETERS)
PICKLE = wf.state_dict_pickle(TENSORS, False)
INTEGER = b"J" + struct.pack("<i", 64)


def integers(*values: int) -> bytes:
    return b"".join(b"J" + struct.pack("<i", value) for value in values)


def transposed(pickle: bytes) -> bytes:
    """The strides of the filters, 27, 9, 3, 1, with two exchanged."""
    return pickle.replace(integers(27, 9, 3, 1), integers(27, 9, 1, 3))


def shifted(pickle: bytes) -> bytes:
    """The filters from number 5 of their storage on."""
    return pickle.replace(integers(0) + b"(" + integers(64, 3, 3, 3), integers(5) + b"(" + integers(64, 3, 3, 3))


PTH = {
    "runs code": (lambda: wf.pth(TENSORS, pickle.dumps(RunsCode())), "names"),
    "runs code, protocol 0": (lambda: wf.pth(TENSORS, pickle.dumps(RunsCode(), 0)), "names"),
    "runs code in the old layout": (lambda: pickle.dumps(RunsCode(), 2), "names"),
    "builtins.eval": (lambda: wf.pth(TENSORS, b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R."), "builtins.eval"),
    "an allowed name called wrongly": (lambda: wf.pth(TENSORS, b"\x80\x02ctorch\nFloatStorage\n)R."), "calls"),
    "half precision": (
        lambda: wf.pth(TENSORS, wf.state_dict_pickle(TENSORS, False, storage="HalfStorage")),
        "HalfStorage",
    ),
    "double precision": (
        lambda: wf.pth(TENSORS, wf.state_dict_pickle(TENSORS, False, storage="DoubleStorage")),
        "Double",
    ),
    "sparse": (lambda: wf.pth(TENSORS, wf.state_dict_pickle(TENSORS, False, "_rebuild_sparse_tensor")), "sparse"),
    "a whole module": (
        lambda: wf.pth(TENSORS, b"\x80\x02ctorchvision.models.vgg\nVGG\n)\x81."),
        "torchvision.models.vgg",
    ),
    "not a dictionary": (lambda: wf.pth(TENSORS, b"\x80\x02J\1\0\0\0."), "state dict"),
    "a checkpoint": (lambda: wf.pth(TENSORS, b"\x80\x02}X\x05\x00\x00\x00epochJ\1\0\0\0s."), "another network"),
    "a number for a tensor": (
        lambda: wf.pth(TENSORS, b"\x80\x02}X\x11\x00\x00\x00features.0.weightJ\1\0\0\0s."),
        "not a tensor",
    ),
    "storage beyond the file": (
        lambda: wf.pth(TENSORS, PICKLE.replace(b"J" + struct.pack("<i", 1728), b"J\xff\xff\xff\x7f")),
        "",
    ),
    "negative size": (lambda: wf.pth(TENSORS, PICKLE.replace(INTEGER, b"J\xff\xff\xff\xff")), ""),
    "memo of 2^31": (lambda: wf.pth(TENSORS, b"\x80\x02}r\xff\xff\xff\x7f."), "state dict|no convolution"),
    "recalls nothing": (lambda: wf.pth(TENSORS, b"\x80\x02h\x07."), "recalls"),
    "empty stack": (lambda: wf.pth(TENSORS, b"\x80\x02."), "stack"),
    "no mark": (lambda: wf.pth(TENSORS, b"\x80\x02u."), "stack"),
    "no end": (lambda: wf.pth(TENSORS, PICKLE[:-1]), "end|corrupt"),
    "text of 4 GB": (lambda: wf.pth(TENSORS, b"\x80\x02X\xff\xff\xff\xffabc"), "corrupt"),
    "bytes of 2^62": (lambda: wf.pth(TENSORS, b"\x80\x04\x8e" + struct.pack("<Q", HUGE)), "corrupt"),
    "doubling tuples": (lambda: wf.pth(TENSORS, laughs()), "state dict"),
    "doubling tuples for a name": (lambda: wf.pth(TENSORS, tall_name()), "not text"),
    "a pickle of 2 MB": (lambda: wf.pth(TENSORS, b"\x80\x02" + b"N0" * 1_000_000 + b"."), "pickle takes"),
    "many opcodes": (lambda: wf.pth(TENSORS, b"\x80\x02" + b"N0" * 200_000 + b"."), "opcodes"),
    "tensors that are not contiguous": (lambda: wf.pth(TENSORS, transposed(PICKLE)), "contiguous"),
    "a tensor beyond its storage": (lambda: wf.pth(TENSORS, shifted(PICKLE)), "holds"),
    "mixed names": (lambda: wf.pth({**TENSORS, "conv1_2_bias": BIAS}), "mixes ways of naming"),
    "a name twice": (lambda: wf.pth(TENSORS, PICKLE.replace(b"bias", b"biaX")), "another network"),
    "compressed": (lambda: zipped({"a/data.pkl": PICKLE, "a/data/0": bytes(4 * 1728)}), "compressed"),
    "no pickle": (lambda: zipped({"a/data/0": b""}), "data.pkl"),
    "two pickles": (lambda: zipped({"a/data.pkl": b"", "b/data.pkl": b""}), "2 entries"),
    "storage missing": (lambda: zipped({"a/data.pkl": PICKLE}, zipfile.ZIP_STORED), "missing"),
    "big-endian": (lambda: wf.pth(TENSORS).replace(b"little", b"bigend"), ""),
    "damaged data": (lambda: wf.pth(TENSORS).replace(wf.raw(WEIGHT)[:64], bytes(64)), "CRC"),
    "trailing bytes, old layout": (lambda: wf.pth_legacy(TENSORS) + b"\0", "1 bytes follow"),
    "negative storage, old layout": (
        lambda: wf.pth_legacy(TENSORS).replace(struct.pack("<q", 1728), struct.pack("<q", -1)),
        "truncated",
    ),
    "an OrderedDict of no pairs": (
        lambda: ordered_dict(b"](](K\1K\1K\1ee"),
        "OrderedDict in an unknown",
    ),
    "an OrderedDict of a tuple": (lambda: ordered_dict(b")"), "OrderedDict in an unknown way"),
    "an OrderedDict of two arguments": (lambda: ordered_dict(b"]]", b"\x86"), "OrderedDict in an unknown way"),
    "a key twice among the items": (lambda: ordered_dict(b"](](K\1K\1e](K\1K\1ee"), "twice"),
    "thousands of OrderedDicts of one list": (many_dictionaries, "state dict|no convolution"),
    "doubling tuples for a key": (lambda: ordered_dict(b"](](h\x3cK\1ee", before=laughs()[2:-1]), "neither text nor"),
    "a tar": (lambda: b"sys_info\0" + bytes(600), "neither"),
    "torch's tar layout": (torch_tar, "torch's first layout, a tar (until early 2017); load it with torch and save it"),
}

CONTENTS = {
    "NaN": (lambda: changed("conv1_1_weight", np.nan), "NaN"),
    "infinity": (lambda: changed("conv1_1_bias", np.inf), "infinity"),
    "minus infinity": (lambda: changed("conv1_1_bias", -np.inf), "infinity"),
    "a huge number": (lambda: changed("conv1_1_bias", 3e38), "reaches"),
    "a huge negative number": (lambda: changed("conv1_1_weight", -3e38), "reaches"),
    "a bias missing": (lambda: {"conv1_1_weight": WEIGHT}, "missing"),
}

CORPUS = {
    **{("vgg19.params", label): case for label, case in PARAMS.items()},
    **{("vgg19.safetensors", label): case for label, case in SAFETENSORS.items()},
    **{("vgg19.npz", label): case for label, case in NPZ.items()},
    **{("vgg19.npy", label): case for label, case in NPY.items()},
    **{("vgg19.mat", label): case for label, case in MAT.items()},
    **{("vgg19.caffemodel", label): case for label, case in CAFFE.items()},
    **{("vgg19.onnx", label): case for label, case in ONNX.items()},
    **{("vgg19.pth", label): case for label, case in PTH.items()},
}


def data_of(case: object) -> bytes:
    return case() if callable(case) else case  # type: ignore[return-value]


def refusal(path: Path) -> str:
    """The message with which `path` is refused, checked to be one line that names it and gives a cause."""
    with pytest.raises(InputError) as caught:
        load_file(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and len(message) < 700
    assert len(message.split(str(path), 1)[1]) > 10, message
    assert message.isprintable()
    return message.split(str(path), 1)[1]


@pytest.mark.parametrize(("name", "label"), CORPUS, ids=lambda value: str(value))
def test_a_corrupt_file_is_refused_with_its_cause(name, label, tmp_path):
    data, cause = CORPUS[name, label]
    path = tmp_path / name
    path.write_bytes(data_of(data))
    message = refusal(path)
    assert any(part in message for part in cause.split("|")), message


@pytest.mark.parametrize("label", CONTENTS)
@pytest.mark.parametrize("name", ["a.params", "a.npz", "a.npy", "a.mat", "a.safetensors", "a.pth"])
def test_numbers_that_no_network_holds_are_refused_in_every_format(name, label, tmp_path):
    make, cause = CONTENTS[label]
    if name == "a.mat" and label == "a bias missing":
        pytest.skip("a layer of this format has both or neither")
    writers = {
        "params": wf.params,
        "npz": wf.npz,
        "npy": wf.npy,
        "mat": wf.mat,
        "safetensors": wf.safetensors,
        "pth": wf.pth,
    }
    path = tmp_path / name
    path.write_bytes(writers[name[2:]](make()))
    assert cause in refusal(path)


@pytest.mark.parametrize("make", [vgg16, resnet], ids=["VGG-16", "ResNet"])
@pytest.mark.parametrize("name", ["a.params", "a.npz", "a.safetensors", "a.pth"])
def test_another_network_is_refused(name, make, tmp_path):
    writers = {"params": wf.params, "npz": wf.npz, "safetensors": wf.safetensors, "pth": wf.pth}
    path = tmp_path / name
    path.write_bytes(writers[name[2:]](make()))
    assert "another network" in refusal(path)


@pytest.mark.parametrize("name", wf.WRITERS)
def test_a_file_cut_anywhere_is_refused_or_lost_nothing(name, tmp_path, monkeypatch):
    """Every byte of the file's structure, some of its data. A cut may take only what is not read (an ONNX trailer)."""
    monkeypatch.setattr(formats, "FEWEST_CONVOLUTIONS", 2)
    parameters = wf.random_parameters("conv1_2")
    data = wf.WRITERS[name](parameters)
    positions = {*range(0, 400), *range(len(data) - 700, len(data)), *range(0, len(data), 1999)}
    positions |= {i + step for i in _find_all(data, wf.raw(parameters["conv1_2_bias"])[:8]) for step in range(-160, 8)}
    path = tmp_path / name
    for position in sorted(p for p in positions if 0 <= p < len(data)):
        path.write_bytes(data[:position])
        try:
            contents = formats.read(path)
        except InputError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            continue
        whole = {k: v for k, v in contents.parameters.items() if k != "conv1_1_weight"}
        assert all(np.array_equal(whole[k], parameters[k]) for k in parameters if k != "conv1_1_weight"), position


def _find_all(data: bytes, part: bytes) -> list[int]:
    found, start = [], data.find(part)
    while start >= 0:
        found.append(start)
        start = data.find(part, start + 1)
    return found


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"<!DOCTYPE html><html>", "HTML page"),
        (b"\n <HTML lang=en>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 574674712\n", "Git LFS pointer"),
        (b"", "empty"),
    ],
)
@pytest.mark.parametrize("suffix", formats.READERS)
def test_what_servers_send_instead_is_called_by_its_name(data, cause, suffix, tmp_path):
    path = tmp_path / f"vgg19{suffix}"
    path.write_bytes(data)
    message = refusal(path)
    assert cause in message


def test_a_missing_file_a_folder_and_a_locked_file_are_refused(tmp_path):
    assert "no such file" in refusal(tmp_path / "missing.npz")
    (tmp_path / "folder.npz").mkdir()
    assert "folder" in refusal(tmp_path / "folder.npz")


def test_no_pickle_ever_ran():
    assert not Path("/tmp/model-zoo-was-here").exists()


def test_no_reader_imports_what_could_execute_a_file():
    for path in Path(formats.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {"pickle", "marshal", "shelve", "torch", "mxnet", "joblib"} & set(names), path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile", "__import__"), path


def test_hdf5_that_is_corrupt_or_leads_elsewhere_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.h5"
    wf.write_h5(path, PARAMETERS)
    good = path.read_bytes()
    for position in (9, 100, 800, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:position])
        refusal(path)
    path.write_bytes(good[:40] + b"\xff" * 400 + good[440:])
    refusal(path)
    wf.write_h5(path, PARAMETERS, dtype="<f8")
    assert "float64" in refusal(path)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["block1_conv1"] = h5py.ExternalLink("a.h5", "/block1_conv1")
    assert "not stored in the file itself" in refusal(tmp_path / "b.h5")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        group = file.create_group("block1_conv1")
        group.create_dataset("k", (3, 3, 3, 64), "<f4", external=[("a.h5", 0, h5py.h5f.UNLIMITED)])
        group.create_dataset("b", data=BIAS)
    assert "another file" in refusal(tmp_path / "c.h5")
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_group("block1_conv1").create_dataset("k", (10**6, 10**6, 3, 64), "<f4", chunks=(100, 100, 3, 64))
    assert "shape" in refusal(tmp_path / "d.h5")


def test_the_corpus_takes_little_memory(tmp_path):
    paths = []
    for i, ((name, _), (data, _)) in enumerate(CORPUS.items()):
        paths.append(tmp_path / f"{i}-{name}")
        paths[-1].write_bytes(data_of(data))
    done = subprocess.run(
        [sys.executable, "-c", wf.PEAK_OF_READING, *map(str, paths)],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    before, after, digest = done.stdout.split()
    assert digest == "none" and len(done.stderr.splitlines()) == len(paths)
    assert int(after) - int(before) < 2 * max(path.stat().st_size for path in paths) + 200_000_000
