"""Torch's `.pth`: a plain state dict of float32 tensors, read without torch and without Python's unpickler.

Two layouts: since torch 1.6 a zip of ARCHIVE/data.pkl and ARCHIVE/data/KEY (stored, not compressed); before it a run
of pickles (magic number, protocol, system, state dict, keys of the storages), then for each key i64 count and data. The
first layout, a tar (until pytorch's pull request 713 of early 2017), is not read.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

from .binary import UnreadableError, Window, floats, mapped, quoted
from .contents import Contents, by_custom
from .names import assign, require_shape
from .unpickler import Storage, Tensor, unpickle
from .zip_archive import archive

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
LONGEST_PICKLE = 1 << 20  # bytes; VGG-19's takes about 4,000


def read(path: Path) -> Contents:
    """The convolutions of a plain state dict of float32 tensors: torchvision's or Oxford's names."""
    data = mapped(path)
    if bytes(data[:4]) == b"PK\3\4":
        with archive(path) as opened:
            state, storages = _read_zip(opened, data)
    else:
        state, storages = _read_legacy(data)
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise UnreadableError("does not hold a plain state dict {name: tensor}")
    wanted, style = assign(state)
    parameters = {}
    for raw, name in wanted.items():
        tensor = state[raw]
        if not isinstance(tensor, Tensor):
            raise UnreadableError(f"{quoted(raw)} is not a tensor")
        require_shape(name, tensor.shape)
        parameters[name] = floats(_bytes_of(tensor, storages, raw), tensor.shape, raw)
    return by_custom(parameters, style, caffe="vgg-bgr")


def _bytes_of(tensor: Tensor, storages: Callable[[Storage], memoryview], raw: str) -> memoryview:
    contiguous = tuple(prod(tensor.shape[i + 1 :]) for i in range(len(tensor.shape)))
    if tensor.strides != contiguous:
        raise UnreadableError(f"{quoted(raw)} is not contiguous; save the state dict with .contiguous() tensors")
    start, size = 4 * tensor.offset, 4 * prod(tensor.shape)
    return storages(tensor.storage)[start : start + size]


def _read_zip(opened: zipfile.ZipFile, data: memoryview) -> tuple[Any, Callable[[Storage], memoryview]]:
    entries = {entry.filename: entry for entry in opened.infolist()}
    pickles = [name for name in entries if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise UnreadableError(f"holds {len(pickles)} entries data.pkl: not a torch file")
    folder = pickles[0].removesuffix("data.pkl")
    order = entries.get(folder + "byteorder")
    if order is not None and bytes(_stored(order, data)) != b"little":
        raise UnreadableError("is not little-endian")

    def storage(wanted: Storage) -> memoryview:
        entry = entries.get(f"{folder}data/{wanted.key}")
        if entry is None:
            raise UnreadableError(f"the storage {quoted(wanted.key)} is missing")
        content = _stored(entry, data)
        if len(content) != 4 * wanted.count:
            raise UnreadableError(f"the storage {quoted(wanted.key)} is not of {4 * wanted.count} bytes")
        return content

    pickle = _stored(entries[pickles[0]], data)
    return unpickle(_short(pickle)), storage


def _stored(entry: zipfile.ZipInfo, data: memoryview) -> memoryview:
    """The bytes of an entry, straight from the file: torch stores without compression."""
    name = quoted(entry.filename)
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        raise UnreadableError(f"{name} is compressed, which torch never does")
    header = Window(data[entry.header_offset :] if 0 <= entry.header_offset <= len(data) else data[:0])
    if bytes(header.take(4, name)) != b"PK\3\4":
        raise UnreadableError(f"{name} has no local header")
    header.take(22, name)
    lengths = header.number("H", name) + header.number("H", name)
    header.take(lengths, name)
    content = header.take(entry.file_size, name)
    if zlib.crc32(content) != entry.CRC:
        raise UnreadableError(f"{name} is damaged (CRC)")
    return content


def _read_legacy(data: memoryview) -> tuple[Any, Callable[[Storage], memoryview]]:
    stream = io.BytesIO(data[:LONGEST_PICKLE])
    if bytes(data[257:262]) == b"ustar":
        raise UnreadableError("torch's first layout, a tar (until early 2017); load it with torch and save it again")
    if bytes(data[:1]) != b"\x80":
        raise UnreadableError("neither a zip nor a pickle: not a torch file")
    if unpickle(stream) != MAGIC or unpickle(stream) != PROTOCOL:
        raise UnreadableError("a pickle, but not of torch (wrong magic number or protocol)")
    system = unpickle(stream)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise UnreadableError("is not little-endian")
    state, keys = unpickle(stream), unpickle(stream)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or len(set(keys)) != len(keys):
        raise UnreadableError("its list of storages is corrupt")
    window = Window(data[stream.tell() :])
    found: dict[str, memoryview] = {}
    for key in keys:
        count = window.number("q", f"the size of storage {quoted(key)}")
        found[key] = window.take(4 * count, f"storage {quoted(key)}")
    if window.left:
        raise UnreadableError(f"{window.left} bytes follow the last storage")

    def storage(wanted: Storage) -> memoryview:
        content = found.get(wanted.key)
        if content is None or len(content) != 4 * wanted.count:
            raise UnreadableError(f"the storage {quoted(wanted.key)} is missing or of another size")
        return content

    return state, storage


def _short(pickle: memoryview) -> io.BytesIO:
    if len(pickle) > LONGEST_PICKLE:
        raise UnreadableError(f"its pickle takes {len(pickle)} bytes; the most that is read is {LONGEST_PICKLE}")
    return io.BytesIO(pickle)
