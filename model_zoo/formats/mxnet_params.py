"""MXNet's `.params`, read with NumPy and never with `mx.nd.load`, which crashes on some files and misreads others.

Layout (MXNet 1.9.1, src/ndarray/ndarray.cc), little-endian:

    u64 0x112, u64 0, u64 n, n arrays, u64 k, k x (u64 length, UTF-8 name)
    array V0 (2015): u32 ndim, ndim x u32, then context and data
    array V1: u32 0xF993FAC8, i32 ndim, ndim x i64, then context and data
    array V2: u32 0xF993FAC9, i32 storage type (0 = dense), i32 ndim, ndim x i64, then context and data
    array V3: as V2 with 0xF993FACA
    context and data: i32 device type, i32 device number, i32 type (0 = float32), raw data
"""

from __future__ import annotations

from math import prod
from pathlib import Path

from .binary import UnreadableError, Window, floats, mapped, quoted
from .contents import Contents, by_custom
from .names import LONGEST_NAME, MOST_TENSORS, assign, require_shape

LIST_MAGIC = 0x112
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
SIZES = {0: 4, 1: 8, 2: 2, 3: 1, 4: 4, 5: 1, 6: 8}  # bytes of MXNet's types; 0 is float32
FLOAT32 = 0
MOST_AXES = 8


def read(path: Path) -> Contents:
    """The convolutions of an MXNet parameter file: Oxford's names in RGB as vgg19.params has them, or Gluon's."""
    window = Window(mapped(path))
    if window.number("Q", "the list's magic number") != LIST_MAGIC:
        raise UnreadableError("not an MXNet parameter file (wrong magic number)")
    window.number("Q", "the reserved word")
    count = window.number("Q", "the number of arrays")
    if count > MOST_TENSORS:
        raise UnreadableError(f"claims {count} arrays: corrupt, or not a VGG-19")
    arrays = [_array(window, i) for i in range(count)]
    names = _names(window, count)
    if window.left:
        raise UnreadableError(f"{window.left} bytes follow the end of the list")
    wanted, style = assign(names)
    parameters = {}
    for name, (shape, kind, data) in zip(names, arrays, strict=True):
        if name in wanted:
            require_shape(wanted[name], shape)
            if kind != FLOAT32:
                raise UnreadableError(f"{quoted(name)} has MXNet's type {kind}, expected 0 (float32)")
            parameters[wanted[name]] = floats(data, shape, name)
    return by_custom(parameters, style)


def _array(window: Window, index: int) -> tuple[tuple[int, ...], int, memoryview]:
    """Shape, type and data of the next array; nothing is copied."""
    what = f"array {index}"
    first = window.number("I", what)
    axis = "q"
    if first in (V2, V3):
        storage = window.number("i", what)
        if storage != 0:
            raise UnreadableError(f"{what} is sparse (storage type {storage}); only dense arrays are read")
        axes = window.number("i", what)
    elif first == V1:
        axes = window.number("i", what)
    else:
        axis, axes = "I", first
    if not 1 <= axes <= MOST_AXES:
        raise UnreadableError(f"{what} claims {axes} axes: corrupt")
    shape = tuple(window.number(axis, what) for _ in range(axes))
    if any(side < 1 for side in shape):
        raise UnreadableError(f"{what} claims the shape {shape}: corrupt")
    window.take(8, what)  # device type and number: where it lay when it was saved
    kind = window.number("i", what)
    if kind not in SIZES:
        raise UnreadableError(f"{what} has the unknown type {kind}")
    return shape, kind, window.take(SIZES[kind] * prod(shape), f"{what} of shape {shape}")


def _names(window: Window, count: int) -> list[str]:
    named = window.number("Q", "the number of names")
    if named != count:
        raise UnreadableError(f"{count} arrays but {named} names")
    names = []
    for i in range(count):
        length = window.number("Q", f"the length of name {i}")
        if length > LONGEST_NAME:
            raise UnreadableError(f"name {i} claims {length} bytes: corrupt")
        names.append(window.text(length, f"name {i}"))
    if len(set(names)) != count:
        raise UnreadableError("a name comes twice")
    return names
