"""`.safetensors`: u64 length, JSON header {name: dtype, shape, data_offsets}, then the raw bytes of all tensors.

By the format's rules the header begins with `{`, no name comes twice, and the tensors cover the rest of the file
without a hole or an overlap. `__metadata__` may hold text; `mean_rgb` there is ours (three numbers, RGB, 0 to 255).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..conventions import Convention
from .binary import UnreadableError, Window, floats, mapped, quoted
from .contents import Contents, by_custom
from .names import assign, require_shape

LONGEST_HEADER = 1 << 20  # bytes; VGG-19's takes about 4,000
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
MEAN = "mean_rgb"


def read(path: Path) -> Contents:
    """The convolutions of a safetensors file: torchvision's or Oxford's names."""
    return decode(mapped(path))


def decode(data: memoryview) -> Contents:
    """The same from bytes."""
    window = Window(data)
    length = window.number("Q", "the length of the header")
    if length > LONGEST_HEADER:
        raise UnreadableError(f"claims a header of {length} bytes; the most that is read is {LONGEST_HEADER}")
    header = _header(window.text(length, "the header"))
    metadata = header.pop("__metadata__", {})
    body = window.take(window.left, "the tensors")
    entries = {name: _entry(name, entry) for name, entry in header.items()}
    _check_cover(entries, len(body))
    wanted, style = assign(entries)
    parameters = {}
    for raw, name in wanted.items():
        dtype, shape, start, end = entries[raw]
        require_shape(name, shape)
        if dtype != "F32":
            raise UnreadableError(f"{quoted(raw)} has type {dtype}, expected F32")
        parameters[name] = floats(body[start:end], shape, raw)
    if isinstance(metadata, dict) and MEAN in metadata:
        return Contents(parameters, _stated(metadata[MEAN]), True)
    return by_custom(parameters, style)


def encode(parameters: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """Float32 tensors as a safetensors file, in the order given; `metadata` is text for `__metadata__`."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for name, array in parameters.items():
        end = position + 4 * array.size
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the format asks for tensors aligned to 8 bytes
    tensors = [np.ascontiguousarray(array, dtype="<f4").tobytes() for array in parameters.values()]
    return b"".join([len(text).to_bytes(8, "little"), text, *tensors])


def _header(text: str) -> dict[str, Any]:
    def no_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise UnreadableError("a name comes twice in the header")
        return dict(pairs)

    if not text.startswith("{"):
        raise UnreadableError("not a safetensors file (its header does not begin with '{')")
    try:
        header = json.loads(text, object_pairs_hook=no_repetition)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UnreadableError(f"the header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise UnreadableError("the header is not a JSON object")
    return header


def _entry(name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """(dtype, shape, start, end) of a header's entry, checked for itself."""
    try:
        dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        numbers = [*shape, start, end]
    except (TypeError, KeyError, ValueError):
        raise UnreadableError(f"the header's entry {quoted(name)} is not one of safetensors") from None
    if any(type(number) is not int or number < 0 for number in numbers) or len(shape) > 8:
        raise UnreadableError(f"{quoted(name)} has a shape or offsets that are not counts")
    if not isinstance(dtype, str) or dtype not in SIZES:
        raise UnreadableError(f"{quoted(name)} has the unknown type {quoted(dtype)}")
    if end - start != SIZES[dtype] * prod(shape):
        raise UnreadableError(f"{quoted(name)} takes {end - start} bytes, its shape and type need another number")
    return dtype, tuple(shape), start, end


def _check_cover(entries: Mapping[str, tuple[str, tuple[int, ...], int, int]], length: int) -> None:
    position = 0
    for name, (_, _, start, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if start != position:
            raise UnreadableError(f"the bytes of {quoted(name)} begin at {start}, expected {position}: hole or overlap")
        position = end
    if position != length:
        raise UnreadableError(f"the header describes {position} bytes of tensors, the file holds {length}")


def _stated(text: object) -> Convention:
    try:
        red, green, blue = (float(part) for part in str(text).split(","))
        return Convention("RGB", 255.0, (red, green, blue))
    except ValueError as error:
        raise UnreadableError(f"{MEAN} is {quoted(text)}: {error}") from None
