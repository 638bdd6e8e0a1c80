"""NumPy's `.npz` and `.npy`, without pickle.

`.npz`: a zip of one `.npy` per parameter, named as here (`conv1_1_weight`) or by another known style; `mean_rgb` (three
numbers, RGB, range 0 to 255) is the mean colour, and `about` is text that is not read.
`.npy`: one record (a structured array of one element) whose fields are the parameters. The `vgg19.npy` of TensorFlow
ports is a pickled dictionary and is refused.
"""

from __future__ import annotations

import ast
import struct
import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..conventions import Convention
from .binary import UnreadableError, Window, floats, mapped, quoted
from .contents import Contents, by_custom
from .names import assign, require_shape
from .safetensors import MEAN
from .zip_archive import LARGEST_READ, archive

FLOAT32 = "<f4"
VERSIONS = {b"\x01\x00": 2, b"\x02\x00": 4}  # of the format: bytes of the header's length
LONGEST_HEADER = 10_000  # bytes; a record of all of VGG-19 takes about 2,000
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
        mean = _mean(opened, extra[MEAN])
    try:
        return Contents(parameters, Convention("RGB", 255.0, mean), True)
    except ValueError as error:
        raise UnreadableError(f"{MEAN}: {error}") from None


def read_npy(path: Path) -> Contents:
    """The convolutions of an `.npy` file that holds one structured record."""
    window = Window(mapped(path))
    with path.open("rb") as stream:
        shape, fields = _header(stream, "the array")
        window.take(stream.tell(), "the header")
    if not isinstance(fields, list) or prod(shape) != 1:
        raise UnreadableError("holds a plain array; expected one record with a field for each parameter")
    arrays = {}
    for name, field_type, field_shape in (_field(field) for field in fields):
        if name in arrays:
            raise UnreadableError(f"holds the field {quoted(name)} twice")
        _require_float32(field_type, name)
        arrays[name] = (field_shape, window.take(4 * prod(field_shape), quoted(name)))
    if window.left:
        raise UnreadableError(f"{window.left} bytes follow the record")
    wanted, style = assign(arrays)
    parameters = {}
    for raw, name in wanted.items():
        field_shape, data = arrays[raw]
        require_shape(name, field_shape)
        parameters[name] = floats(data, field_shape, raw)
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


def _mean(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> tuple[float, float, float]:
    with opened.open(entry) as stream:
        shape, dtype = _header(stream, MEAN)
        if shape != (3,) or dtype != "<f8":
            raise UnreadableError(f"{MEAN} is not three numbers of type '<f8'")
        red, green, blue = struct.unpack("<3d", _exactly(stream, 24, MEAN))
    return red, green, blue


def _exactly(stream: IO[bytes], count: int, name: str) -> bytes:
    """The stream's `count` bytes, to the end, where `zipfile` compares the CRC."""
    data = bytearray()
    while len(data) <= count and (block := stream.read(min(LARGEST_READ, count + 1 - len(data)))):
        data += block
    if len(data) != count:
        raise UnreadableError(f"{name} holds {'more than' if len(data) > count else len(data)} of {count} bytes")
    return bytes(data)


def _header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], Any]:
    """Shape and type description of an `.npy` stream, which is left at its data; C order only, no objects.

    Layout (NumPy, NEP 1): magic, version, length, then a dictionary as Python text. NumPy's own reader of it raises
    half a dozen kinds of error over corrupt text, and makes a dtype of whatever it finds.
    """
    start = stream.read(8)
    if start[:6] != b"\x93NUMPY" or start[6:] not in VERSIONS:
        raise UnreadableError(f"{name} is not in NumPy's format 1.0 or 2.0")
    digits = VERSIONS[start[6:]]
    length = int.from_bytes(stream.read(digits), "little")
    if length > LONGEST_HEADER:
        raise UnreadableError(f"{name} claims a header of {length} bytes: corrupt")
    try:
        header = ast.literal_eval(stream.read(length).decode("latin-1").strip())
        descr, fortran, shape = header["descr"], header["fortran_order"], header["shape"]
    except (SyntaxError, ValueError, TypeError, KeyError, MemoryError, RecursionError):
        raise UnreadableError(f"{name} has a corrupt header") from None
    types = (
        [field[1] for field in descr if isinstance(field, tuple) and len(field) > 1] if isinstance(descr, list) else []
    )
    if "|O" in (descr, *types):
        raise UnreadableError(f"{name} holds pickled objects, which are never read")
    if not _is_shape(shape):
        raise UnreadableError(f"{name} claims a shape that is none")
    if fortran is not False and len(shape) > 1:
        raise UnreadableError(f"{name} is in Fortran order; save it in C order")
    return shape, descr


def _field(field: Any) -> tuple[str, Any, tuple[int, ...]]:
    """(name, type, shape) of a record's field."""
    if isinstance(field, tuple) and len(field) in (2, 3) and isinstance(field[0], str):
        shape = field[2] if len(field) == 3 else ()
        if _is_shape(shape):
            return field[0], field[1], shape
    raise UnreadableError("the record has a field that is no array")


def _is_shape(shape: object) -> bool:
    return isinstance(shape, tuple) and len(shape) <= 8 and all(type(side) is int and side >= 0 for side in shape)


def _require_float32(dtype: object, name: str) -> None:
    if dtype != FLOAT32:
        shown = quoted(dtype) if isinstance(dtype, str) else "a compound one"
        raise UnreadableError(f"{quoted(name)} has the type {shown}, expected {FLOAT32!r} (float32)")
