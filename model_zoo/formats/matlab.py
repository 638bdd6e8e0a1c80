"""MATLAB's `.mat`, level 5 (versions 5 to 7.2), read as a stream: what is not wanted is skipped, never held.

Layout (MathWorks, MAT-File Format): a header of 128 bytes, then elements: u32 type, u32 bytes, data, padded to 8; an
element of at most 4 bytes may put both numbers into one word. A matrix is an element that holds others: flags, sizes,
name, and its values (for a cell or struct: further matrices). A compressed element is a zlib stream of one element.
`scipy.io.loadmat` is not used here, since it inflates a whole file into memory before anything can be checked.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from .binary import UnreadableError, Window, mapped

LARGEST = 1_500_000_000  # bytes inflated at most; VGG-19 with its fully connected layers takes 575 MB
MOST_VALUES = 100_000  # matrices, cells and fields
DEEPEST = 16
LARGEST_KEPT = 1_300_000  # bytes: a 224 x 224 x 3 average image of doubles fits
KEPT_IN_ALL = 120_000_000  # bytes
SKIPPED_BLOCK = 1 << 20
SLICE = 1 << 16  # bytes of a compressed element that the decoder is given at once

COMPRESSED, MATRIX = 15, 14
NUMBERS = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
CELL, STRUCT, OBJECT, CHAR, SPARSE, DOUBLE, SINGLE = 1, 2, 3, 4, 5, 6, 7
CLASSES = {3: "an object", 5: "sparse", 16: "a function", 17: "opaque"}


@dataclass(frozen=True)
class Skipped:
    """A value that was passed over: what it was."""

    what: str


class _Stored:
    """Bytes as the file has them."""

    def __init__(self, data: memoryview) -> None:
        self._window = Window(data)

    def read(self, count: int) -> bytes | memoryview:
        return self._window.take(count, "an element")

    def skip(self, count: int) -> None:
        self._window.take(count, "an element")

    @property
    def position(self) -> int:
        return self._window.position

    def finish(self) -> None:
        if self._window.left:
            raise UnreadableError(f"{self._window.left} bytes follow the end of a matrix")


class _Inflated:
    """Bytes of a zlib stream, inflated as they are asked for."""

    def __init__(self, data: memoryview) -> None:
        self._decoder = zlib.decompressobj()
        self._packed = Window(data)
        self.position = 0

    def read(self, count: int) -> bytes:
        self.position += count
        if self.position > LARGEST:
            raise UnreadableError(f"inflates to more than {LARGEST} bytes: a zip bomb, or not a VGG-19")
        parts, missing = [], count
        while missing:
            part = self._inflate(missing)
            if not part:
                raise UnreadableError("a compressed element is truncated")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def skip(self, count: int) -> None:
        while count > 0:
            count -= len(self.read(min(count, SKIPPED_BLOCK)))

    def finish(self) -> None:
        follows = self._inflate(1) or self._decoder.unused_data or self._packed.left
        if follows or not self._decoder.eof:
            raise UnreadableError("a compressed element is longer than its matrix, or truncated")

    def _inflate(self, most: int) -> bytes:
        """Up to `most` bytes, at least one except at the end."""
        while True:
            # A slice at a time, since the decoder copies what it leaves of its input.
            packed = self._decoder.unconsumed_tail or self._packed.take(min(SLICE, self._packed.left), "a slice")
            part = self._decoder.decompress(packed, most)
            if part or self._decoder.eof or not self._packed.left:
                return part


class _Reader:
    """One file's matrices, with what has been spent on them so far."""

    def __init__(self, wanted_shapes: frozenset[tuple[int, ...]]) -> None:
        self._wanted = wanted_shapes
        self._values = 0
        self._kept = 0

    def variable(self, stream: Any) -> tuple[str, Any]:
        """(name, value) of the matrix that the stream holds."""
        kind, size, _ = _tag(stream)
        if kind != MATRIX:
            raise UnreadableError(f"an element of type {kind} where a matrix is due")
        result = self._matrix(stream, size, 0)
        stream.finish()
        return result

    def _matrix(self, stream: Any, size: int, depth: int) -> tuple[str, Any]:
        self._values += 1
        if self._values > MOST_VALUES or depth > DEEPEST:
            raise UnreadableError(f"holds more than {MOST_VALUES} values, or nests them deeper than {DEEPEST}")
        if not size:
            return "", np.zeros((0, 0))
        end = stream.position + size
        flags = struct.unpack("<2I", bytes(_element(stream, (6,), 8)[1]).ljust(8, b"\0")[:8])
        kind, is_complex = flags[0] & 0xFF, bool(flags[0] & 0x800)
        shape = tuple(int(side) for side in np.frombuffer(_element(stream, (5,), 64)[1], "<i4"))
        name = str(bytes(_element(stream, (1,), 256)[1]), "ascii", "replace")
        if any(side < 0 for side in shape):
            raise UnreadableError(f"a matrix claims the shape {shape}")
        value: Any
        if kind in CLASSES or is_complex:
            value = Skipped(CLASSES.get(kind, "complex"))
            stream.skip(end - stream.position)
        elif kind == CELL:
            value = [self._inner(stream, depth) for _ in range(self._count(shape))]
        elif kind == STRUCT:
            value = self._struct(stream, shape, depth)
        else:
            value = self._array(stream, shape, kind)
        if stream.position != end:
            raise UnreadableError("a matrix is longer or shorter than it claims")
        return name, value

    def _inner(self, stream: Any, depth: int) -> Any:
        kind, size, _ = _tag(stream)
        if kind != MATRIX:
            raise UnreadableError(f"an element of type {kind} where a matrix is due")
        return self._matrix(stream, size, depth + 1)[1]

    def _struct(self, stream: Any, shape: tuple[int, ...], depth: int) -> list[dict[str, Any]]:
        """A struct array as a list of dictionaries."""
        width = int.from_bytes(bytes(_element(stream, (5,), 4)[1]), "little")
        packed = bytes(_element(stream, (1,), 65536)[1])
        if not 1 <= width <= 256 or len(packed) % width:
            raise UnreadableError("a struct's field names are corrupt")
        names = [packed[i : i + width].split(b"\0")[0] for i in range(0, len(packed), width)]
        fields = [name.decode("ascii", "replace") for name in names]
        return [{f: self._inner(stream, depth) for f in fields} for _ in range(self._count(shape))]

    def _array(self, stream: Any, shape: tuple[int, ...], kind: int) -> Any:
        """Numbers, text, or Skipped where they are neither wanted nor few."""
        stored, size, small = _tag(stream)
        if stored not in NUMBERS and stored not in (16, 17, 18):
            raise UnreadableError(f"an array stored as the unknown type {stored}")
        keep = size <= LARGEST_KEPT or (kind == SINGLE and shape in self._wanted and size <= 4 * prod(shape))
        if not keep:
            stream.skip(size + (-size % 8))
            return Skipped(f"an array of shape {shape}")
        self._kept += size
        if self._kept > KEPT_IN_ALL:
            raise UnreadableError("holds more tensors than a VGG-19")
        data = small if small is not None else _padded(stream, size)
        if kind == CHAR:
            return str(bytes(data).replace(b"\0", b""), "ascii", "replace")
        dtype = np.dtype(NUMBERS.get(stored, "u1"))
        if len(data) != dtype.itemsize * prod(shape):
            raise UnreadableError(f"an array of shape {shape} holds {len(data)} bytes")
        # MATLAB stores whole numbers as integers, whatever their class; the class says what they are.
        as_class = np.float32 if kind == SINGLE else np.float64
        return np.frombuffer(data, dtype).astype(as_class).reshape(shape, order="F")

    def _count(self, shape: tuple[int, ...]) -> int:
        count = prod(shape)
        if count > MOST_VALUES:
            raise UnreadableError(f"a cell or struct claims {count} values")
        return count


def variables(path: Path, wanted_shapes: frozenset[tuple[int, ...]]) -> dict[str, Any]:
    """The file's variables: arrays (float32 for MATLAB's single, else float64), text, lists for cells and structs.

    Large arrays are kept only where their shape, as MATLAB has it, is in `wanted_shapes`; others are Skipped.
    """
    reader = _Reader(wanted_shapes)
    found: dict[str, Any] = {}
    for stream in _streams(mapped(path)):
        name, value = reader.variable(stream)
        if name in found:
            raise UnreadableError(f"holds the variable {name!r} twice")
        found[name] = value
    return found


def _streams(data: memoryview) -> Iterator[_Stored | _Inflated]:
    """A stream for each top-level element."""
    window = Window(data)
    head = bytes(data[:128])
    if head.startswith(b"\x89HDF") or b"MATLAB 7.3" in head:
        raise UnreadableError("a MATLAB 7.3 (HDF5) file; save it with -v7")
    window.take(126, "MATLAB's header")
    if bytes(window.take(2, "MATLAB's header")) != b"IM":
        raise UnreadableError("not a little-endian MATLAB file of level 5")
    while window.left:
        kind, size = window.number("I", "an element's type"), window.number("I", "an element's size")
        if kind == COMPRESSED:
            yield _Inflated(window.take(size, "a compressed element"))
        elif kind == MATRIX:
            start = window.position - 8
            window.take(size, "a matrix")
            yield _Stored(data[start : window.position])
        else:
            raise UnreadableError(f"an element of type {kind} where a matrix is due")


def _tag(stream: Any) -> tuple[int, int, bytes | None]:
    """(type, bytes, data where it is in the tag itself)."""
    (word,) = struct.unpack("<I", stream.read(4))
    if word >> 16:
        if word >> 16 > 4:
            raise UnreadableError("a small element claims more than 4 bytes")
        return word & 0xFFFF, word >> 16, bytes(stream.read(4))[: word >> 16]
    return word, struct.unpack("<I", stream.read(4))[0], None


def _element(stream: Any, kinds: tuple[int, ...], most: int) -> tuple[int, bytes]:
    """(type, data) of an element that must be short."""
    kind, size, small = _tag(stream)
    if kind not in kinds or size > most:
        raise UnreadableError(f"an element of type {kind} with {size} bytes where one of type {kinds[0]} is due")
    return kind, small if small is not None else _padded(stream, size)


def _padded(stream: Any, size: int) -> bytes:
    data = bytes(stream.read(size))
    stream.skip(-size % 8)
    return data
