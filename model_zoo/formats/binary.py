"""Reading bytes that nobody vouches for: every length is checked against what is there before it is used."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from math import prod
from pathlib import Path

import numpy as np


class UnreadableError(ValueError):
    """What is wrong with a file, without its name: `formats.read` adds that and makes it an InputError."""


def mapped(path: Path) -> memoryview:
    """The file's bytes, read as they are used. The map is released with the last view of it."""
    with path.open("rb") as stream:
        if not path.stat().st_size:
            raise UnreadableError("the file is empty")
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


class Window:
    """A stretch of bytes that is read from its front."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.position = 0

    @property
    def left(self) -> int:
        return len(self.data) - self.position

    def take(self, count: int, what: str) -> memoryview:
        """The next `count` bytes; UnreadableError, naming `what`, where fewer are left."""
        if not 0 <= count <= self.left:
            raise UnreadableError(f"truncated or corrupt: {what} takes {count} bytes, {self.left} are left")
        self.position += count
        return self.data[self.position - count : self.position]

    def number(self, form: str, what: str) -> int:
        """The next number; `form` is struct's letter, little-endian."""
        form = "<" + form
        return struct.unpack(form, self.take(struct.calcsize(form), what))[0]

    def text(self, count: int, what: str) -> str:
        """The next `count` bytes as UTF-8."""
        try:
            return str(self.take(count, what), "utf-8")
        except UnicodeDecodeError:
            raise UnreadableError(f"{what} is not UTF-8") from None


def floats(data: memoryview | bytes, shape: Sequence[int], name: str) -> np.ndarray:
    """A tensor of its own from little-endian float32 in C order; UnreadableError where the length does not fit."""
    if len(data) != 4 * prod(shape):
        raise UnreadableError(
            f"{quoted(name)} holds {len(data)} bytes, its shape {tuple(shape)} needs {4 * prod(shape)}"
        )
    return np.frombuffer(data, dtype="<f4").reshape(shape).astype(np.float32)


def quoted(name: object) -> str:
    """A name from a file, fit for a one-line message."""
    text = ascii(name)
    return text if len(text) <= 60 else text[:57] + "..."
