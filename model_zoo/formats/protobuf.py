"""The wire format of Protocol Buffers, as far as weight files need it: no schema, no library, nothing copied.

A message is a run of fields: varint (field number << 3 | wire type), then a varint (type 0), 8 bytes (1), a varint
length and so many bytes (2), or 4 bytes (5).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from .binary import UnreadableError, floats, quoted

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MOST_FIELDS = 1_000_000
LONGEST_VARINT = 10  # bytes, of a 64-bit number


class Walker:
    """Walks the messages of one file, and gives up on a file that is nothing but tiny fields."""

    def __init__(self) -> None:
        self._left = MOST_FIELDS

    def fields(self, message: memoryview) -> Iterator[tuple[int, int, int, memoryview]]:
        """(field number, wire type, number, bytes) of each field; a varint has no bytes, others the number 0."""
        position, end = 0, len(message)
        empty = message[:0]
        while position < end:
            self._left -= 1
            if self._left < 0:
                raise UnreadableError(f"holds more than {MOST_FIELDS} fields: not a weight file")
            key, position = varint(message, position)
            number, kind = key >> 3, key & 7
            if not number:
                raise UnreadableError("field number 0: not a Protocol Buffers message, or corrupt")
            if kind == VARINT:
                value, position = varint(message, position)
                yield number, kind, value, empty
                continue
            if kind == BYTES:
                size, position = varint(message, position)
            elif kind in (FIXED64, FIXED32):
                size = 8 if kind == FIXED64 else 4
            else:
                raise UnreadableError(f"wire type {kind}: not a Protocol Buffers message, or corrupt")
            if size > end - position:
                left = end - position
                raise UnreadableError(f"truncated or corrupt: field {number} takes {size} bytes, {left} are left")
            yield number, kind, 0, message[position : position + size]
            position += size

    def integers(self, kind: int, value: int, data: memoryview) -> Iterator[int]:
        """The numbers of one occurrence of a repeated integer field, packed or not."""
        if kind == VARINT:
            yield value
            return
        position = 0
        while position < len(data):
            self._left -= 1
            if self._left < 0:
                raise UnreadableError(f"holds more than {MOST_FIELDS} numbers: not a weight file")
            value, position = varint(data, position)
            yield value


def varint(data: memoryview, position: int) -> tuple[int, int]:
    """(number, next position) of the base-128 number at `position`."""
    value = 0
    for i in range(LONGEST_VARINT):
        if position >= len(data):
            raise UnreadableError("truncated or corrupt: a number is cut off")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
    raise UnreadableError("a number of more than 10 bytes: not a Protocol Buffers message, or corrupt")


def text(data: memoryview, what: str) -> str:
    """A string field."""
    if len(data) > 4096:
        raise UnreadableError(f"{what} takes {len(data)} bytes: corrupt")
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        raise UnreadableError(f"{what} is not UTF-8") from None


def packed_floats(parts: list[memoryview], shape: tuple[int, ...], name: str) -> np.ndarray:
    """A tensor from a packed float field, which may come in several parts."""
    size = sum(map(len, parts))
    if size != 4 * prod(shape):
        raise UnreadableError(f"{quoted(name)} holds {size} bytes, its shape {shape} needs {4 * prod(shape)}")
    return floats(parts[0] if len(parts) == 1 else b"".join(parts), shape, name)
