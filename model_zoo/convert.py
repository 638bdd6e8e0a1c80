"""Writing a network in a format that others read: canonical names, float32 (O, I, 3, 3), RGB of range 0 to 255."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from .errors import InputError
from .files import whole_file
from .formats import mxnet_params, numpy_arrays, safetensors
from .weights import Preprocessing, Weights


def convert(weights: Weights, path: Path, attribution: str) -> None:
    """Write `weights` at `path`, whole or not at all, in the format its suffix names (WRITERS).

    The mean colour and `attribution`, a line on whose work it is, go into the file where the format has a place.
    """
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise InputError(f"cannot write {path}: unknown format {path.suffix!r}; writable are {', '.join(WRITERS)}")
    try:
        with whole_file(path) as temporary:
            writer(temporary, weights, attribution)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def _npz(path: Path, weights: Weights, attribution: str) -> None:
    numpy_arrays.write_npz(path, weights.parameters, weights.preprocessing.mean_rgb, attribution)


def _safetensors(path: Path, weights: Weights, attribution: str) -> None:
    mean = ",".join(repr(float(m)) for m in weights.preprocessing.mean_rgb)
    path.write_bytes(safetensors.encode(weights.parameters, {safetensors.MEAN: mean, "about": attribution}))


def _params(path: Path, weights: Weights, attribution: str) -> None:
    if weights.preprocessing != Preprocessing():
        mean = ", ".join(f"{m:g}" for m in weights.preprocessing.mean_rgb)
        raise InputError(f"MXNet's .params has no place for the mean colour ({mean}); convert to .npz or .safetensors")
    path.write_bytes(_mxnet_list(weights.parameters))


def _mxnet_list(parameters: Mapping[str, np.ndarray]) -> bytes:
    """The layout of formats/mxnet_params.py, arrays as V2, with MXNet's prefix `arg:`."""
    parts = [struct.pack("<QQQ", mxnet_params.LIST_MAGIC, 0, len(parameters))]
    for array in parameters.values():
        parts.append(struct.pack(f"<Iii{array.ndim}q", mxnet_params.V2, 0, array.ndim, *array.shape))
        parts.append(struct.pack("<iii", 1, 0, mxnet_params.FLOAT32))  # device: CPU 0
        parts.append(np.ascontiguousarray(array, dtype="<f4").tobytes())
    parts.append(struct.pack("<Q", len(parameters)))
    for name in parameters:
        text = f"arg:{name}".encode()
        parts.append(struct.pack("<Q", len(text)) + text)
    return b"".join(parts)


WRITERS: dict[str, Callable[[Path, Weights, str], None]] = {
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".params": _params,
}
