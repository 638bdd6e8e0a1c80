"""NumPy's `.npz` and `.npy`, without pickle.

`.npz`: a zip of one `.npy` per parameter, named as here (`conv1_1_weight`) or by another known style; `mean_rgb` (three
numbers, RGB, range 0 to 255) is the mean colour, and `about` is text that is not read.
`.npy`: one record (a structured array of one element) whose fields are the parameters. The `vgg19.npy` of TensorFlow
ports is a pickled dictionary and is refused.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from ..conventions import Convention
from .binary import UnreadableError, Window, floats, mapped, quoted
from .contents import Contents, by_custom
from .names import assign, require_shape
from .safetensors import MEAN
from .zip_archive import LARGEST_READ, archive

FLOAT32 = np.dtype("<f4")
ABOUT = "about"


def read_npz(path: Path) -> Contents:
    """The convolutions of an `.npz` archive."""
    with archive(path) as opened:
        entries = {entry.filename.removesuffix(".npy"): entry for entry in opened.infolist()}
        extra = {name: entries.pop(name) for name in (MEAN, ABOUT) if name in entries}
        wanted, style = assign(entries)
        parameters = {name: _entry(opened, entries[raw], name) for raw, name in wanted.items()}
        if MEAN not in extra:
            return by_custom(parameters, style)
        with opened.open(extra[MEAN]) as stream:
            shape, dtype = _header(stream, MEAN)
            if shape != (3,) or dtype != np.dtype("<f8"):
                raise UnreadableError(f"{MEAN} is {dtype} {shape}, expected three float64")
            mean = np.frombuffer(_exactly(stream, 24, MEAN), "<f8")
    try:
        return Contents(parameters, Convention("RGB", 255.0, (mean[0], mean[1], mean[2])), True)
    except ValueError as error:
        raise UnreadableError(f"{MEAN}: {error}") from None


def read_npy(path: Path) -> Contents:
    """The convolutions of an `.npy` file that holds one structured record."""
    window = Window(mapped(path))
    with path.open("rb") as stream:
        shape, dtype = _header(stream, "the array")
        window.take(stream.tell(), "the header")
    if dtype.names is None or prod(shape) != 1:
        raise UnreadableError(f"holds {dtype} of shape {shape}; expected one record with a field for each parameter")
    if window.left != dtype.itemsize:
        raise UnreadableError(f"{window.left} bytes of data, the header describes {dtype.itemsize}")
    wanted, style = assign(dtype.names)
    parameters = {}
    for raw, name in wanted.items():
        field, offset = dtype.fields[raw][:2]  # type: ignore[index]
        require_shape(name, field.shape)
        _require_float32(field.base, raw)
        start = window.position + offset
        parameters[name] = floats(window.data[start : start + field.itemsize], field.shape, raw)
    return by_custom(parameters, style)


def write_npz(path: Path, parameters: Mapping[str, np.ndarray], mean_rgb: tuple[float, ...], about: str) -> None:
    """Write the parameters with their mean colour and a line of text, uncompressed."""
    extra = {MEAN: np.array(mean_rgb, dtype="<f8"), ABOUT: np.array(about)}
    with path.open("wb") as stream:
        np.savez(stream, **parameters, **extra)


def _entry(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> np.ndarray:
    """One parameter; its header is checked before its data is read, so a zip bomb never unfolds."""
    with opened.open(entry) as stream:
        shape, dtype = _header(stream, name)
        require_shape(name, shape)
        _require_float32(dtype, name)
        return floats(_exactly(stream, 4 * prod(shape), name), shape, name)


def _exactly(stream: IO[bytes], count: int, name: str) -> bytes:
    """The stream's `count` bytes, to the end, where `zipfile` compares the CRC."""
    data = bytearray()
    while len(data) <= count and (block := stream.read(min(LARGEST_READ, count + 1 - len(data)))):
        data += block
    if len(data) != count:
        raise UnreadableError(f"{name} holds {'more than' if len(data) > count else len(data)} of {count} bytes")
    return bytes(data)


def _header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an `.npy` stream, which is left at its data; C order only, no objects."""
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise UnreadableError(f"{name} is of NumPy's format {version}; known are {', '.join(map(str, readers))}")
    shape, fortran, dtype = readers[version](stream)
    if dtype.hasobject:
        raise UnreadableError(f"{name} holds pickled objects, which are never read")
    if fortran and len(shape) > 1:
        raise UnreadableError(f"{name} is in Fortran order; save it in C order")
    if any(type(side) is not int or side < 0 for side in shape):
        raise UnreadableError(f"{name} claims the shape {shape}")
    return shape, dtype


def _require_float32(dtype: np.dtype, name: str) -> None:
    if dtype != FLOAT32:
        raise UnreadableError(f"{quoted(name)} has type {dtype}, expected float32")
